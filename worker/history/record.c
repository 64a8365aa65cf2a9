/* The journal's records, and bringing them to their end.
 *
 * A record: "AOR2", ref, parent, commit, notes of the prepared ref and index, objects (type, length, bytes), steps
 * (kind, mode, before, after, note of the prepared file, path).
 *
 * The state that redoing finds, and its action:
 *   pack       not what its name says (power cut)        goes
 *   object     missing, empty, torn (power cut)         written again; a whole object is left alone
 *   ref        at the record's parent, empty, torn       set to the commit
 *              one of ours, at any commit (power cut)     set to the commit
 *              at the commit, or at one that has it       done
 *              elsewhere: people moved it                left, and so are work tree and index
 *   file       has the text from before, or is missing   the new text
 *              a piece of the new text (power cut)       the new text
 *              one of ours, with any text (power cut)     the new text
 *              has the new text                          done
 *              anything else: people's edit              left
 *   index      one of ours (power cut)                   made again from HEAD
 *              anything                                  the record's entries put in
 * One of ours: a spare that was written again (file_pool.c) can come back from a power cut under its new name, with the
 * content that it had before, and look like a person's edit. Inode and time of every file that a record prepared stand
 * in the record; a file that has both is ours, and nobody has written to it since. (The time is changed by the write,
 * before the rename; the file system's own journal keeps the two in order.) So redoing a record twice, or all records
 * after any of them was done, changes nothing. */
#include "worker/history/part.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"

#define RECORD_MAGIC "AOR2"

static void add_number(struct buffer *out, uint64_t number)
{
    buffer_add(out, &number, sizeof number);
}

static void add_bytes(struct buffer *out, const void *bytes, size_t length)
{
    add_number(out, length);
    buffer_add(out, bytes, length);
    buffer_add(out, "\0", 1); /* so that a decoded text ends where it should */
}

static void add_note(struct buffer *out, const struct file_note *note)
{
    add_number(out, note->inode);
    add_number(out, (uint64_t)note->modified_ns);
}

void record_encode(const struct work *work, struct buffer *out)
{
    size_t room = 4096;
    for (size_t i = 0; i < work->objects.count; i++)
        room += work->objects.items[i].length + 32;
    buffer_room(out, room);
    buffer_add(out, RECORD_MAGIC, 4);
    add_bytes(out, work->ref, strlen(work->ref));
    buffer_add(out, work->parent.id, GIT_OID_RAWSZ);
    buffer_add(out, work->commit.id, GIT_OID_RAWSZ);
    add_note(out, &work->ref_note);
    add_note(out, &work->index_note);
    add_number(out, work->objects.count);
    for (size_t i = 0; i < work->objects.count; i++) {
        add_number(out, (uint64_t)work->objects.items[i].type);
        add_bytes(out, work->objects.items[i].data, work->objects.items[i].length);
    }
    add_number(out, work->step_count);
    for (size_t i = 0; i < work->step_count; i++) {
        const struct step *step = &work->steps[i];
        add_number(out, (uint64_t)step->kind);
        add_number(out, step->mode);
        buffer_add(out, step->before.id, GIT_OID_RAWSZ);
        buffer_add(out, step->after.id, GIT_OID_RAWSZ);
        add_note(out, &step->note);
        add_bytes(out, step->path, strlen(step->path));
    }
}

struct cursor {
    const char *at, *end;
    bool bad;
};

static const char *take(struct cursor *cursor, size_t length)
{
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < length) {
        cursor->bad = true;
        return NULL;
    }
    const char *bytes = cursor->at;
    cursor->at += length;
    return bytes;
}

static uint64_t take_number(struct cursor *cursor)
{
    uint64_t number = 0;
    const char *bytes = take(cursor, sizeof number);
    if (bytes)
        memcpy(&number, bytes, sizeof number);
    return number;
}

static void take_id(struct cursor *cursor, git_oid *id)
{
    const char *bytes = take(cursor, GIT_OID_RAWSZ);
    if (bytes)
        git_oid_fromraw(id, (const unsigned char *)bytes);
}

static void take_note(struct cursor *cursor, struct file_note *note)
{
    note->inode = take_number(cursor);
    note->modified_ns = (int64_t)take_number(cursor);
}

static const char *take_bytes(struct cursor *cursor, size_t *length)
{
    uint64_t n = take_number(cursor);
    if (n >= (uint64_t)(cursor->end - cursor->at))
        cursor->bad = true;
    const char *bytes = take(cursor, cursor->bad ? 0 : (size_t)n);
    take(cursor, 1);
    *length = (size_t)n;
    return bytes;
}

static bool take_object(struct cursor *cursor, struct work *work)
{
    uint64_t type = take_number(cursor);
    size_t length;
    const char *data = take_bytes(cursor, &length);
    if (cursor->bad || type < GIT_OBJECT_COMMIT || type > GIT_OBJECT_BLOB)
        return false;
    return object_add(&work->objects, (git_object_t)type, (char *)(uintptr_t)data, length, false, NULL) !=
           NULL;
}

static bool take_step(struct cursor *cursor, struct work *work, struct step *step)
{
    size_t length;
    uint64_t kind = take_number(cursor);
    step->kind = (enum change_kind)kind;
    step->mode = (uint32_t)take_number(cursor);
    take_id(cursor, &step->before);
    take_id(cursor, &step->after);
    take_note(cursor, &step->note);
    step->path = take_bytes(cursor, &length);
    if (cursor->bad || kind > CHANGE_UNTRACK)
        return false;
    for (size_t i = 0; i < work->objects.count; i++)
        if (git_oid_equal(&work->objects.items[i].id, &step->after)) {
            step->text = work->objects.items[i].data;
            step->length = work->objects.items[i].length;
        }
    /* A file that was only missing has its text in the repository, not here: there is no step to redo. */
    step->done = step->kind == CHANGE_WRITE && !step->text;
    return true;
}

bool record_decode(const void *record, size_t length, struct work *work)
{
    *work = (struct work){0};
    struct cursor cursor = {.at = record, .end = (const char *)record + length};
    const char *magic = take(&cursor, 4);
    size_t ref_length;
    if (!magic || memcmp(magic, RECORD_MAGIC, 4) != 0)
        return false;
    const char *ref = take_bytes(&cursor, &ref_length);
    if (!ref || ref_length >= sizeof work->ref)
        return false;
    memcpy(work->ref, ref, ref_length);
    take_id(&cursor, &work->parent);
    take_id(&cursor, &work->commit);
    take_note(&cursor, &work->ref_note);
    take_note(&cursor, &work->index_note);
    for (uint64_t n = take_number(&cursor); n > 0; n--)
        if (!take_object(&cursor, work))
            return false;
    uint64_t count = take_number(&cursor);
    if (cursor.bad || count > length)
        return false;
    work->steps = memory_new((size_t)count + 1, sizeof *work->steps);
    for (; work->step_count < count; work->step_count++)
        if (!take_step(&cursor, work, &work->steps[work->step_count]))
            return false;
    return cursor.at == cursor.end;
}

void work_free(struct work *work)
{
    object_list_free(&work->objects);
    free(work->steps);
    work->steps = NULL;
    work->step_count = 0;
}

static void add_ours(struct history *history, const struct file_note *note)
{
    if (note->inode == 0)
        return;
    *MEMORY_ADD(history->redo.ours, history->redo.count) = *note;
}

static void forget_ours(struct history *history)
{
    free(history->redo.ours);
    history->redo.ours = NULL;
    history->redo.count = 0;
    history->redo.on = false;
}

/* Before any record is redone: the files that the records prepared, and packs that aren't whole. */
static void gather(struct history *history, const struct work *work, bool *packs_went)
{
    *packs_went = pack_mend(history, work) || *packs_went;
    if (!journal_power_was_cut(history->journal))
        return;
    add_ours(history, &work->ref_note);
    add_ours(history, &work->index_note);
    for (size_t i = 0; i < work->step_count; i++)
        add_ours(history, &work->steps[i].note);
}

static bool is_ours(struct history *history, const char *name)
{
    struct stat status;
    return history->redo.count > 0 &&
           fstatat(history->folders.git, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           record_prepared(history, &status);
}

static bool redo_objects(struct history *history, const struct work *work, struct fault *fault)
{
    for (size_t i = 0; i < work->objects.count; i++)
        if (!object_repair(history, &work->objects.items[i], fault))
            return false;
    return true;
}

/* Does HEAD's branch contain the commit? */
static bool contains(struct history *history, const git_oid *head, const git_oid *commit)
{
    if (git_oid_equal(head, commit))
        return true;
    git_repository *repository = history_repository(history, NULL);
    return repository && git_graph_descendant_of(repository, head, commit) == 1;
}

/* True in *ours: the branch has the commit now, so work tree and index should have it too. */
static bool redo_ref(struct history *history, const struct work *work, bool *ours, struct fault *fault)
{
    char name[REF_NAME_MAX];
    git_oid now;
    int read = ref_read(history, name, &now, fault);
    *ours = false;
    if (read < 0)
        return false;
    /* A person checked out another branch: the commit waits on its own branch, and the files here are not ours to
     * touch. */
    if (strcmp(name, work->ref) != 0)
        return true;
    bool anything = read == 0 || git_oid_equal(&now, &work->parent) ||
                    (is_ours(history, name) && !contains(history, &now, &work->commit));
    if (anything) {
        if (!ref_set(history, work->ref, &work->commit, fault))
            return false;
        now = work->commit;
    }
    history->head.commit = now;
    *ours = contains(history, &now, &work->commit);
    return true;
}

static bool redo(struct history *history, struct work *work, struct fault *fault)
{
    bool ours;
    if (!redo_ref(history, work, &ours, fault))
        return false;
    if (!ours) {
        log_warn("agent", history->agent,
                 "HEAD was moved by somebody since the last commit; it stays where it is");
        return true;
    }
    return worktree_prepare(history, work, true, fault) && worktree_apply(history, work, fault) &&
           index_redo(history, work, fault);
}

struct redoing {
    struct history *history;
    struct fault *fault;
    enum { ROUND_GATHER, ROUND_OBJECTS, ROUND_REST } round;
    bool packs_went;
    size_t count;
};

static bool redo_record(void *context, const void *record, size_t length)
{
    struct redoing *redoing = context;
    struct work work;
    bool good = record_decode(record, length, &work);
    if (!good)
        fault_set(redoing->fault, "a record in the journal can't be understood, so it is not redone");
    else if (redoing->round == ROUND_GATHER)
        gather(redoing->history, &work, &redoing->packs_went);
    else if (redoing->round == ROUND_OBJECTS)
        good = redo_objects(redoing->history, &work, redoing->fault);
    else {
        good = worktree_sweep(redoing->history, &work, redoing->fault) &&
               redo(redoing->history, &work, redoing->fault);
        redoing->count++;
    }
    work_free(&work);
    return good;
}

/* All objects first: the branch may stand at the newest commit already while an older one's blob is torn. */
static bool redo_rounds(struct history *history, struct redoing *redoing)
{
    history->redo.on = true;
    if (!journal_replay(history->journal, redo_record, redoing, redoing->fault))
        return false;
    if (redoing->packs_went)
        history_close_objects(history);
    redoing->round = ROUND_OBJECTS;
    if (!journal_replay(history->journal, redo_record, redoing, redoing->fault))
        return false;
    if (is_ours(history, "index")) {
        index_forget(history);
        unlinkat(history->folders.git, "index", 0);
    }
    redoing->round = ROUND_REST;
    return journal_replay(history->journal, redo_record, redoing, redoing->fault);
}

bool record_redo_all(struct history *history, struct fault *fault)
{
    struct redoing redoing = {.history = history, .fault = fault};
    bool good = redo_rounds(history, &redoing);
    if (good)
        (void)worktree_sweep(history, NULL, NULL); /* a file that is left over is dropped the next time */
    forget_ours(history);
    if (!good)
        return false;
    if (redoing.count > 0) {
        log_info("agent", history->agent, "%zu commit(s) of the journal were brought to their end",
                 redoing.count);
        journal_done(history->journal);
    }
    history->pending = false;
    return true;
}
