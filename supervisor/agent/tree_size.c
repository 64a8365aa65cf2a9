#include "supervisor/agent/tree_size.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"
#include "supervisor/agent/tree_list.h"

enum { DEPTH = 64, PATH_BYTES = 1024, NAMES_BETWEEN_LOOKS = 32, NAME_BYTES = 4096, BLOCK = 512 };

#define WITHOUT_END (INT64_MAX / 4)

struct tree_size {
    struct listing *folders[DEPTH]; /* owned; each lies in the folder before it */
    size_t depth;
    dev_t device;
    int64_t bytes, spent_us;
    struct tree_list *list; /* NULL: the count makes none, or a name had no place in the list */
    char path[PATH_BYTES];  /* of the folder that is read, with its slash */
    size_t lengths[DEPTH];  /* of the folders' paths */
};

static void drop_list(struct tree_size *size)
{
    tree_list_free(size->list);
    size->list = NULL;
}

/* The folder's descriptor is closed when the count can't enter it. False: there is no room for it. */
static bool enter(struct tree_size *size, int folder)
{
    if (size->depth == DEPTH) {
        close(folder);
        return false;
    }
    struct listing *listing = listing_take(folder, "a folder", NULL);
    if (listing)
        size->folders[size->depth++] = listing;
    return true;
}

struct tree_size *tree_size_begin(int folder, bool listed)
{
    struct tree_size *size = memory_new(1, sizeof *size);
    struct stat status;
    *size = (struct tree_size){0};
    if (folder >= 0 && fstat(folder, &status) == 0) {
        size->device = status.st_dev;
        size->list = listed ? tree_list_new(&status) : NULL;
        enter(size, folder);
    } else if (folder >= 0) {
        close(folder);
    }
    return size;
}

static int64_t bytes_of(const struct stat *status)
{
    int64_t taken = (int64_t)status->st_blocks * BLOCK;
    int64_t bytes = S_ISREG(status->st_mode) && status->st_size > taken ? status->st_size : taken;
    if (S_ISREG(status->st_mode) && status->st_nlink > 1)
        bytes /= (int64_t)status->st_nlink;
    return bytes > NAME_BYTES ? bytes : NAME_BYTES;
}

/* The name's path stands behind the folder's from now on. */
static void note(struct tree_size *size, const char *name, const struct stat *status)
{
    size_t above = size->lengths[size->depth - 1], length = strlen(name);
    if (!size->list)
        return;
    if (above + length + sizeof "/" > sizeof size->path) {
        drop_list(size);
        return;
    }
    memcpy(size->path + above, name, length + 1);
    tree_list_add(size->list, size->path, status);
    if (S_ISDIR(status->st_mode) && size->depth < DEPTH) {
        size->path[above + length] = '/';
        size->lengths[size->depth] = above + length + 1;
    }
}

/* A folder that was renamed away in between is met at its new place, or in the next count. */
static void count(struct tree_size *size, int folder, const char *name)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    size->bytes += bytes_of(&status);
    note(size, name, &status);
    if (!S_ISDIR(status.st_mode))
        return;
    if (status.st_dev != size->device) {
        drop_list(size);
        return;
    }
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool entered = inner >= 0 && enter(size, inner);
    if (!entered)
        drop_list(size); /* the folder's names aren't known */
    if (inner >= 0 && !entered)
        size->bytes = WITHOUT_END;
}

static void count_one(struct tree_size *size)
{
    struct listing *listing = size->folders[size->depth - 1];
    const char *name = listing_next(listing);
    if (name) {
        count(size, listing_folder(listing), name);
    } else {
        if (!listing_close(listing, NULL)) /* an unreadable name is counted next time */
            drop_list(size);
        size->depth--;
    }
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool tree_size_go(struct tree_size *size, int64_t until_ms, int64_t enough)
{
    int64_t begun = now_us();
    do
        for (unsigned i = 0; i < NAMES_BETWEEN_LOOKS && size->depth > 0 && size->bytes <= enough; i++)
            count_one(size);
    while (size->depth > 0 && size->bytes <= enough && clock_monotonic_ms() < until_ms);
    size->spent_us += now_us() - begun;
    return size->depth == 0 || size->bytes > enough;
}

int64_t tree_size_bytes(const struct tree_size *size)
{
    return size->bytes;
}

int64_t tree_size_spent_us(const struct tree_size *size)
{
    return size->spent_us;
}

struct tree_list *tree_size_take_list(struct tree_size *size)
{
    struct tree_list *list = size->depth == 0 ? size->list : NULL;
    size->list = list ? NULL : size->list;
    return list;
}

void tree_size_free(struct tree_size *size)
{
    if (!size)
        return;
    drop_list(size);
    while (size->depth > 0)
        (void)listing_close(size->folders[--size->depth], NULL);
    free(size);
}
