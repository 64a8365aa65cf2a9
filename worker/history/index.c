/* git's index, so that `git status` is empty after our commits and people's staged changes stay staged.
 *
 * libgit2 holds a copy in memory. The next index is written to a spare, without git's lock (and not by libgit2, which
 * makes a new file each time). Under the lock the spare then takes the place of .git/index. The copy is good as long as
 * .git/index has its old stamp; people's git replaces that file whenever it changes anything. */
#include "worker/history/part.h"

#include <endian.h>
#include <fcntl.h>
#include <sha1.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

static void fill(git_index_entry *entry, const struct stat *status)
{
    entry->ctime.seconds = (int32_t)status->st_ctim.tv_sec;
    entry->ctime.nanoseconds = (uint32_t)status->st_ctim.tv_nsec;
    entry->mtime.seconds = (int32_t)status->st_mtim.tv_sec;
    entry->mtime.nanoseconds = (uint32_t)status->st_mtim.tv_nsec;
    entry->dev = (uint32_t)status->st_dev;
    entry->ino = (uint32_t)status->st_ino;
    entry->uid = status->st_uid;
    entry->gid = status->st_gid;
    entry->file_size = (uint32_t)status->st_size;
}

static git_index *open_copy(struct fault *fault)
{
    git_index *copy = NULL;
    if (git_index_new(&copy) != 0)
        commits_fault(fault, "the index can't be made");
    return copy;
}

static bool from_head(struct history *history, git_index *copy, struct fault *fault)
{
    git_oid root;
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    if (object_id_zero(&history->head.commit))
        return true;
    git_repository *repository = history_repository(history, fault);
    if (!repository || !tree_of_commit(history, &history->head.commit, &root, fault))
        return false;
    bool good = git_tree_lookup(&tree, repository, &root) == 0 && git_index_read_tree(copy, tree) == 0;
    return good || commits_fault(fault, "the index can't be made from HEAD");
}

/* 1 read, 0 it is broken, -1 fault */
static int from_git(struct history *history, git_index *copy, struct fault *fault)
{
    OWNED char *path = memory_print("%s/.git/index", history->path);
    git_index *theirs = NULL;
    if (git_index_open(&theirs, path) != 0)
        return 0;
    int result = 1;
    size_t count = git_index_entrycount(theirs);
    for (size_t i = 0; i < count && result == 1; i++)
        if (git_index_add(copy, git_index_get_byindex(theirs, i)) != 0) {
            commits_fault(fault, "the index can't be copied");
            result = -1;
        }
    git_index_free(theirs);
    return result;
}

/* The size is looked at before libgit2 opens the index, which it reads whole, however large: a sparse file of 10 GB would
 * cost 10 GB of memory. An entry takes some 100 bytes, so 64 MiB are over half a million files. */
enum { INDEX_BYTES_MAX = 64 << 20 };

static void set_aside(struct history *history)
{
    OWNED char *aside = memory_print("index.damaged-%lld", (long long)clock_now());
    if (renameat(history->folders.git, "index", history->folders.notes, aside) == 0)
        log_warn("agent", history->agent,
                 "The index of the repository was broken, or larger than %d MiB; it lies in .agentos/%s now "
                 "and is made "
                 "again from HEAD",
                 INDEX_BYTES_MAX >> 20, aside);
}

bool index_current(struct history *history)
{
    struct file_stamp now = files_stamp_at(history->folders.git, "index");
    return history->index.known && files_stamp_equal(&now, &history->index.stamp);
}

bool index_commit(struct history *history, struct fault *fault)
{
    if (!lock_commit(history, LOCK_INDEX, "index", &history->index.stamp, fault))
        return false;
    history->index.known = history->index.ours = true;
    return true;
}

/* Where git holds the lock, or this fails, the next commit writes it: our copy has it. */
static void enter_again(struct history *history)
{
    struct work lost;
    struct fault why;
    if (!entered_overtaken(history, history->index.copy, &lost))
        return;
    log_info("agent", history->agent,
             "A git command wrote the index back as it had read it before the last commit; the entries of "
             "that commit are entered again");
    if (index_prepare(history, &lost, &why) &&
        faccessat(history->folders.git, "index.lock", F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
        lock_take(history, LOCK_INDEX, "index", &why) &&
        (!index_current(history) || !index_commit(history, &why)))
        lock_release(history, LOCK_INDEX, "index");
    free(lost.steps);
}

bool index_refresh(struct history *history, struct fault *fault)
{
    if (index_current(history))
        return true;
    index_forget(history);
    git_index *copy = open_copy(fault);
    if (!copy)
        return false;
    struct file_stamp stamp = files_stamp_at(history->folders.git, "index");
    bool fits = stamp.inode != 0 && stamp.size <= INDEX_BYTES_MAX;
    int read = fits ? from_git(history, copy, fault) : 0;
    if (read == 0) {
        if (stamp.inode != 0)
            set_aside(history);
        stamp = (struct file_stamp){0};
        git_index_clear(copy);
        read = from_head(history, copy, fault) ? 1 : -1;
    }
    if (read < 0) {
        git_index_free(copy);
        return false;
    }
    history->index.copy = copy;
    history->index.stamp = stamp;
    history->index.known = true;
    enter_again(history);
    return true;
}

void index_forget(struct history *history)
{
    git_index_free(history->index.copy);
    history->index.copy = NULL;
    history->index.known = false;
    history->index.ours = false;
}

static bool put(struct history *history, const struct step *step, struct fault *fault)
{
    git_index_entry entry = {.mode = step->mode, .id = step->after, .path = step->path};
    struct stat status;
    git_oid id;
    if (step->kind == CHANGE_WRITE && step->done)
        fill(&entry, &step->current);
    else if (step->kind == CHANGE_WRITE && step->prepared.st_ino != 0)
        fill(&entry, &step->prepared);
    else if (step->kind == CHANGE_RECORD && worktree_hash(history, step->path, &id, &status) == 1 &&
             git_oid_equal(&id, &step->after))
        fill(&entry, &status);
    if (git_index_add(history->index.copy, &entry) == 0)
        return true;
    return commits_fault(fault, "the index can't take a file, the commit was not made");
}

static bool extended(const git_index_entry *entry)
{
    return (entry->flags_extended & GIT_INDEX_ENTRY_EXTENDED_FLAGS) != 0;
}

/* An entry of version 2 or 3 (git's index-format): the numbers, the id, flags, the path, and NULs up to a multiple of
 * eight, one at least. */
static void print_entry(const git_index_entry *entry, struct buffer *out)
{
    const uint32_t words[] = {(uint32_t)entry->ctime.seconds,
                              entry->ctime.nanoseconds,
                              (uint32_t)entry->mtime.seconds,
                              entry->mtime.nanoseconds,
                              entry->dev,
                              entry->ino,
                              entry->mode,
                              entry->uid,
                              entry->gid,
                              entry->file_size};
    static const char padding[8];
    size_t begun = out->length, length = strlen(entry->path);
    uint32_t numbers[sizeof words / sizeof *words];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        numbers[i] = htobe32(words[i]);
    buffer_add(out, numbers, sizeof numbers);
    buffer_add(out, entry->id.id, GIT_OID_RAWSZ);
    unsigned flags = (entry->flags & ~(unsigned)(GIT_INDEX_ENTRY_NAMEMASK | GIT_INDEX_ENTRY_EXTENDED)) |
                     (length < GIT_INDEX_ENTRY_NAMEMASK ? (unsigned)length : GIT_INDEX_ENTRY_NAMEMASK) |
                     (extended(entry) ? GIT_INDEX_ENTRY_EXTENDED : 0);
    unsigned more = entry->flags_extended & GIT_INDEX_ENTRY_EXTENDED_FLAGS;
    buffer_add(out, (unsigned char[]){(unsigned char)(flags >> 8), (unsigned char)flags}, 2);
    if (extended(entry))
        buffer_add(out, (unsigned char[]){(unsigned char)(more >> 8), (unsigned char)more}, 2);
    buffer_add(out, entry->path, length);
    buffer_add(out, padding, 8 - (out->length - begun) % 8);
}

static void index_print(git_index *index, struct buffer *out)
{
    size_t count = git_index_entrycount(index);
    uint32_t version = 2;
    unsigned char digest[SHA1_DIGEST_LENGTH];
    SHA1_CTX context;
    for (size_t i = 0; i < count; i++)
        if (extended(git_index_get_byindex(index, i)))
            version = 3;
    buffer_room(out, 64 + count * 128);
    buffer_text(out, "DIRC");
    object_word(out, version);
    object_word(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        print_entry(git_index_get_byindex(index, i), out);
    SHA1Init(&context);
    SHA1Update(&context, (const unsigned char *)out->data, out->length);
    SHA1Final(digest, &context);
    buffer_add(out, digest, sizeof digest);
}

bool index_prepare(struct history *history, const struct work *work, struct fault *fault)
{
    for (size_t i = 0; i < work->step_count; i++) {
        const struct step *step = &work->steps[i];
        if (object_id_zero(&step->after)) {
            if (git_index_remove(history->index.copy, step->path, 0) != 0)
                git_error_clear(); /* the entry wasn't there */
        } else if (!put(history, step, fault))
            return false;
    }
    OWNED_BUFFER struct buffer text = {0};
    index_print(history->index.copy, &text);
    return spare_fill(history, ROLE_INDEX, text.data, text.length) ||
           fault_errno(fault, "the new index can't be written, the commit was not made");
}

bool index_redo(struct history *history, const struct work *work, struct fault *fault)
{
    if (!index_refresh(history, fault) || !index_prepare(history, work, fault) ||
        !lock_take(history, LOCK_INDEX, "index", fault)) {
        index_forget(history);
        return false;
    }
    if (index_commit(history, fault))
        return true;
    lock_release(history, LOCK_INDEX, "index");
    index_forget(history);
    return false;
}

/* git's own rule for a file that was written in the same moment as the index: its stamp proves nothing. The stamps
 * of our own commits were taken from files that nobody else could reach yet; to be mistaken for one, a person's edit
 * would have to keep inode and size and fall into the same clock tick (4 ms; since Linux 6.13 there is no such tick
 * for a file that was looked at). */
static bool racy(const struct history *history, const git_index_entry *entry)
{
    if (history->index.ours)
        return false;
    int64_t modified = (int64_t)entry->mtime.seconds * 1000000000 + entry->mtime.nanoseconds;
    return modified >= history->index.stamp.modified_ns;
}

bool index_matches(struct history *history, const char *path, const struct stat *status, git_oid *id)
{
    const git_index_entry *entry =
        history->index.copy ? git_index_get_bypath(history->index.copy, path, 0) : NULL;
    if (!entry || !S_ISREG(status->st_mode))
        return false;
    *id = entry->id;
    return entry->mtime.seconds == (int32_t)status->st_mtim.tv_sec &&
           entry->mtime.nanoseconds == (uint32_t)status->st_mtim.tv_nsec &&
           entry->ino == (uint32_t)status->st_ino && entry->file_size == (uint32_t)status->st_size &&
           !racy(history, entry);
}

void index_note(struct history *history, const char *path, const struct stat *status)
{
    const git_index_entry *entry =
        history->index.copy ? git_index_get_bypath(history->index.copy, path, 0) : NULL;
    if (!entry)
        return;
    git_index_entry fresh = *entry;
    OWNED char *name = memory_text(path);
    fresh.path = name;
    fill(&fresh, status);
    if (git_index_add(history->index.copy, &fresh) != 0)
        git_error_clear(); /* only costs another look */
}
