#include "common/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"

/* Names come straight from the kernel: fdopendir asks four times for facts that are known of a descriptor of
 * files_open. */
struct listing {
    int fd;             /* owned */
    char *path;         /* owned */
    int error;          /* of the first call that failed; 0: none has */
    unsigned char type; /* of the entry that was met last */
    size_t at, length;
    _Alignas(struct dirent64) char entries[16 * 1024];
};

/* False: there is no more, or a call failed. */
static bool fill(struct listing *listing)
{
    ssize_t got = listing->error ? 0 : getdents64(listing->fd, listing->entries, sizeof listing->entries);
    if (got < 0 && errno != ENOENT) /* the error of a folder that was removed: such a folder has no names */
        listing->error = errno;
    listing->at = 0;
    listing->length = got > 0 ? (size_t)got : 0;
    return got > 0;
}

struct listing *listing_take(int fd, const char *path, struct fault *fault)
{
    if (fd < 0)
        return fault_errno(fault, "cannot list the folder %s", path), NULL;
    struct listing *listing = memory_grow(NULL, 1, sizeof *listing); /* the entries needn't be zero */
    listing->fd = fd;
    listing->path = memory_text(path);
    listing->error = 0;
    listing->at = listing->length = 0;
    return listing; /* no name is read yet: the caller may take the folder's stamp before its names */
}

struct listing *listing_open(int folder, const char *path, struct fault *fault)
{
    return listing_take(files_open(folder, path, O_RDONLY | O_DIRECTORY, 0), path, fault);
}

int listing_folder(const struct listing *listing)
{
    return listing->fd;
}

static const struct dirent64 *next_entry(struct listing *listing)
{
    if (listing->at == listing->length && !fill(listing))
        return NULL;
    const struct dirent64 *entry = (const void *)(listing->entries + listing->at);
    listing->at += entry->d_reclen;
    listing->type = entry->d_type;
    return entry;
}

const char *listing_next(struct listing *listing)
{
    const struct dirent64 *entry;
    do
        entry = next_entry(listing);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry ? entry->d_name : NULL;
}

unsigned char listing_type(const struct listing *listing)
{
    return listing->type;
}

char **listing_sorted(struct listing *listing, size_t *count)
{
    char **names = NULL;
    *count = 0;
    for (const char *name; (name = listing_next(listing));) {
        MEMORY_MORE(names, *count);
        names[(*count)++] = memory_text(name);
    }
    MEMORY_SORT(names, *count, names_order);
    return names;
}

bool listing_failed(const struct listing *listing)
{
    return listing->error != 0;
}

bool listing_close(struct listing *listing, struct fault *fault)
{
    errno = listing->error;
    bool whole = errno == 0 || fault_errno(fault, "cannot list the folder %s to its end", listing->path);
    close(listing->fd); /* closing reads nothing and writes nothing: its result has no news */
    errno = listing->error;
    free(listing->path);
    free(listing);
    return whole;
}

void listing_close_at(struct listing **listing)
{
    if (*listing)
        (void)listing_close(*listing, NULL);
}
