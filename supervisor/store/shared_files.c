#include "supervisor/store/shared_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"

enum { ASIDE_TRIES = 100 };

/* New folders count only when the folders above them are on disk too. */
static bool flush_above(int data, const char *folder, struct fault *fault)
{
    OWNED char *above = memory_text(folder);
    for (char *slash; (slash = strrchr(above, '/'));) {
        *slash = '\0';
        OWNED_FD int fd = files_open(data, above, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0 || fsync(fd) != 0)
            return fault_errno(fault, "the folder %s may not be on disk", folder);
    }
    return fsync(data) == 0 || fault_errno(fault, "the folder %s may not be on disk", folder);
}

static char *file_of(const char *folder, const char *name)
{
    return memory_print("%s.%s", name, strcmp(folder, SHARED_NOTIFY) == 0 ? "json" : "md");
}

static int open_folder(int data, const char *folder, struct fault *fault)
{
    int fd = files_open(data, folder, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0)
        return fd;
    fd = files_open_folder(data, folder, true, fault);
    if (fd >= 0 && !flush_above(data, folder, fault)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool set_aside(int fd, const char *folder, const char *file, char **aside, struct fault *fault)
{
    for (int tries = 0; tries < ASIDE_TRIES; tries++) {
        OWNED char *name = memory_print("%s.unreadable-%lld", file, (long long)clock_now() + tries);
        if (renameat2(fd, file, fd, name, RENAME_NOREPLACE) == 0) {
            if (aside)
                *aside = memory_text(name);
            return fsync(fd) == 0 ||
                   fault_errno(fault, "%s/%s was set aside, which may not be on disk", folder, file);
        }
        if (errno != EEXIST)
            break;
    }
    return fault_errno(fault, "cannot set %s/%s aside", folder, file);
}

bool shared_set_aside(int data, const char *folder, const char *file, char **aside, struct fault *fault)
{
    OWNED_FD int fd = open_folder(data, folder, fault);
    if (aside)
        *aside = NULL;
    return fd >= 0 && set_aside(fd, folder, file, aside, fault);
}

/* The folder, to be closed by the caller, where nothing but a regular file is in the file's place. */
static int open_for(int data, const char *folder, const char *file, struct fault *fault)
{
    struct stat status;
    OWNED_FD int fd = open_folder(data, folder, fault);
    if (fd < 0)
        return -1;
    /* A folder can't be replaced by a file, and nobody's file is thrown away. */
    if (fstatat(fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(status.st_mode) &&
        !set_aside(fd, folder, file, NULL, fault))
        return -1;
    int opened = fd;
    fd = -1;
    return opened;
}

bool shared_write(int data, const char *folder, const char *name, const struct buffer *text, bool durable,
                  struct fault *fault)
{
    OWNED char *file = file_of(folder, name);
    OWNED_FD int fd = open_for(data, folder, file, fault);
    return fd >= 0 && files_write(fd, file, text->data ? text->data : "", text->length, durable, fault);
}

bool shared_rewrite(int data, const char *folder, const char *name, const struct buffer *text,
                    struct fault *fault)
{
    OWNED char *file = file_of(folder, name);
    OWNED_FD int fd = open_for(data, folder, file, fault);
    return fd >= 0 && files_rewrite(fd, file, text->data ? text->data : "", text->length, fault);
}

int shared_read(int data, const char *folder, const char *name, size_t limit, char **text, size_t *length,
                struct file_stamp *stamp, struct fault *fault)
{
    OWNED char *file = file_of(folder, name), *path = memory_print("%s/%s", folder, file);
    return files_read(data, path, limit, text, length, stamp, fault);
}

struct file_stamp shared_stamp(int data, const char *folder, const char *name)
{
    OWNED char *file = file_of(folder, name);
    OWNED_FD int fd = files_open(data, folder, O_RDONLY | O_DIRECTORY, 0);
    return fd >= 0 ? files_stamp_at(fd, file) : (struct file_stamp){0};
}

bool shared_sync(int data, const char *folder, const char *name, struct fault *fault)
{
    OWNED char *file = file_of(folder, name);
    OWNED_FD int fd = files_open(data, folder, O_RDONLY | O_DIRECTORY, 0);
    OWNED_FD int inner = fd >= 0 ? files_open(fd, file, O_RDONLY, 0) : -1;
    return (inner >= 0 && fsync(inner) == 0 && fsync(fd) == 0) ||
           fault_errno(fault, "%s/%s cannot be flushed to disk", folder, file);
}

bool shared_remove(int data, const char *folder, const char *name, struct fault *fault)
{
    OWNED char *file = file_of(folder, name);
    OWNED_FD int fd = files_open(data, folder, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno == ENOENT || fault_errno(fault, "cannot open the folder %s", folder);
    if (unlinkat(fd, file, 0) != 0)
        return errno == ENOENT || fault_errno(fault, "cannot remove %s/%s", folder, file);
    return true;
}

/* --- all files of a folder --- */

static bool read_names(int data, const char *folder, bool hidden, char ***names, size_t *count,
                       struct fault *fault)
{
    *names = NULL;
    *count = 0;
    struct listing *listing = listing_open(data, folder, fault);
    if (!listing)
        return errno == ENOENT;
    for (const char *name; *count < SHARED_FILES_MAX && (name = listing_next(listing));) {
        if ((name[0] == '.') != hidden)
            continue;
        *MEMORY_ADD(*names, *count) = memory_text(name);
    }
    bool whole = listing_close(listing, fault);
    MEMORY_SORT(*names, *count, names_order);
    if (*count == SHARED_FILES_MAX)
        return fault_set(fault, "the folder %s has more than %d files; the rest waits until these are gone",
                         folder, SHARED_FILES_MAX);
    return whole;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool shared_each(int data, const char *folder, void (*visit)(void *context, const char *file), void *context,
                 struct fault *fault)
{
    char **names;
    size_t count;
    bool whole = read_names(data, folder, false, &names, &count, fault);
    for (size_t i = 0; i < count; i++)
        visit(context, names[i]);
    free_names(names, count);
    return whole;
}

void shared_tidy(int data, const char *folder)
{
    char **names;
    size_t count;
    OWNED_FD int fd = files_open(data, folder, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return;
    read_names(data, folder, true, &names, &count, NULL);
    for (size_t i = 0; i < count; i++)
        if (strstr(names[i], FILES_MARK) || strstr(names[i], ".json.new-") ||
            strstr(names[i], ".taken.new-") || strstr(names[i], BATCH_MARK))
            unlinkat(fd, names[i], 0);
    free_names(names, count);
}
