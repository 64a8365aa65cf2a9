/* HEAD, its branch, and git's lock files.
 *
 * A lock is git's own: NAME.lock beside NAME, made so that only one can. The target's new text is written first, into
 * a spare, and the spare gets the lock's name by a rename that replaces nothing. The target is then replaced by exchanging
 * the two names: atomic for every reader as a rename would be, but the file system doesn't flush for it.
 *
 * Killed here, by step:
 * - before the rename: a spare;
 * - lock held: its inode and time are in .agentos/locks (written before the rename), lock_sweep removes it;
 * - exchanged: the noted inode stands under the target's name, so the lock is its old self; lock_sweep removes it.
 * Power cut: the lock may be there or not, with or without content; the note as well. A lock that no note explains
 * is removed when it is LOCK_STALE_SECONDS old, as somebody else's would be. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

enum { SYMBOLIC_DEPTH = 5, PACKED_REFS_MAX = 64 * 1024 * 1024, LOCK_POLL_MS = 10 };

/* A small file below .git. 1, 0 not there, -1 fault. text is NUL-terminated, cut at size - 1. */
static int read_small(struct history *history, const char *name, char *text, size_t size, struct fault *fault)
{
    OWNED_FD int fd = openat(history->folders.git, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (n < 0 && errno == EISDIR)
        return 0;
    if (n < 0)
        return fault_errno(fault, "cannot read .git/%s", name), -1;
    text[n] = '\0';
    return 1;
}

static bool hex_line(const char *text, git_oid *id)
{
    return strlen(text) >= GIT_OID_HEXSZ && strchr("\n\r \t", text[GIT_OID_HEXSZ]) &&
           git_oid_fromstrn(id, text, GIT_OID_HEXSZ) == 0 && !object_id_zero(id);
}

/* "<id> <name>" lines; people's `git gc` moves refs there. */
static int read_packed(struct history *history, const char *name, git_oid *id, struct fault *fault)
{
    OWNED char *text = NULL;
    size_t length;
    int found = files_read(history->folders.git, "packed-refs", PACKED_REFS_MAX, &text, &length, NULL, fault);
    if (found <= 0)
        return found;
    size_t name_length = strlen(name);
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        if (n == GIT_OID_HEXSZ + 1 + name_length &&
            memcmp(line + GIT_OID_HEXSZ + 1, name, name_length) == 0 && hex_line(line, id))
            return 1;
        line += n + (line[n] == '\n');
    }
    return 0;
}

/* A repository whose refs are no files has a HEAD that names none, which is no damage. */
int ref_read(struct history *history, char name[REF_NAME_MAX], git_oid *id, struct fault *fault)
{
    char text[REF_NAME_MAX + 16], at[REF_NAME_MAX] = "HEAD";
    *id = (git_oid){0};
    name[0] = '\0';
    for (int depth = 0; depth < SYMBOLIC_DEPTH; depth++) {
        int found = read_small(history, at, text, sizeof text, fault);
        if (found < 0)
            return -1;
        if (found > 0 && strncmp(text, "ref:", 4) == 0) {
            char *target = text + 4 + strspn(text + 4, " \t");
            target[strcspn(target, "\r\n")] = '\0';
            if (strncmp(target, "refs/", 5) != 0 || strlen(target) >= sizeof at ||
                !git_reference_is_valid_name(target))
                break;
            strcpy(at, target);
            strcpy(name, at);
            continue;
        }
        if (found == 0 && depth == 0)
            break;
        if (found > 0 && hex_line(text, id)) {
            strcpy(name, at);
            return 1;
        }
        if (found == 0)
            return read_packed(history, at, id, fault) < 0 ? -1 : 1;
        break;
    }
    if (faccessat(history->folders.git, "reftable", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return fault_set(
                   fault,
                   "the repository keeps its branches as a reftable, which AgentOS can't read; `git refs "
                   "migrate --ref-format=files` (git 2.46 or later) makes files of them"),
               -1;
    fault_set(fault, "the repository's .git/%s is damaged", at);
    return 0;
}

int ref_look(struct history *history, char name[REF_NAME_MAX], git_oid *id, struct fault *fault)
{
    struct head_seen *seen = &history->head.seen,
                     now = {.head_stamp = files_stamp_at(history->folders.git, "HEAD")};
    struct file_stamp ref_stamp = {0};
    if (seen->ref[0] != '\0')
        ref_stamp = files_stamp_at(history->folders.git, seen->ref);
    if (ref_stamp.inode != 0 && files_stamp_equal(&ref_stamp, &seen->ref_stamp) &&
        files_stamp_equal(&now.head_stamp, &seen->head_stamp)) {
        strcpy(name, seen->ref);
        *id = seen->id;
        return 1;
    }
    seen->ref[0] = '\0';
    int read = ref_read(history, now.ref, &now.id, fault);
    if (read == 1) {
        now.ref_stamp = files_stamp_at(history->folders.git, now.ref);
        read = ref_read(history, name, id, fault); /* between the two the stamp was taken */
        if (read == 1 && strcmp(name, now.ref) == 0 && git_oid_equal(id, &now.id))
            *seen = now;
        return read;
    }
    strcpy(name, now.ref);
    *id = now.id;
    return read;
}

bool history_look(struct history *history, struct fault *fault)
{
    char name[REF_NAME_MAX];
    return ref_look(history, name, &history->head.commit, fault) == 1;
}

/* The branch is the prepared file; the lock is held still, so no other process can have changed it. */
static void ref_kept(struct history *history, const char *ref, const struct file_stamp *stamp)
{
    struct head_seen *seen = &history->head.seen;
    if (strcmp(seen->ref, ref) != 0)
        return;
    seen->ref_stamp = *stamp;
    seen->id = history->head.next;
}

/* Does anybody have the file open for writing? (A lease isn't given then.) */
static bool open_for_writing(int folder, const char *name)
{
    OWNED_FD int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return false;
    return fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
}

/* A git that was killed leaves its lock for ever. A living one holds it for milliseconds; only `git commit -a` keeps
 * the index's while its editor is open, and then fails with a sentence of its own, since HEAD has moved. */
static bool break_stale(struct history *history, const char *lock)
{
    struct stat status;
    if (fstatat(history->folders.git, lock, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    if (llabs(clock_kernel_ns() / 1000000000 - (long long)status.st_mtime) <= LOCK_STALE_SECONDS ||
        open_for_writing(history->folders.git, lock))
        return false;
    /* A folder: a folder that stood in the ref's place was exchanged with the lock. */
    bool gone = unlinkat(history->folders.git, lock, 0) == 0 || errno == ENOENT ||
                (errno == EISDIR && unlinkat(history->folders.git, lock, AT_REMOVEDIR) == 0);
    if (gone)
        log_warn("agent", history->agent,
                 "The lock .git/%s was left behind (it is over %d s old); it is removed", lock,
                 LOCK_STALE_SECONDS);
    return gone;
}

static bool write_notes(struct history *history)
{
    return pwrite(history->folders.locks, history->noted, sizeof history->noted, 0) == sizeof history->noted;
}

static enum role role_of(enum lock_kind kind)
{
    return kind == LOCK_REF ? ROLE_REF : ROLE_INDEX;
}

static bool note(struct history *history, enum lock_kind kind)
{
    history->noted[kind] = record_note(&history->spares.roles[role_of(kind)].status);
    return write_notes(history);
}

/* The lock is gone: a later lock of its name is another process's. */
static void forget(struct history *history, enum lock_kind kind)
{
    history->noted[kind] = (struct file_note){0};
    if (!write_notes(history))
        log_warn("agent", history->agent, "The notes about locks can't be written");
}

static bool make_parent(struct history *history, const char *target)
{
    const char *slash = strrchr(target, '/');
    if (!slash)
        return false;
    OWNED char *parent = memory_slice(target, (size_t)(slash - target));
    OWNED_FD int fd = files_open_folder(history->folders.git, parent, true, NULL);
    return fd >= 0;
}

bool lock_take(struct history *history, enum lock_kind kind, const char *target, struct fault *fault)
{
    OWNED char *lock = memory_print("%s.lock", target);
    if (!note(history, kind))
        return fault_errno(fault, "cannot note the lock of .git/%s, the commit was not made", target);
    bool made_parent = false;
    for (int64_t begun = clock_monotonic_ms();;) {
        if (spare_place(history, role_of(kind), history->folders.git, lock))
            return true;
        if (errno == ENOENT && !made_parent && make_parent(history, target)) {
            made_parent = true;
            continue;
        }
        if (errno != EEXIST)
            return fault_errno(fault, "cannot lock .git/%s, the commit was not made", target);
        if (break_stale(history, lock))
            continue;
        if (clock_monotonic_ms() - begun >= LOCK_PATIENCE_MS)
            return fault_set(
                fault, "another git command holds .git/%s; the commit was not made, it is tried again", lock);
        nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * 1000000L}, NULL);
    }
}

bool lock_commit(struct history *history, enum lock_kind kind, const char *target, struct file_stamp *placed,
                 struct fault *fault)
{
    OWNED char *lock = memory_print("%s.lock", target);
    if (renameat2(history->folders.git, lock, history->folders.git, target, RENAME_EXCHANGE) == 0) {
        struct file_stamp stamp =
            files_stamp_at(history->folders.git, target); /* while nobody else can replace it */
        if (kind == LOCK_REF)
            ref_kept(history, target, &stamp);
        if (placed)
            *placed = stamp;
        spare_give(history, history->folders.git, lock);
        forget(history, kind);
        return true;
    }
    /* No target yet, or a file system that can't exchange. */
    if ((errno != ENOENT && errno != EINVAL) ||
        renameat(history->folders.git, lock, history->folders.git, target) != 0)
        return fault_errno(fault, "cannot replace .git/%s", target);
    if (placed)
        *placed = files_stamp_at(history->folders.git, target);
    if (kind == LOCK_REF)
        history->head.seen.ref[0] = '\0';
    forget(history, kind);
    return true;
}

void lock_release(struct history *history, enum lock_kind kind, const char *target)
{
    OWNED char *lock = memory_print("%s.lock", target);
    struct stat status;
    if (fstatat(history->folders.git, lock, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_ino == history->noted[kind].inode)
        unlinkat(history->folders.git, lock, 0);
    forget(history, kind);
}

static bool is_noted(struct history *history, enum lock_kind kind, const char *name)
{
    struct file_stamp stamp = files_stamp_at(history->folders.git, name);
    const struct file_note *noted = &history->noted[kind];
    return stamp.inode != 0 && stamp.inode == noted->inode && stamp.modified_ns == noted->modified_ns;
}

static void sweep(struct history *history, enum lock_kind kind, const char *target)
{
    OWNED char *lock = memory_print("%s.lock", target);
    if (is_noted(history, kind, lock) || is_noted(history, kind, target))
        unlinkat(history->folders.git, lock, 0);
}

void lock_sweep(struct history *history, const char *ref)
{
    if (pread(history->folders.locks, history->noted, sizeof history->noted, 0) != sizeof history->noted)
        memset(history->noted, 0, sizeof history->noted);
    if (ref[0] != '\0')
        sweep(history, LOCK_REF, ref);
    sweep(history, LOCK_INDEX, "index");
    memset(history->noted, 0, sizeof history->noted);
    forget(history, LOCK_INDEX);
}

bool ref_prepare(struct history *history, const git_oid *id, struct fault *fault)
{
    char text[COMMIT_TEXT + 1];
    history->head.next = *id;
    git_oid_tostr(text, COMMIT_TEXT, id);
    strcat(text, "\n");
    return spare_fill(history, ROLE_REF, text, strlen(text)) ||
           fault_errno(fault, "cannot write the branch, the commit was not made");
}

bool ref_set(struct history *history, const char *name, const git_oid *id, struct fault *fault)
{
    if (!ref_prepare(history, id, fault) || !lock_take(history, LOCK_REF, name, fault))
        return false;
    if (lock_commit(history, LOCK_REF, name, NULL, fault))
        return true;
    lock_release(history, LOCK_REF, name);
    return false;
}
