#include "common/guard/pack_index.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"

enum {
    HEAD_BYTES = 4096, /* more than the longest table of chunks: 255 rows */
    CHUNKS_AT = 6,     /* the number of chunks, in both kinds of files that have them */
    CHUNK_ROW = 12,    /* four letters and an offset of 8 bytes */
    LAST_COUNT = 255 * 4,
};

/* entry: bytes of each object, or commit, in the tables of fixed size. */
static const struct kind {
    const char *magic; /* NULL: any other, which is the first version of an index of a pack */
    unsigned counts_at, chunks_at, entry;
} kinds[] = {
    {"\377tOc", 8, 0, 20 + 4 + 4},
    {"MIDX", 0, 12, 20 + 8},
    {"CGPH", 0, 8, 20 + 36},
    {NULL, 0, 0, 4 + 20},
};

static uint64_t number(const unsigned char *at, unsigned bytes)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < bytes; i++)
        all = all << 8 | at[i];
    return all;
}

static bool fits(int fd, uint64_t counts_at, unsigned entry, uint64_t size)
{
    unsigned char last[4];
    if (counts_at > size || pread(fd, last, sizeof last, (off_t)counts_at + LAST_COUNT) != sizeof last)
        return true;
    return number(last, sizeof last) <= size / entry;
}

static bool chunks_fit(int fd, const struct kind *kind, const unsigned char *head, size_t length,
                       uint64_t size)
{
    for (unsigned i = 0; i < head[CHUNKS_AT]; i++) {
        size_t at = kind->chunks_at + (size_t)i * CHUNK_ROW;
        if (at + CHUNK_ROW > length)
            return true;
        if (memcmp(head + at, "OIDF", 4) == 0 && !fits(fd, number(head + at + 4, 8), kind->entry, size))
            return false;
    }
    return true;
}

bool pack_index_fits(int folder, const char *name)
{
    unsigned char head[HEAD_BYTES];
    struct stat status;
    OWNED_FD int fd = files_open(folder, name, O_RDONLY, 0);
    ssize_t length = fd < 0 || fstat(fd, &status) != 0 ? -1 : pread(fd, head, sizeof head, 0);
    if (length <= CHUNKS_AT)
        return true;
    const struct kind *kind = kinds;
    while (kind->magic && memcmp(head, kind->magic, 4) != 0)
        kind++;
    uint64_t size = (uint64_t)status.st_size;
    return kind->chunks_at ? chunks_fit(fd, kind, head, (size_t)length, size)
                           : fits(fd, kind->counts_at, kind->entry, size);
}
