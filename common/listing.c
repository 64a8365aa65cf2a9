#include "common/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"

struct listing {
    DIR *stream;
    char *path;
    int error; /* of the first call that failed; 0: none has */
};

struct listing *listing_take(int fd, const char *path, struct fault *fault)
{
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        errno = error;
        fault_errno(fault, "cannot list the folder %s", path);
        return NULL;
    }
    struct listing *listing = memory_new(1, sizeof *listing);
    *listing = (struct listing){.stream = stream, .path = memory_text(path)};
    return listing;
}

struct listing *listing_open(int folder, const char *path, struct fault *fault)
{
    return listing_take(files_open(folder, path, O_RDONLY | O_DIRECTORY, 0), path, fault);
}

int listing_folder(const struct listing *listing)
{
    return dirfd(listing->stream);
}

const char *listing_next(struct listing *listing)
{
    const struct dirent *entry;
    do {
        errno = 0;
        entry = listing->error ? NULL : readdir(listing->stream);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    if (!entry && !listing->error)
        listing->error = errno;
    return entry ? entry->d_name : NULL;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **listing_sorted(struct listing *listing, size_t *count)
{
    char **names = NULL;
    *count = 0;
    for (const char *name; (name = listing_next(listing));) {
        if ((*count & (*count - 1)) == 0)
            names = memory_grow(names, *count ? *count * 2 : 1, sizeof *names);
        names[(*count)++] = memory_text(name);
    }
    if (names)
        qsort(names, *count, sizeof *names, by_bytes);
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
    closedir(listing->stream); /* reads nothing and writes nothing: it has no news */
    errno = listing->error;
    free(listing->path);
    free(listing);
    return whole;
}
