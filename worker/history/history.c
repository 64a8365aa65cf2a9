/* Opening the repository, and the commit.
 *
 * A commit, step by step, and what is left when the process is killed (K) or the power is cut (P) behind it:
 *
 *   1 objects too large for a pack  K, P: objects that nothing names yet
 *   2 new texts in .agentos/new     K, P: swept at the next open
 *   3 index and ref, as spares      K, P: spares
 *   4 locks of ref and index        K: known as ours by their inode, removed at open. P: the same, or removed when
 *                                   they are 10 s old
 *     (HEAD and index are looked at again here: a change by people's git meanwhile begins the commit anew)
 *   5 the journal's record, flushed K before the write, P before the flush: no commit. K after the write:
 *                                   the record is whole and is redone, though nobody was told. From here on: durable
 *     (the pack's two files are written, as spares, while the disk is at work on the record; where there is no room for
 *     them the record is taken back)
 *   6 the pack gets its name        K: its objects are written again from the record. P: the same, when it isn't what
 *                                   its name says
 *   6 the ref                       K: redone, it stands at the parent. P: redone from the journal, whatever of the
 *                                   objects, the ref, the files and the index did not come to disk
 *   7 the work tree                 K, P: redone; see worktree.c
 *   8 the index                     K, P: redone
 *   9 the record is marked done     K: done. P: redone, which changes nothing
 *
 * The steps that can fail for lack of space lie before the flush: behind the flush there are only renames. Should a
 * rename fail, the commit counts (it is durable), the log says so, and the commit is brought to its end before any
 * other. */
#include "worker/history/part.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/repository/library.h"
#include "common/tree.h"

enum {
    ATTEMPTS = 16, /* a commit begins anew so often when people's git moves HEAD or the index under it */
};

/* --- open --- */

static bool open_notes(struct history *history, struct fault *fault)
{
    history->folders.notes = files_open_folder(history->tree, TREE_NOTES, true, fault);
    if (history->folders.notes < 0)
        return false;
    history->folders.fresh = files_open_folder(history->folders.notes, "new", true, fault);
    if (history->folders.fresh < 0 || !spares_open(history, fault))
        return false;
    history->folders.locks = files_open(history->folders.notes, "locks", O_RDWR | O_CREAT, 0644);
    return history->folders.locks >= 0 || fault_errno(fault, "cannot open .agentos/locks");
}

/* A HEAD that is no ref can be said again. */
static bool mend_head(struct history *history, struct fault *fault)
{
    char name[REF_NAME_MAX];
    git_oid id;
    if (ref_read(history, name, &id, NULL) == 0 && name[0] == '\0') {
        log_warn("agent", history->agent,
                 "The repository's HEAD was damaged; it names the branch main again");
        if (!skeleton_head(history, fault))
            return false;
        ref_read(history, name, &id, NULL);
    }
    lock_sweep(history, name);
    return true;
}

/* The branch's last commit is in the ledger. */
static bool mend_ref(struct history *history, const char *name, struct fault *fault)
{
    const git_oid *newest = &history->ledger.newest;
    if (name[0] == '\0' || object_id_zero(newest) || !object_sound(history, newest) ||
        !ref_set(history, name, newest, fault))
        return false;
    history->head.commit = *newest;
    log_warn("agent", history->agent, "The branch %s was damaged; it stands at the last known commit again",
             name);
    return true;
}

/* 1 good, 0 and fault: damaged beyond mending, -1 and fault */
static int check_head(struct history *history, struct fault *fault)
{
    char name[REF_NAME_MAX];
    git_oid root;
    int read = ref_read(history, name, &history->head.commit, fault);
    if (read < 0 || (read == 0 && !mend_ref(history, name, fault)))
        return read;
    if (object_id_zero(&history->head.commit))
        return 1;
    OWNED_GIT(git_odb_object) git_odb_object *tree = NULL;
    if (!tree_of_commit(history, &history->head.commit, &root, fault) ||
        !object_read(history, &root, GIT_OBJECT_TREE, &tree, fault))
        return 0;
    return 1;
}

/* 1 good, 0 and fault: damaged beyond mending, -1 and fault */
static int open_repository(struct history *history, struct fault *fault)
{
    int made = skeleton_make(history, fault);
    if (made <= 0)
        return made;
    history_close_objects(history);
    if (!history_objects(history, fault))
        return object_look_counts(history) ? 0 : -1;
    if (!mend_head(history, fault) || !record_redo_all(history, fault))
        return -1;
    int good = check_head(history, fault);
    return good != 0 || object_look_counts(history) ? good : -1;
}

/* HEAD is where people moved it, unless it is our last commit, which the ledger names. Then all that we did before is made
 * durable: a power cut would else redo the journal's records over people's reset, and drop our commits behind it. */
static bool catch_up(struct history *history, struct fault *fault)
{
    return git_oid_equal(&history->ledger.newest, &history->head.commit) ||
           (journal_checkpoint(history->journal, fault) && ledger_refresh(history, fault));
}

static bool open_all(struct history *history, char **damage, struct fault *fault)
{
    if (!open_notes(history, fault))
        return false;
    history->journal = journal_open(history->tree, damage, fault);
    if (!history->journal || !ledger_open(history, fault))
        return false;
    struct fault why = {0};
    int opened = open_repository(history, &why);
    if (opened == 0) {
        /* The journal's records belong to the repository that is set aside. */
        if (!skeleton_set_aside(history, why.text, damage, fault) ||
            !journal_checkpoint(history->journal, fault))
            return false;
        history->head.rooted = (git_oid){0};
        opened = open_repository(history, &why);
    }
    if (opened <= 0)
        return fault_set(fault, "%s", why.text);
    if (journal_power_was_cut(history->journal) && !journal_checkpoint(history->journal, &why))
        log_warn("agent", history->agent, "%s", why.text);
    return catch_up(history, fault);
}

/* Everything is closed, or was never open. */
static void forget_parts(struct history *history)
{
    *history = (struct history){.tree = history->tree,
                                .epoch = history->epoch,
                                .path = history->path,
                                .agent = history->agent,
                                .warned = history->warned,
                                .damage = history->damage,
                                .folders = {-1, -1, -1, -1},
                                .retired.look_at = INT64_MAX,
                                .ledger.fd = -1,
                                .spares.folder = -1};
}

static void close_parts(struct history *history)
{
    ledger_close(history);
    spares_close(history);
    index_forget(history);
    entered_forget(history);
    edits_forget(history);
    tree_set_free(&history->trees);
    history_close_objects(history);
    journal_close(history->journal);
    int descriptors[] = {history->folders.git, history->folders.notes, history->folders.fresh,
                         history->folders.locks};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        memory_close_at(&descriptors[i]);
    buffer_free(&history->unjoined);
    forget_parts(history);
}

static bool open_parts(struct history *history, char **damage, struct fault *fault)
{
    history->retired.look_at = 0;
    if (open_all(history, damage, fault))
        return true;
    close_parts(history);
    return false;
}

struct history *history_open(int tree, const char *path, const char *agent, char **damage,
                             struct fault *fault)
{
    if (damage)
        *damage = NULL;
    if (!repository_library_start(fault))
        return NULL;
    files_leases_silent();
    struct history *history = memory_new(1, sizeof *history);
    history->tree = tree;
    history->path = memory_text(path);
    history->agent = memory_text(agent);
    forget_parts(history);
    if (open_parts(history, damage, fault))
        return history;
    history_close(history);
    return NULL;
}

void history_close(struct history *history)
{
    if (!history)
        return;
    close_parts(history);
    buffer_free(&history->warned);
    free(history->damage);
    free(history->path);
    free(history->agent);
    free(history);
}

static bool lies_at(const struct history *history, const char *name, int folder)
{
    struct stat open, there;
    return folder >= 0 && fstat(folder, &open) == 0 &&
           fstatat(history->tree, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && open.st_ino == there.st_ino &&
           open.st_dev == there.st_dev;
}

/* The records of the journal are of the repository that was there before: a power cut would redo them over the one that
 * a person has put in its place. A commit that is not at its end yet is redone first, where it fits. */
bool history_follow(struct history *history, struct fault *fault)
{
    OWNED char *damage = NULL;
    if (lies_at(history, ".git", history->folders.git) &&
        lies_at(history, TREE_NOTES, history->folders.notes))
        return true;
    if (history->journal)
        log_warn("agent", history->agent,
                 "The repository's .git or the worker's " TREE_NOTES
                 " was removed or replaced by somebody; both are opened anew");
    close_parts(history);
    bool opened = open_parts(history, &damage, fault);
    if (damage) {
        log_error("agent", history->agent, "%s", damage);
        memory_set(&history->damage, damage);
    }
    if (!opened)
        return false;
    if (journal_size(history->journal) > 0 && !journal_checkpoint(history->journal, fault)) {
        close_parts(history);
        return false;
    }
    return history->opened_anew = true;
}

bool history_opened_anew(struct history *history, char **damage)
{
    bool anew = history->opened_anew;
    history->opened_anew = false;
    *damage = history->damage;
    history->damage = NULL;
    return anew;
}

bool history_empty(const struct history *history)
{
    return object_id_zero(&history->head.commit);
}

/* --- commit --- */

/* Parts of a path that could lead out of the tree or into what isn't the agent's to commit. */
static bool path_allowed(const char *path)
{
    if (strlen(path) >= 4096 || strncmp(path, TREE_NOTES "/", sizeof TREE_NOTES) == 0)
        return false;
    for (const char *part = path;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && strncmp(part, "..", 2) == 0) ||
            (length == 4 && strncasecmp(part, ".git", 4) == 0) || length > 255)
            return false;
        part += length;
        if (*part == '\0')
            return true;
    }
}

/* The path's place in a table of steps, each by its number plus one; or the free place (0) that it would take. */
static uint32_t *place_of(uint32_t *places, size_t mask, const struct work *work, const char *path)
{
    size_t at = names_hash(path, strlen(path)) & mask;
    while (places[at] != 0 && strcmp(work->steps[places[at] - 1].path, path) != 0)
        at = (at + 1) & mask;
    return &places[at];
}

/* One step a path; of several changes of one path the last counts. People put in a hundred thousand files at once, so
 * a table finds a path's step. */
static bool take_steps(struct work *work, const struct commit_request *request, struct fault *fault)
{
    size_t mask = 15;
    while (mask < 2 * request->change_count)
        mask = 2 * mask + 1;
    OWNED uint32_t *places = memory_new(mask + 1, sizeof *places);
    work->steps = memory_new(request->change_count + 1, sizeof *work->steps);
    for (size_t i = 0; i < request->change_count; i++) {
        const struct change *change = &request->changes[i];
        if (!path_allowed(change->path))
            return fault_set(fault,
                             "the path \"%s\" is not one that can be committed, the commit was not made",
                             change->path);
        uint32_t *place = place_of(places, mask, work, change->path);
        if (*place == 0)
            *place = (uint32_t)++work->step_count;
        work->steps[*place - 1] = (struct step){.kind = change->kind,
                                                .path = change->path,
                                                .text = change->text ? change->text : "",
                                                .length = change->text ? change->length : 0};
    }
    return true;
}

/* HEAD as it is now. */
static bool begin(struct history *history, struct work *work, struct fault *fault)
{
    if (ref_look(history, work->ref, &work->parent, fault) != 1)
        return false;
    history->head.commit = work->parent;
    return catch_up(history, fault);
}

/* Steps 1 to 3 of the table above. */
static bool prepare(struct history *history, const struct commit_request *request, struct work *work,
                    const git_oid *root, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    message_commit(history, request, root, &work->parent, &text);
    size_t length = text.length;
    struct object *commit =
        object_add(&work->objects, GIT_OBJECT_COMMIT, buffer_take(&text), length, true, fault);
    if (!commit)
        return false;
    work->commit = commit->id;
    return pack_needless(history, work, fault) && worktree_prepare(history, work, false, fault) &&
           index_prepare(history, work, fault) && ref_prepare(history, &work->commit, fault);
}

/* Step 4. 1 both locks are held and nothing has changed; 0 begin anew; -1 fault. Only 1 keeps the locks. */
static int lock_both(struct history *history, struct work *work, struct fault *fault)
{
    char name[REF_NAME_MAX];
    git_oid now;
    if (!lock_take(history, LOCK_REF, work->ref, fault))
        return -1;
    int result = -1;
    if (lock_take(history, LOCK_INDEX, "index", fault)) {
        result = ref_read(history, name, &now, fault);
        if (result == 1 && strcmp(name, work->ref) == 0 && git_oid_equal(&now, &work->parent) &&
            index_current(history)) {
            work->ref_note = history->noted[LOCK_REF];
            work->index_note = history->noted[LOCK_INDEX];
            return 1;
        }
        result = result == 1 ? 0 : -1;
        history->head.seen.ref[0] = '\0'; /* no stamp is trusted that just deceived */
        lock_release(history, LOCK_INDEX, "index");
    }
    lock_release(history, LOCK_REF, work->ref);
    return result;
}

/* Steps 6 to 9. */
static void finish(struct history *history, const struct commit_request *request, struct work *work,
                   struct tree_set *draft, const git_oid *root)
{
    struct fault why = {0};
    bool good = pack_place(history, work, &why) && lock_commit(history, LOCK_REF, work->ref, NULL, &why);
    good = good && worktree_apply(history, work, &why);
    good = good && index_commit(history, &why);
    if (!good) {
        history->pending = true;
        index_forget(history);
        lock_release(history, LOCK_INDEX, "index");
        lock_release(history, LOCK_REF, work->ref);
        spares_drop(history); /* spares hold space, which the commit may have lacked */
        log_error("agent", history->agent,
                  "%s; the commit is safe in the journal and will be brought to its end before the next one",
                  why.text);
        return;
    }
    if (strcmp(work->ref, "HEAD") == 0)
        head_keep(history, &work->parent, &work->commit);
    journal_done(history->journal);
    entered_keep(history, work);
    history->committed_ms = clock_monotonic_ms();
    history->head.commit = history->head.rooted = work->commit;
    history->head.root = *root;
    tree_keep(history, draft);
    const char *end = request->trailers.end;
    ledger_add(history, &work->commit, request->trailers.task, request->trailers.task_hash,
               !end || strcmp(end, "done") == 0);
}

/* Step 5. */
static bool record(struct history *history, struct work *work, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    record_encode(work, &text);
    if (!journal_write(history->journal, text.data, text.length, fault))
        return false;
    if (pack_make(history, work, fault))
        return journal_flush(history->journal, fault);
    journal_drop(history->journal);
    return false;
}

/* No change to commit; still a file that should have this text and is missing gets it. */
static bool mend_only(struct history *history, struct work *work, struct fault *fault)
{
    bool good = worktree_prepare(history, work, false, fault) && worktree_apply(history, work, fault);
    worktree_discard(history, work);
    return good;
}

/* 1 done, 0 begin anew, -1 fault */
static int attempt(struct history *history, const struct commit_request *request, struct work *work,
                   struct tree_set *draft, struct fault *fault)
{
    git_oid root;
    bool effective;
    if (!begin(history, work, fault) || !take_steps(work, request, fault) || !index_refresh(history, fault) ||
        !tree_build(history, work, draft, &root, &effective, fault))
        return -1;
    if (!effective && !request->trailers.task)
        return mend_only(history, work, fault) ? 1 : -1;
    int locked = prepare(history, request, work, &root, fault) ? lock_both(history, work, fault) : -1;
    if (locked == 1) {
        if (record(history, work, fault)) {
            finish(history, request, work, draft, &root);
            return 1;
        }
        lock_release(history, LOCK_INDEX, "index");
        lock_release(history, LOCK_REF, work->ref);
    }
    worktree_discard(history, work);
    index_forget(history);
    if (locked == 0)
        return 0;
    spares_drop(history); /* spares hold space, which the commit may have lacked */
    return -1;
}

bool history_commit(struct history *history, const struct commit_request *request, char commit[COMMIT_TEXT],
                    struct fault *fault)
{
    commit[0] = '\0';
    if (!history_follow(history, fault) || (history->pending && !record_redo_all(history, fault)))
        return false;
    for (int i = 0; i < ATTEMPTS; i++) {
        struct work work = {0};
        struct tree_set draft = {0};
        int result = attempt(history, request, &work, &draft, fault);
        if (result == 1 && !object_id_zero(&work.commit))
            git_oid_tostr(commit, COMMIT_TEXT, &work.commit);
        tree_set_free(&draft);
        work_free(&work);
        if (result != 0)
            return result == 1;
    }
    return fault_set(fault,
                     "other git commands keep changing the repository; the commit was not made, try again");
}

bool history_unsettled(const struct history *history)
{
    return history->pending;
}

bool history_settle(struct history *history, struct fault *fault)
{
    return (!history->pending || record_redo_all(history, fault)) && history_look(history, fault) &&
           catch_up(history, fault);
}

/* --- read --- */

bool history_finished(struct history *history, const char *task, uint64_t task_hash, char commit[COMMIT_TEXT])
{
    git_oid id;
    struct fault why = {0};
    commit[0] = '\0';
    if (!history_follow(history, &why))
        log_warn("agent", history->agent, "%s; no task counts as finished meanwhile", why.text);
    else if (!history_settle(history, &why))
        log_warn("agent", history->agent, "%s; the finished tasks are taken from memory", why.text);
    if (!ledger_find(history, task, task_hash, &id))
        return false;
    git_oid_tostr(commit, COMMIT_TEXT, &id);
    return true;
}

bool history_known(struct history *history, const char *task, uint64_t task_hash)
{
    git_oid id;
    return ledger_find(history, task, task_hash, &id);
}

uint64_t history_tasks_done(const struct history *history)
{
    return history->ledger.tasks;
}

int history_read(struct history *history, const char *path, char **text, size_t *length, struct fault *fault)
{
    git_oid root, id;
    uint32_t mode;
    *text = NULL;
    *length = 0;
    if (!path_allowed(path))
        return 0;
    if (!history_follow(history, fault) || !history_look(history, fault) ||
        !tree_of_commit(history, &history->head.commit, &root, fault))
        return -1;
    int found = tree_find(history, &root, path, &id, &mode, fault);
    if (found <= 0 || mode == FOLDER_MODE)
        return found < 0 ? -1 : 0;
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    if (!object_read(history, &id, GIT_OBJECT_BLOB, &object, fault))
        return -1;
    *length = git_odb_object_size(object);
    *text = memory_slice(git_odb_object_data(object), *length);
    return 1;
}
