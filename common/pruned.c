#include "common/pruned.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/note_file.h"
#include "common/tree.h"

static const char pruned_name[] = TREE_NOTES "/pruned";

enum { READ_AT_ONCE = 1024 /* records */ };

uint64_t pruned_file(const char *folder, const char *name)
{
    OWNED char *path = memory_print("%s/%s", folder, name);
    return names_hash(path, strlen(path));
}

static uint64_t sum_of(const struct pruned *record)
{
    return names_hash(record, offsetof(struct pruned, sum));
}

/* The size of its whole records. */
static off_t size_of(int fd)
{
    struct stat status;
    off_t size = fd >= 0 && fstat(fd, &status) == 0 ? status.st_size : 0;
    return size - size % (off_t)sizeof(struct pruned);
}

/* By read alone: agentos-http, which asks too, has no pread in its sandbox. */
void pruned_each(int tree, void (*visit)(void *context, const struct pruned *record), void *context)
{
    OWNED_FD int fd = files_open(tree, pruned_name, O_RDONLY, 0);
    off_t size = size_of(fd), at = size > PRUNED_BYTES_MAX ? size - PRUNED_BYTES_MAX : 0;
    OWNED struct pruned *records = size > 0 ? memory_new(READ_AT_ONCE, sizeof *records) : NULL;
    at += at % (off_t)sizeof *records ? (off_t)sizeof *records - at % (off_t)sizeof *records : 0;
    if (at < size && lseek(fd, at, SEEK_SET) != at)
        return;
    while (at < size) {
        ssize_t got = read(fd, records, READ_AT_ONCE * sizeof *records);
        size_t count = got > 0 ? (size_t)got / sizeof *records : 0;
        for (size_t i = 0; i < count; i++)
            if (records[i].sum == sum_of(&records[i]))
                visit(context, &records[i]);
        if (count == 0)
            break;
        at += (off_t)(count * sizeof *records);
    }
}

struct search {
    uint64_t file;
    struct pruned *found;
    bool known;
};

static void compare(void *context, const struct pruned *record)
{
    struct search *search = context;
    if (record->file != search->file)
        return;
    *search->found = *record;
    search->known = true;
}

bool pruned_find(int tree, const char *folder, const char *name, struct pruned *found)
{
    struct search search = {.file = pruned_file(folder, name), .found = found};
    pruned_each(tree, compare, &search);
    return search.known;
}

bool pruned_add(int tree, struct pruned *records, size_t count, struct fault *fault)
{
    int fd = -1;
    for (size_t i = 0; i < count; i++)
        records[i].sum = sum_of(&records[i]);
    bool good = notefile_open(tree, pruned_name, &fd) && lseek(fd, size_of(fd), SEEK_SET) >= 0 &&
                files_write_all(fd, records, count * sizeof *records) && fdatasync(fd) == 0;
    int error = errno;
    memory_close_at(&fd);
    errno = error;
    return good || fault_errno(fault, "%s can't be written", pruned_name);
}

bool pruned_exists(int tree)
{
    return files_stamp_at(tree, pruned_name).inode != 0;
}
