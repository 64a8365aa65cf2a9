/* Old answers and envelopes leave the work tree (`keep`): git alone has them then.
 *
 * Past the newest `keep` files of a folder, the oldest files that may go leave, a few at a time, in these steps:
 *   1. a commit records each as it stands, so that HEAD's history certainly holds it: most of them left the tree of HEAD
 *      long ago (prune_tracked), and a person may have edited them since, or have moved the branch;
 *   2. .agentos/pruned remembers each (common/pruned.h), flushed;
 *   3. the tidy commit removes them from HEAD's tree and, once it is durable, from the work tree.
 * Killed after any of them: the files that still lie there are taken up by the next pass, and the journal removes what
 * step 3 has begun to remove. A file that is gone is in a commit and in the notes. A file that somebody changes between
 * 1 and 3 stays. Without the notes (a clone, an import) they are made anew from the tidy commits.
 *
 * Envelopes that the post office still needs stay, however old: requests of the agent's own that no result has
 * answered, since a result is only taken for a request that lies there (supervisor/post/results.c). Bounces stay: they
 * say that a sender was told already (supervisor/post/bounce.c). A message of its own goes when its time to live is
 * over and no bounce came. A file that is neither an answer nor an envelope is a person's, and stays. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/format/answer_file.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "worker/cycle/worker.h"

enum {
    GO_AT_ONCE = 64,                /* files in one commit */
    GO_BYTES_MAX = 4 * 1024 * 1024, /* and their bytes, when they are more than one file */
    ANSWERS_READ = 4096,            /* files in which the answers to own requests are looked for */
    LOOKED_AT_ONCE = 256,           /* files that are read in one pass */
    YOUNG_MS = 5000,                /* the supervisor may not have looked at one yet */
    MESSAGE_LATE_SECONDS = 3600,    /* past its time to live; its bounce has come by then */
    SLACK = 16, /* a sixteenth more than `keep` may lie there, so that many go in one commit */
};

/* The tree of a commit is written anew whenever an answer is added to it, so the tracked answers are kept few: beyond
 * TRACKED_MAX the older answers leave the tree. They stay on disk (.git/info/exclude covers them) and in the history; a
 * tree with all answers would make each task cost more than the task before. Envelopes that are over leave the tree in
 * the same way. */
enum { TRACKED_MAX = 64, TRACKED_LEAST = 16 };

static const struct pruning_kind {
    const char *folder, *what;
} kinds[KEPT_FEW] = {
    [KEPT_OUTPUTS] = {TREE_OUTPUTS, "answers"},
    [KEPT_ARCHIVE] = {TREE_ARCHIVE, "envelopes"},
};

struct old_file {
    char *name;
    int64_t modified_ns;
};

struct old_files {
    struct old_file *items;
    size_t count;
    int folder; /* borrowed: its descriptor */
};

/* One pass over a folder. */
struct pruning {
    struct worker *worker;
    const struct pruning_kind *kind;
    struct change_list changes; /* RECORD at first */
    struct pruned *notes;
    size_t count, bytes;
    const struct old_files *files; /* the folder's, the oldest first */
    uint64_t *answered;            /* read when it is asked for; NULL: not yet */
    size_t answered_count;
};

static int by_age(const void *a, const void *b)
{
    const struct old_file *first = a, *second = b;
    if (first->modified_ns != second->modified_ns)
        return first->modified_ns < second->modified_ns ? -1 : 1;
    return strcmp(first->name, second->name);
}

static void old_files_free(struct old_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->items[i].name);
    free(files->items);
}

static void add(void *context, const char *name)
{
    struct old_files *files = context;
    struct file_stamp stamp = files_stamp_at(files->folder, name);
    *MEMORY_ADD(files->items, files->count) = (struct old_file){memory_text(name), stamp.modified_ns};
}

static bool list(const struct worker *worker, const char *folder, struct old_files *files)
{
    struct listing *names = listing_open(worker->tree, folder, NULL);
    if (!names)
        return false;
    files->folder = listing_folder(names);
    for (const char *name; (name = listing_next(names));)
        if (names_work(name))
            add(files, name);
    return listing_close(names, NULL);
}

/* --- the kind of a file, and whether it may go --- */

static bool lies(const struct worker *worker, const char *folder, const char *id)
{
    OWNED char *path = memory_print("%s/%s.md", folder, id);
    return faccessat(worker->tree, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool was_bounced(const struct worker *worker, const char *id, int64_t created)
{
    OWNED char *plain = memory_print("%s-bounce", id), *bounce = names_file(plain);
    OWNED char *of_life = memory_print("%s-bounce-%" PRId64, id, created), *far = names_file(of_life);
    return lies(worker, TREE_ARCHIVE, bounce) || lies(worker, TREE_INBOX, bounce) ||
           lies(worker, TREE_ARCHIVE, far) || lies(worker, TREE_INBOX, far);
}

static bool note_of(const char *folder, const char *name, const char *text, size_t length,
                    struct pruned *note, struct envelope *envelope)
{
    OWNED_ANSWER struct answer_file answer = {0};
    OWNED char *id = memory_slice(name, strlen(name) - strlen(".md"));
    *note = (struct pruned){.file = pruned_file(folder, id)};
    *envelope = (struct envelope){0};
    if (strcmp(folder, TREE_OUTPUTS) == 0) {
        if (!answer_parse(&answer, memory_slice(text, length), length, name))
            return false;
        note->asked = answer.asked;
        note->reward = answer.reward;
        return true;
    }
    if (!envelope_parse(envelope, text, length, name, NULL))
        return false;
    note->created = envelope->created;
    note->asked = answer_hash_asked(envelope->body);
    return strcmp(envelope->id, id) == 0;
}

/* Of each result that lies in the archive: the hash of the request that it answers. */
static void read_answered(struct pruning *pruning)
{
    size_t from = pruning->files->count > ANSWERS_READ ? pruning->files->count - ANSWERS_READ : 0;
    pruning->answered = memory_new(pruning->files->count - from + 1, sizeof *pruning->answered);
    for (size_t i = from; i < pruning->files->count; i++) {
        OWNED char *path = memory_print("%s/%s", TREE_ARCHIVE, pruning->files->items[i].name), *text = NULL;
        OWNED_ENVELOPE struct envelope envelope = {0};
        size_t length;
        if (files_read(pruning->worker->tree, path, ENVELOPE_FILE_MAX, &text, &length, NULL, NULL) != 1 ||
            !envelope_parse(&envelope, text, length, path, NULL))
            continue;
        if (envelope.kind == KIND_RESULT && envelope.in_reply_to)
            pruning->answered[pruning->answered_count++] =
                names_hash(envelope.in_reply_to, strlen(envelope.in_reply_to));
    }
}

static bool is_answered(struct pruning *pruning, const char *id)
{
    uint64_t wanted = names_hash(id, strlen(id));
    if (!pruning->answered)
        read_answered(pruning);
    for (size_t i = 0; i < pruning->answered_count; i++)
        if (pruning->answered[i] == wanted)
            return true;
    return false;
}

static bool may_go(struct pruning *pruning, const struct envelope *envelope, int64_t now)
{
    const struct worker *worker = pruning->worker;
    bool ended = strcmp(envelope->status, "finished") == 0 || strcmp(envelope->status, "read") == 0;
    bool own = strcmp(envelope->from, worker->name) == 0;
    switch (envelope->kind) {
    case KIND_RESULT:
    case KIND_SEGMENT:
        return own || ended;
    case KIND_MESSAGE:
        return own ? envelope->ttl_seconds > 0 && !was_bounced(worker, envelope->id, envelope->created) &&
                         envelope->created + envelope->ttl_seconds + MESSAGE_LATE_SECONDS < now
                   : ended;
    case KIND_HANDOFF:
    case KIND_ITEM:
        return own ? is_answered(pruning, envelope->id) : ended;
    default:
        return false;
    }
}

static void consider(struct pruning *pruning, const char *name)
{
    struct worker *worker = pruning->worker;
    OWNED char *path = memory_print("%s/%s", pruning->kind->folder, name), *text = NULL;
    size_t length;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct pruned note;
    if (files_read(worker->tree, path, QUEUE_FILE_MAX, &text, &length, NULL, NULL) != 1)
        return;
    bool goes = note_of(pruning->kind->folder, name, text, length, &note, &envelope) &&
                (!envelope.id || may_go(pruning, &envelope, clock_now()));
    if (goes) {
        change_list_add(&pruning->changes, CHANGE_RECORD, path, text, length);
        *MEMORY_ADD(pruning->notes, pruning->count) = note;
        pruning->bytes += length;
    }
}

/* --- going --- */

static bool commit(struct pruning *pruning, const char *how, const char *body, struct fault *fault)
{
    char id[COMMIT_TEXT];
    const char *folder = pruning->kind->folder, *slash = strrchr(folder, '/');
    OWNED char *subject = memory_print("%s(%s): %zu older %s%s", pruning->worker->name,
                                       slash ? slash + 1 : folder, pruning->count, pruning->kind->what, how);
    const struct commit_request request = {.author = AUTHOR_AGENT,
                                           .subject = subject,
                                           .body = body,
                                           .changes = pruning->changes.items,
                                           .change_count = pruning->changes.count};
    return history_commit(pruning->worker->history, &request, id, fault);
}

static bool go(struct pruning *pruning)
{
    struct fault fault;
    OWNED char *body =
        memory_print("This history has the files: git log -- %s/ID.md, or `agentos %s`.",
                     pruning->kind->folder, pruning->kind == &kinds[KEPT_OUTPUTS] ? "answer" : "show");
    bool done = commit(pruning, " are recorded", NULL, &fault) &&
                pruned_add(pruning->worker->tree, pruning->notes, pruning->count, &fault);
    for (size_t i = 0; done && i < pruning->changes.count; i++)
        pruning->changes.items[i].kind = CHANGE_REMOVE;
    done = done && commit(pruning, PRUNED_SUBJECT_END, body, &fault);
    if (!done)
        log_warn("agent", pruning->worker->name,
                 "Older %s could not leave the work tree: %s. The removal is tried again later.",
                 pruning->kind->what, fault.text);
    return done;
}

/* Files past the newest `keep`, the oldest first, from the last pass's end on. True: there are more to look at. */
static bool pass(struct pruning *pruning, struct pruning_at *at, size_t past_keep, bool *young)
{
    int64_t young_ns = (clock_now_ms() - YOUNG_MS) * 1000000;
    size_t i = at->stay, end = i + LOOKED_AT_ONCE < past_keep ? i + LOOKED_AT_ONCE : past_keep;
    while (i < end && pruning->count < GO_AT_ONCE && pruning->bytes < GO_BYTES_MAX &&
           !(*young = pruning->files->items[i].modified_ns > young_ns))
        consider(pruning, pruning->files->items[i++].name);
    at->stay = i > pruning->count ? i - pruning->count : 0;
    return i < past_keep;
}

/* When to go on, monotonic; 0: when enough was added. */
static int64_t prune(struct worker *worker, enum kept_few_kind kind, size_t keep)
{
    struct pruning_at *at = &worker->looks.pruning[kind];
    struct old_files files = {0};
    struct pruning pruning = {.worker = worker, .kind = &kinds[kind], .files = &files};
    bool young = false, more = false, failed = false;
    if (list(worker, pruning.kind->folder, &files) && files.count > keep + (at->going ? 0 : keep / SLACK)) {
        qsort(files.items, files.count, sizeof *files.items, by_age);
        more = pass(&pruning, at, files.count - keep, &young);
        failed = pruning.count > 0 && !go(&pruning);
    }
    at->going = more && !failed;
    at->stay = at->going ? at->stay : 0;
    size_t full = keep + keep / SLACK + 1, least = keep / SLACK + 1;
    at->unknown = at->going ? 0 : files.count + least < full ? full - files.count : least;
    old_files_free(&files);
    change_list_free(&pruning.changes);
    free(pruning.notes);
    free(pruning.answered);
    return !at->going ? 0 : clock_monotonic_ms() + (young ? YOUNG_MS : 0);
}

int64_t prune_step(struct worker *worker)
{
    const int64_t keep[KEPT_FEW] = {[KEPT_OUTPUTS] = worker->start->agent->keep.outputs,
                                    [KEPT_ARCHIVE] = worker->start->agent->keep.archive};
    int64_t next = 0;
    for (enum kept_few_kind kind = 0; kind < KEPT_FEW; kind++)
        if (keep[kind] > 0 && worker->looks.pruning[kind].unknown == 0) {
            int64_t at = prune(worker, kind, (size_t)keep[kind]);
            next = next == 0 || (at != 0 && at < next) ? at : next;
        }
    return next;
}

/* --- out of HEAD's tree --- */

static void untrack_oldest(struct worker *worker, const struct pruning_kind *kind, struct old_files *tracked)
{
    struct fault fault;
    struct pruning pruning = {.worker = worker, .kind = kind};
    OWNED char *body = memory_print("The files stay in %s/ on disk and in this history.", kind->folder);
    qsort(tracked->items, tracked->count, sizeof *tracked->items, by_age);
    for (; pruning.count + TRACKED_LEAST < tracked->count; pruning.count++) {
        OWNED char *path = memory_print("%s/%s", kind->folder, tracked->items[pruning.count].name);
        change_list_add(&pruning.changes, CHANGE_UNTRACK, path, NULL, 0);
    }
    if (!commit(&pruning, " leave the tree", body, &fault))
        log_warn("agent", worker->name,
                 "Older %s could not leave the tree: %s. The removal is tried again later.", kind->what,
                 fault.text);
    change_list_free(&pruning.changes);
}

void prune_tracked(struct worker *worker, enum kept_few_kind kind, size_t added)
{
    size_t *unknown = &worker->looks.tracked_unknown[kind], *more = &worker->looks.pruning[kind].unknown;
    *more -= added < *more ? added : *more;
    if (*unknown > added) {
        *unknown -= added;
        return;
    }
    if (added == 0)
        return;
    OWNED_FD int folder = files_open_folder(worker->tree, kinds[kind].folder, false, NULL);
    struct old_files tracked = {.folder = folder};
    if (history_names(worker->history, kinds[kind].folder, add, &tracked, NULL) &&
        tracked.count > TRACKED_MAX) {
        untrack_oldest(worker, &kinds[kind], &tracked);
        *unknown = TRACKED_MAX - TRACKED_LEAST;
    } else {
        *unknown = TRACKED_MAX + 1 - (tracked.count < TRACKED_MAX ? tracked.count : TRACKED_MAX);
    }
    old_files_free(&tracked);
}

/* --- the notes, made anew --- */

struct remaking {
    int tree;
    const char *folder;
    struct pruned *notes;
    size_t count;
};

static void note_removed(void *context, const char *path, const char *text, size_t length)
{
    struct remaking *remaking = context;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct pruned note;
    const char *name = path + strlen(remaking->folder) + 1;
    if (names_work(name) && note_of(remaking->folder, name, text, length, &note, &envelope))
        *MEMORY_ADD(remaking->notes, remaking->count) = note;
}

void prune_open(struct worker *worker)
{
    struct fault fault;
    struct remaking remaking = {.tree = worker->tree};
    if (pruned_exists(worker->tree))
        return;
    bool good = true;
    for (enum kept_few_kind kind = 0; good && kind < KEPT_FEW; kind++) {
        remaking.folder = kinds[kind].folder;
        good = history_past_removed(worker->history, remaking.folder, PRUNED_SUBJECT_END, note_removed,
                                    &remaking, &fault);
    }
    for (size_t i = 0; i < remaking.count / 2; i++) { /* the newest last */
        struct pruned note = remaking.notes[i];
        remaking.notes[i] = remaking.notes[remaking.count - 1 - i];
        remaking.notes[remaking.count - 1 - i] = note;
    }
    if (!good || !pruned_add(worker->tree, remaking.notes, remaking.count, &fault))
        log_warn("agent", worker->name, "Which files have left the work tree is not known: %s", fault.text);
    free(remaking.notes);
}
