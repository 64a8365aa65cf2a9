/* Files whose content nobody needs any more (spares), kept in .agentos/spare to be written again.
 *
 * Making a file is the dearest thing that a commit does: ext4 walks past every inode that was freed in the last
 * minutes, by this agent or any other program, and a commit replaces ten files. So a replaced file is kept and becomes
 * the next replacement. (Measured with tests/bench/bench_commit beside eight builds: 1.2 ms of processor time a commit
 * with spares, 1.2 to 2.7 ms without; a quiet disk shows no difference.) A spare is written to only while a write lease
 * says that nobody has it open or mapped, and while it has no other name (a copy made with hard links, a local clone).
 *
 * A file for .git is filled here and goes to its place from here. A file that comes out of the work tree lies in
 * .agentos/new, and stays there until it is written again.
 *
 * Killed at any point: a file in the folder is a spare, whatever is in it. Power cut: a spare that was written again may
 * come back under its new name with a content from before, which looks like somebody's; the journal's record has inode
 * and time of everything that was prepared, and that tells (record.c). */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/listing.h"
#include "common/memory.h"

enum {
    SPARE_NAME = 16,
    SPARE_BYTES_MAX = 128 * 1024, /* larger ones aren't kept */
    PAGE = 4096,
    SPARES_AHEAD = 12,  /* so many are there before a commit, which takes one for each file that it writes */
    SPARES_AT_ONCE = 4, /* so many spares are made in one moment: as many as a commit doesn't give back */
};

static const char FOLDER_AHEAD[] = "folder";

static void spare_name(unsigned number, char name[SPARE_NAME])
{
    snprintf(name, SPARE_NAME, "%u", number);
}

static unsigned pages_of(uint64_t bytes)
{
    return (unsigned)((bytes < SPARE_BYTES_MAX ? bytes : SPARE_BYTES_MAX) + PAGE - 1) / PAGE;
}

static bool keep(struct spares *spares, unsigned number, const char *name)
{
    struct stat status;
    if (spares->count == SPARES_MAX || fstatat(spares->folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    spares->numbered[spares->count++] =
        (struct numbered_spare){.number = number, .pages = pages_of((uint64_t)status.st_size)};
    if (number >= spares->next)
        spares->next = number + 1;
    return true;
}

bool spares_open(struct history *history, struct fault *fault)
{
    struct spares *spares = &history->spares;
    spares->folder = files_open_folder(history->folders.notes, "spare", true, fault);
    /* A spare that was not met is one less; its name is not taken twice. */
    OWNED_LISTING struct listing *names = spares->folder < 0 ? NULL : listing_open(spares->folder, ".", NULL);
    for (const char *name; names && (name = listing_next(names)) != NULL;) {
        char *end;
        unsigned long number = strtoul(name, &end, 10);
        if (name[0] == '.')
            continue;
        if (end == name || *end != '\0' || number > 1000000 || !keep(spares, (unsigned)number, name))
            unlinkat(spares->folder, name, strcmp(name, FOLDER_AHEAD) == 0 ? AT_REMOVEDIR : 0);
    }
    return spares->folder >= 0;
}

void spares_let_go(struct history *history)
{
    struct spares *spares = &history->spares;
    while (spares->removed_count > 0)
        close(spares->removed[--spares->removed_count]);
}

void spares_outlast(struct history *history, int removed)
{
    struct spares *spares = &history->spares;
    if (spares->removed_count == REMOVED_MAX)
        spares_let_go(history);
    spares->removed[spares->removed_count++] = removed;
}

static void drop_folder(struct spares *spares)
{
    unlinkat(spares->folder, FOLDER_AHEAD, AT_REMOVEDIR);
    spares->folder_ahead = 0;
}

/* Whether the folder is still the one that was made, and not another in its place. */
static bool folder_is_ours(const struct spares *spares)
{
    struct stat status;
    return spares->folder_ahead != 0 &&
           fstatat(spares->folder, FOLDER_AHEAD, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode) && status.st_ino == spares->folder_ahead;
}

bool spare_folder(struct history *history, const char *path)
{
    struct spares *spares = &history->spares;
    spares->folder_wanted = true;
    const char *slash = strrchr(path, '/');
    if (!slash || history->redo.on || !folder_is_ours(spares)) {
        spares->folder_ahead = 0;
        return false;
    }
    OWNED char *parent = memory_slice(path, (size_t)(slash - path));
    OWNED_FD int above = files_open(history->tree, parent, O_RDONLY | O_DIRECTORY, 0);
    bool placed =
        above >= 0 && renameat2(spares->folder, FOLDER_AHEAD, above, slash + 1, RENAME_NOREPLACE) == 0;
    if (!placed)
        drop_folder(spares);
    spares->folder_ahead = 0;
    return placed;
}

static void make_folder(struct spares *spares)
{
    struct stat status;
    if (spares->folder_wanted && spares->folder_ahead == 0 &&
        mkdirat(spares->folder, FOLDER_AHEAD, 0755) == 0 &&
        fstatat(spares->folder, FOLDER_AHEAD, &status, AT_SYMLINK_NOFOLLOW) == 0)
        spares->folder_ahead = status.st_ino;
}

void spares_close(struct history *history)
{
    spares_let_go(history);
    memory_close_at(&history->spares.folder);
}

void spare_give(struct history *history, int folder, const char *name)
{
    struct spares *spares = &history->spares;
    char spare[SPARE_NAME];
    spare_name(spares->next, spare);
    /* The file's kind, and whether another process has it open, are looked at when it is taken. */
    if (spares->count < SPARES_MAX && renameat2(folder, name, spares->folder, spare, RENAME_NOREPLACE) == 0)
        keep(spares, spares->next, spare);
    else
        unlinkat(folder, name, 0);
}

/* No other process has the file, under this name or another. The lease ends with the descriptor, or is let go. */
static bool ours_alone(int fd, struct stat *status)
{
    return fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fstat(fd, status) == 0 && S_ISREG(status->st_mode) &&
           status->st_nlink == 1 && status->st_size <= SPARE_BYTES_MAX;
}

static bool name_it(int from, const char *spare, int folder, const char *name)
{
    return renameat2(from, spare, folder, name, RENAME_NOREPLACE) == 0 ||
           (errno == EEXIST && unlinkat(folder, name, 0) == 0 &&
            renameat2(from, spare, folder, name, RENAME_NOREPLACE) == 0);
}

/* Opens the spare for writing; -1: the file can't be used again, and is removed. */
static int open_spare(int folder, const char *spare, struct stat *status)
{
    int fd = openat(folder, spare, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && ours_alone(fd, status))
        return fd;
    unlinkat(folder, spare, 0);
    memory_close_at(&fd);
    return -1;
}

/* How ill a spare of so many pages suits a text of so many: cutting pages off is dear, where the file system gives each
 * back to the disk at once; adding some is cheap. */
static unsigned misfit(unsigned pages, unsigned wanted)
{
    return pages <= wanted ? wanted - pages : pages - wanted + SPARE_BYTES_MAX / PAGE;
}

/* The index of the spare that fits best, of equal ones the last. */
static size_t best_numbered(const struct spares *spares, unsigned wanted)
{
    size_t best = spares->count - 1;
    for (size_t i = best; i-- > 0;)
        if (misfit(spares->numbered[i].pages, wanted) < misfit(spares->numbered[best].pages, wanted))
            best = i;
    return best;
}

/* A spare that has a number, open for writing; -1: there is none. */
static int take_numbered(struct history *history, size_t length, unsigned *number, struct stat *status)
{
    struct spares *spares = &history->spares;
    int fd = -1;
    while (fd < 0 && spares->count > 0) {
        char spare[SPARE_NAME];
        size_t best = best_numbered(spares, pages_of(length));
        *number = spares->numbered[best].number;
        spares->numbered[best] = spares->numbered[--spares->count];
        spare_name(*number, spare);
        fd = open_spare(spares->folder, spare, status);
    }
    return fd;
}

/* The index of the spare that fits best, of equal ones the eldest: that spare was the same file's in the last
 * commit. */
static size_t best_fresh(const struct spares *spares, unsigned wanted)
{
    size_t best = 0;
    for (size_t i = 1; i < spares->fresh_count; i++)
        if (misfit(spares->fresh[i].pages, wanted) < misfit(spares->fresh[best].pages, wanted))
            best = i;
    return best;
}

static bool fresh_suits(const struct spares *spares, unsigned wanted)
{
    if (spares->fresh_count == 0 || spares->count == 0)
        return spares->fresh_count > 0;
    return misfit(spares->fresh[best_fresh(spares, wanted)].pages, wanted) <=
           misfit(spares->numbered[best_numbered(spares, wanted)].pages, wanted);
}

/* A spare under its new name, open for writing; -1: there is none. */
static int take(struct history *history, int folder, const char *name, size_t length, struct stat *status)
{
    struct spares *spares = &history->spares;
    char spare[SPARE_NAME];
    unsigned number;
    int from = history->folders.fresh, fd = -1;
    char fresh[FRESH_NAME];
    const char *old = fresh;
    unsigned wanted = pages_of(length);
    while (fd < 0 && fresh_suits(spares, wanted)) {
        size_t best = best_fresh(spares, wanted);
        memcpy(fresh, spares->fresh[best].name, FRESH_NAME);
        memmove(&spares->fresh[best], &spares->fresh[best + 1],
                (--spares->fresh_count - best) * sizeof *spares->fresh);
        fd = open_spare(from, fresh, status);
    }
    if (fd < 0 && (fd = take_numbered(history, length, &number, status)) >= 0) {
        spare_name(number, spare);
        from = spares->folder;
        old = spare;
    }
    if (fd < 0 || name_it(from, old, folder, name))
        return fd;
    unlinkat(from, old, 0);
    close(fd);
    return -1;
}

static int make(int folder, const char *name)
{
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
}

static bool write_over(int fd, const char *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = TEMP_FAILURE_RETRY(pwrite(fd, bytes + done, length - done, (off_t)done));
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* The old end is cut off last, and never all of it: the file system flushes a file that was emptied. */
static bool fill(int fd, const struct stat *before, const char *bytes, size_t length, mode_t mode,
                 struct stat *status)
{
    return write_over(fd, bytes, length) &&
           (before->st_size <= (off_t)length || ftruncate(fd, (off_t)length) == 0) &&
           ((before->st_mode & 0777) == mode || fchmod(fd, mode) == 0) && fstat(fd, status) == 0;
}

bool spare_write(struct history *history, int folder, const char *name, const char *bytes, size_t length,
                 mode_t mode, struct stat *status)
{
    struct stat before = {0};
    int fd = history->redo.on ? -1 : take(history, folder, name, length, &before);
    if (fd < 0) {
        fd = make(folder, name);
        if (fd < 0 && errno == EEXIST && unlinkat(folder, name, 0) == 0)
            fd = make(folder, name);
        before = (struct stat){.st_mode = 0644};
    }
    OWNED_FD int file = fd;
    return file >= 0 && fill(file, &before, bytes, length, mode, status);
}

void spare_keep(struct history *history, const char *name, size_t length)
{
    struct spares *spares = &history->spares;
    if (spares->fresh_count == FRESH_MAX) {
        spare_give(history, history->folders.fresh, name);
        return;
    }
    struct fresh_spare *fresh = &spares->fresh[spares->fresh_count++];
    fresh->pages = pages_of(length);
    snprintf(fresh->name, FRESH_NAME, "%s", name);
}

bool spare_fill(struct history *history, enum role role, const char *bytes, size_t length)
{
    struct spares *spares = &history->spares;
    struct stat before = {0};
    char name[SPARE_NAME];
    unsigned number = spares->roles[role].number;
    int fd = -1;
    if (spares->roles[role].filled && !history->redo.on) {
        spare_name(number, name);
        fd = open_spare(spares->folder, name, &before);
    }
    spares->roles[role].filled = false;
    if (fd < 0 && !history->redo.on)
        fd = take_numbered(history, length, &number, &before);
    if (fd < 0) {
        spare_name(number = spares->next++, name);
        fd = make(spares->folder, name);
        if (fd < 0 && errno == ENOENT) { /* somebody removed the folder */
            close(spares->folder);
            spares->folder = files_open_folder(history->folders.notes, "spare", true, NULL);
            fd = make(spares->folder, name);
        }
        before = (struct stat){.st_mode = 0644};
    }
    OWNED_FD int file = fd;
    spares->roles[role].number = number;
    spares->roles[role].filled = file >= 0;
    return file >= 0 && fill(file, &before, bytes, length, 0644, &spares->roles[role].status);
}

bool spare_place(struct history *history, enum role role, int folder, const char *name)
{
    struct spares *spares = &history->spares;
    char spare[SPARE_NAME];
    spare_name(spares->roles[role].number, spare);
    if (renameat2(spares->folder, spare, folder, name, RENAME_NOREPLACE) != 0)
        return false;
    spares->roles[role].filled = false;
    return true;
}

void spares_drop(struct history *history)
{
    struct spares *spares = &history->spares;
    drop_folder(spares);
    while (spares->fresh_count > 0)
        unlinkat(history->folders.fresh, spares->fresh[--spares->fresh_count].name, 0);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        char filled[SPARE_NAME];
        spare_name(spares->roles[i].number, filled);
        if (spares->roles[i].filled)
            unlinkat(spares->folder, filled, 0);
        spares->roles[i].filled = false;
    }
    while (spares->count > 0) {
        char spare[SPARE_NAME];
        spare_name(spares->numbered[--spares->count].number, spare);
        unlinkat(spares->folder, spare, 0);
    }
}

static bool make_one(struct history *history)
{
    struct spares *spares = &history->spares;
    char name[SPARE_NAME];
    if (spares->count >= SPARES_AHEAD)
        return false;
    spare_name(spares->next, name);
    OWNED_FD int fd = make(spares->folder, name);
    return fd >= 0 && keep(spares, spares->next, name);
}

void history_ready(struct history *history)
{
    spares_let_go(history);
    make_folder(&history->spares);
    /* An agent without a finished task, one of hundreds perhaps, needs no spares. */
    for (int i = 0; history->committed_ms != 0 && i < SPARES_AT_ONCE && make_one(history); i++)
        ;
}
