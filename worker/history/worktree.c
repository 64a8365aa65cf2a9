/* The files that people see, replaced by exchange: a text that we don't know never gets lost.
 *
 * New texts are written to .agentos/new/NUMBER before the journal's flush (a full disk is met there). After the flush
 * each new file changes places with the file that people see. The old file goes if it is the file that was seen before
 * and no process has it open for writing. Else a person saved in that moment, and the two files change places back: the
 * agent's text is in the commit, the person's text stays in the work tree and is recorded as an edit next time.
 *
 * Killed between two exchanges: the journal's record is redone; a file that has the new text already is passed by.
 * Killed between an exchange and the look at the file that came out: worktree_sweep looks at that file. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"

enum { FRESH_ID = 16 };

/* Is this a file that only this program writes? Then the caller's text replaces any other. An envelope that the
 * supervisor delivers is none: another one may lie under its name by now (a dead letter that was sent again). */
static bool ours_alone(const char *path)
{
    if (strncmp(path, TREE_INBOX "/", sizeof TREE_INBOX) == 0 ||
        strncmp(path, TREE_HANDOFFS "/", sizeof TREE_HANDOFFS) == 0)
        return false;
    return strncmp(path, "iac/", 4) == 0 || strcmp(path, TREE_CARD) == 0 || strcmp(path, TREE_QUEUE) == 0;
}

/* After a power cut a file may have lost its end or hold zeros where its text should be. */
static bool is_damage(const struct step *step, const char *text, size_t length)
{
    if (length > step->length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] != '\0' && text[i] != step->text[i])
            return false;
    return true;
}

/* Compare the file in the work tree with the text that the commit expects there. */
static void look(struct history *history, struct step *step, const struct place *place, bool redo)
{
    git_oid id;
    struct stat *current = &step->current;
    if (fstatat(place->folder, place->name, current, AT_SYMLINK_NOFOLLOW) != 0) {
        *current = (struct stat){0};
        step->done = step->kind == CHANGE_REMOVE;
        return;
    }
    bool forced = ours_alone(step->path);
    step->left = !S_ISREG(current->st_mode);
    if (step->left)
        return;
    if (!redo && index_matches(history, step->path, current, &id) && git_oid_equal(&id, &step->before)) {
        step->done = step->kind == CHANGE_WRITE && git_oid_equal(&step->before, &step->after);
        return;
    }
    /* This step wrote the file, and no other writer has since. Only the step's own note counts: another note says that
     * a later record wrote the file, and that record is redone later. */
    if (redo && journal_power_was_cut(history->journal) && record_wrote(&step->note, current))
        return;
    OWNED char *text = NULL;
    size_t length = 0;
    bool read = hash_at(place->folder, place->name, &id, current, &text, &length) == 1;
    if (read && step->kind == CHANGE_WRITE && git_oid_equal(&id, &step->after))
        step->done = true;
    else if (read && !object_id_zero(&step->before) && git_oid_equal(&id, &step->before))
        step->left = false;
    else if (read && redo && step->kind == CHANGE_WRITE && journal_power_was_cut(history->journal) &&
             is_damage(step, text, length))
        step->left = false;
    else
        step->left = !forced;
}

static bool write_fresh(struct history *history, struct step *step, const char *number, struct fault *fault)
{
    mode_t mode = step->current.st_ino ? step->current.st_mode & 0777 : step->mode & 0777;
    if (!spare_write(history, history->folders.fresh, number, step->text, step->length, mode,
                     &step->prepared)) {
        fault_errno(fault, "cannot write the new text of %s, the commit was not made", step->path);
        unlinkat(history->folders.fresh, number, 0);
        step->prepared.st_ino = 0;
        return false;
    }
    step->note = record_note(&step->prepared);
    return true;
}

/* The step's number and its commit's id: a file that a killed commit left must not be taken for part of another
 * commit. */
static void fresh_name(const struct work *work, size_t number, char name[FRESH_NAME])
{
    char id[FRESH_ID + 1];
    git_oid_tostr(id, sizeof id, &work->commit);
    snprintf(name, FRESH_NAME, "%zu-%s", number, id);
}

bool worktree_prepare(struct history *history, struct work *work, bool redo, struct fault *fault)
{
    for (size_t i = 0; i < work->step_count; i++) {
        struct step *step = &work->steps[i];
        if (step->kind != CHANGE_WRITE && step->kind != CHANGE_REMOVE)
            continue;
        struct place place;
        if (!place_open(history, step->path, step->kind == CHANGE_WRITE, &place, fault)) {
            if (step->kind == CHANGE_WRITE && !redo)
                return false;
            /* No file to remove, or a file in the place of its folder: people's affair. */
            step->done = step->kind == CHANGE_REMOVE;
            step->left = !step->done;
            continue;
        }
        look(history, step, &place, redo);
        place_close(&place);
        if (step->left && !redo && !git_oid_equal(&step->before, &step->after))
            log_warn(
                "agent", history->agent,
                "%s was changed by somebody else; it stays as it is, the agent's version is in the commit",
                step->path);
        char number[FRESH_NAME];
        fresh_name(work, i, number);
        if (step->kind == CHANGE_WRITE && !step->left && !step->done &&
            !write_fresh(history, step, number, fault))
            return false;
    }
    return true;
}

void worktree_discard(struct history *history, const struct work *work)
{
    for (size_t i = 0; i < work->step_count; i++) {
        char number[FRESH_NAME];
        fresh_name(work, i, number);
        if (work->steps[i].prepared.st_ino != 0)
            unlinkat(history->folders.fresh, number, 0);
    }
}

/* The file under this number is what we saw before, and nobody can write to it any more: an open descriptor for
 * writing refuses the lease. */
static bool came_out_as_seen(struct history *history, const struct step *step, const char *number)
{
    OWNED_FD int fd = openat(history->folders.fresh, number, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0)
        return false;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN)
        return false;
    return fstat(fd, &status) == 0 && status.st_ino == step->current.st_ino &&
           status.st_size == step->current.st_size && status.st_mtim.tv_sec == step->current.st_mtim.tv_sec &&
           status.st_mtim.tv_nsec == step->current.st_mtim.tv_nsec;
}

static void keep_aside(struct history *history, const char *number, const char *path)
{
    OWNED char *flat = memory_text(path);
    for (char *c = flat; *c; c++)
        if (*c == '/')
            *c = '_';
    OWNED char *aside = memory_print("saved-%lld-%s", (long long)clock_now_ms(), flat);
    if (renameat(history->folders.fresh, number, history->folders.notes, aside) == 0)
        log_warn("agent", history->agent,
                 "%s was saved by somebody while it was being written; their version lies in .agentos/%s",
                 path, aside);
}

static void left_theirs(struct history *history, struct step *step)
{
    step->left = true;
    log_warn("agent", history->agent,
             "%s was saved by somebody while it was being written; their version stays, the agent's is in "
             "the commit",
             step->path);
}

static bool exchange(struct history *history, struct step *step, const struct place *place,
                     const char *number, struct fault *fault)
{
    unsigned how = step->current.st_ino != 0 ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    int result = renameat2(history->folders.fresh, number, place->folder, place->name, how);
    if (result != 0 && errno == ENOENT && how == RENAME_EXCHANGE) { /* deleted in this moment */
        how = RENAME_NOREPLACE;
        result = renameat2(history->folders.fresh, number, place->folder, place->name, how);
    }
    if (result != 0 && errno == EEXIST && ours_alone(step->path))
        result = renameat2(history->folders.fresh, number, place->folder, place->name, how = RENAME_EXCHANGE);
    if (result != 0 && errno == EEXIST) {
        left_theirs(history, step);
        unlinkat(history->folders.fresh, number, 0);
        return true;
    }
    if (result != 0)
        return fault_errno(fault, "cannot put %s into place", step->path);
    if (how == RENAME_NOREPLACE)
        return true;
    if (ours_alone(step->path) || came_out_as_seen(history, step, number)) {
        spare_keep(history, number, (size_t)step->current.st_size);
        return true;
    }
    struct stat ours;
    left_theirs(history, step);
    if (renameat2(history->folders.fresh, number, place->folder, place->name, RENAME_EXCHANGE) != 0)
        keep_aside(history, number, step->path);
    else if (fstatat(history->folders.fresh, number, &ours, AT_SYMLINK_NOFOLLOW) == 0 &&
             ours.st_ino != step->prepared.st_ino)
        keep_aside(history, number, step->path); /* saved twice in that moment */
    else
        unlinkat(history->folders.fresh, number, 0);
    return true;
}

static bool take_away(struct history *history, struct step *step, struct place *place, const char *number,
                      struct fault *fault)
{
    unlinkat(history->folders.fresh, number, 0);
    if (renameat2(place->folder, place->name, history->folders.fresh, number, RENAME_NOREPLACE) != 0)
        return errno == ENOENT || fault_errno(fault, "cannot remove %s", step->path);
    if (!ours_alone(step->path) && !came_out_as_seen(history, step, number)) {
        left_theirs(history, step);
        if (renameat2(history->folders.fresh, number, place->folder, place->name, RENAME_NOREPLACE) != 0)
            keep_aside(history, number, step->path);
        return true;
    }
    spare_keep(history, number, (size_t)step->current.st_size);
    /* A skill's folder goes with its last file; the tree's own folders stay. */
    if (strncmp(step->path, TREE_SKILL_FOLDER "/", sizeof TREE_SKILL_FOLDER) == 0) {
        OWNED char *parent = memory_slice(step->path, (size_t)(place->name - 1 - step->path));
        if (strchr(parent, '/') && unlinkat(history->tree, parent, AT_REMOVEDIR) == 0) {
            spares_outlast(history, place->folder);
            place->own = false;
        }
    }
    return true;
}

bool worktree_apply(struct history *history, struct work *work, struct fault *fault)
{
    bool all = true;
    for (size_t i = 0; i < work->step_count; i++) {
        struct step *step = &work->steps[i];
        bool writes = step->kind == CHANGE_WRITE && step->prepared.st_ino != 0;
        if (step->done || step->left || (!writes && step->kind != CHANGE_REMOVE))
            continue;
        char number[FRESH_NAME];
        fresh_name(work, i, number);
        struct place place;
        if (!place_open(history, step->path, writes, &place, fault)) {
            all = !writes && all;
            continue;
        }
        all = (writes ? exchange(history, step, &place, number, fault)
                      : take_away(history, step, &place, number, fault)) &&
              all;
        place_close(&place);
    }
    return all;
}

/* The step that a left file belongs to; NULL: the file is none of this commit's. */
static const struct step *step_of(const struct work *work, const char *name)
{
    char expected[FRESH_NAME];
    size_t number = (size_t)strtoull(name, NULL, 10);
    if (number >= work->step_count)
        return NULL;
    fresh_name(work, number, expected);
    return strcmp(name, expected) == 0 ? &work->steps[number] : NULL;
}

/* Whether the file's text is neither the one before nor the one after. */
static bool is_theirs(struct history *history, const struct step *step, const char *name)
{
    git_oid id;
    struct stat status;
    if (fstatat(history->folders.fresh, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        record_prepared(history, &status))
        return false;
    int found = hash_at(history->folders.fresh, name, &id, &status, NULL, NULL);
    return found < 0 || (found > 0 && status.st_size > 0 && !git_oid_equal(&id, &step->before) &&
                         !git_oid_equal(&id, &step->after));
}

static void sweep_one(struct history *history, const struct work *work, const char *name)
{
    const struct step *step = work ? step_of(work, name) : NULL;
    struct place place;
    if (work && !step)
        return; /* of another commit, which the next sweep knows or drops */
    if (!step || !is_theirs(history, step, name)) {
        unlinkat(history->folders.fresh, name, 0);
        return;
    }
    git_oid id;
    struct stat status;
    if (ours_alone(step->path) || !place_open(history, step->path, true, &place, NULL)) {
        keep_aside(history, name, step->path);
        return;
    }
    int there = hash_at(place.folder, place.name, &id, &status, NULL, NULL);
    if (there == 0 &&
        renameat2(history->folders.fresh, name, place.folder, place.name, RENAME_NOREPLACE) == 0)
        log_warn("agent", history->agent, "%s, as somebody saved it, is back in its place", step->path);
    else if (there > 0 && git_oid_equal(&id, &step->after) &&
             renameat2(history->folders.fresh, name, place.folder, place.name, RENAME_EXCHANGE) == 0) {
        log_warn("agent", history->agent, "%s, as somebody saved it, is back in its place", step->path);
        unlinkat(history->folders.fresh, name, 0);
    } else
        keep_aside(history, name, step->path);
    place_close(&place);
}

bool worktree_sweep(struct history *history, const struct work *work, struct fault *fault)
{
    struct listing *names = listing_open(history->folders.fresh, ".", fault);
    if (!names)
        return false;
    if (!work)
        history->spares.fresh_count = 0; /* they go, too */
    for (const char *name; (name = listing_next(names)) != NULL;)
        if (name[0] != '.')
            sweep_one(history, work, name);
    return listing_close(names, fault);
}
