/* Tasks that end without an answer: done already, expired, poison, cancelled. The order is the cycle's: first the
 * commit, then the block; a crash between leaves a block whose end the ledger knows. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/cycle/worker.h"

/* A task's id as the supervisor, the dead letter and the reflections have it: an id that is too long for a message
 * begins so. Caller frees. */
static char *told_id(const struct block *block)
{
    return memory_slice(block->id, utf8_cut(block->id, strlen(block->id), MESSAGE_TASK_MOST));
}

static bool take(struct worker *worker, const char *id, uint64_t hash)
{
    struct fault fault;
    if (queue_take(worker->queue, id, hash, &fault)) {
        timers_arm(&worker->timers, TIMER_FIGURES, clock_monotonic_ms());
        return true;
    }
    OWNED char *trouble = memory_print("cannot take %s out of queue.md: %s", id, fault.text);
    worker_wait_for(worker, "storage", trouble, 0);
    return false;
}

/* The answer's file ends first: a kill in between forgets the answer's cost, and never counts it twice. A file with the
 * kept answer of a task in hand stays. */
void task_ends_unused(struct worker *worker, struct stored_answer *answer)
{
    if (!worker->task.answer.kept)
        answer_store_end(worker->answers);
    deferred_paid(worker->trouble.deferred, answer->task, answer->hash, false, &answer->usage);
    deferred_keep(worker->trouble.deferred);
    stored_answer_free(answer);
}

bool task_ends_duplicate(struct worker *worker, const struct block *block, const char *commit)
{
    OWNED char *id = memory_text(block->id), *told = told_id(block);
    uint64_t hash = block->hash;
    if (!take(worker, id, hash))
        return false;
    log_warn("agent", worker->name,
             "Task %s was done already, in commit %s; its block is removed from queue.md.", told, commit);
    attempts_end(worker->attempts, id, hash);
    worker_say(worker, MESSAGE_FINISHED, told, UINT64_C(1), commit, UINT64_C(0), UINT64_C(0), "duplicate",
               "");
    return true;
}

/* The dead letter tells the task's whole story. */
static void print_dead_letter(const struct worker *worker, const struct block *block, const char *id,
                              const char *status, const char *reason, int64_t now, struct buffer *out)
{
    OWNED char *told = told_id(block);
    const struct envelope envelope = {
        .id = (char *)id,
        .kind = KIND_TASK,
        .from = block->from ? block->from : "operator",
        .to = (char *)worker->name,
        .created = block->created ? block->created : queue_first_seen(worker->queue, block),
        .ttl_seconds = block->ttl_seconds,
        .priority = block->priority,
        .status = (char *)status,
        .attempts = attempts_failed(worker->attempts, block->id, block->hash),
        .trace = told,
        .reason = (char *)reason,
        .lock = block->lock,
        .finished = now,
        .body = block->task,
    };
    envelope_print(&envelope, out);
    if (out->length <= ENVELOPE_MAX)
        return;
    /* A task may be larger than an envelope: the text is kept beside, whole, in the commit of this dead letter. */
    struct envelope short_one = envelope;
    OWNED char *note = memory_print(
        "The task has %zu bytes, more than an envelope holds; its whole text is in outputs/%s.md.\n",
        strlen(block->task), id);
    short_one.body = note;
    buffer_drop(out, out->length);
    envelope_print(&short_one, out);
}

static void list_changes(struct worker *worker, const struct block *block, const char *file,
                         const char *status, const char *reason, int64_t now, struct change_list *changes)
{
    OWNED_BUFFER struct buffer letter = {0};
    OWNED char *path = memory_print("%s/%s.md", TREE_DEAD_LETTERS, file), *told = told_id(block);
    OWNED char *text =
        memory_print("The task was not done: %s (%s). The task lies in %s.", status, reason, path);
    print_dead_letter(worker, block, file, status, reason, now, &letter);
    change_list_add(changes, CHANGE_WRITE, path, letter.data, letter.length);
    if (strlen(block->task) + 4096 > ENVELOPE_MAX) {
        OWNED char *whole = memory_print("%s/%s.md", TREE_OUTPUTS, file);
        change_list_add(changes, CHANGE_WRITE, whole, block->task, strlen(block->task));
    }
    learning_reflect(worker->learning, told, text, now, changes);
}

bool task_ends_dead_letter(struct worker *worker, const struct block *block, const char *status,
                           const char *reason)
{
    char commit[COMMIT_TEXT];
    OWNED_CHANGES struct change_list changes = {0};
    int64_t now = clock_now();
    const char *end = strcmp(status, "expired") == 0 ? "expired" : "poison";
    OWNED char *id = memory_text(block->id), *told = told_id(block);
    OWNED char *file = names_file(id);
    uint64_t hash = block->hash;
    struct stored_answer unused;
    if (answer_store_take(worker->answers, id, hash, &unused))
        task_ends_unused(worker, &unused);
    cycle_record_edits(worker);
    cycle_refresh(worker);
    list_changes(worker, block, file, status, reason, now, &changes);
    if (!envelope_ends_commit(
            worker, &(struct task_trailers){.task = id, .task_hash = hash, .end = end, .source = "queue"},
            reason, &changes, commit))
        return false;
    log_warn("agent", worker->name, "Task %s is set aside in %s/%s.md: %s (%s).", told, TREE_DEAD_LETTERS,
             file, status, reason);
    attempts_end(worker->attempts, id, hash);
    worker_say(worker, MESSAGE_FINISHED, told, UINT64_C(1), commit, UINT64_C(0), UINT64_C(0), end, reason);
    timers_arm_within(&worker->timers, TIMER_TIDY, clock_monotonic_ms() + 1000);
    return take(worker, id, hash);
}

static bool is_of(const struct envelope *letter, const struct block *block)
{
    size_t length = strlen(block->task), body = letter->body ? strlen(letter->body) : 0;
    while (length > 0 && block->task[length - 1] == '\n')
        length--;
    while (body > 0 && letter->body[body - 1] == '\n')
        body--;
    /* The supervisor's dead letter of a task that is larger than an envelope has not its text. */
    bool same =
        length + 4096 > ENVELOPE_MAX || (length == body && memcmp(letter->body, block->task, body) == 0);
    return same && letter->kind == KIND_TASK && strcmp(letter->status, "expired") == 0 &&
           letter->ttl_seconds == block->ttl_seconds && letter->trace &&
           strcmp(letter->trace, block->id) == 0;
}

/* The supervisor buries a task that expires while its agent has no process, and leaves the block to the worker. The dead
 * letter then has the time from which the block counts, which may stand nowhere else. A letter that the last commit has
 * as it stands is of a block that ended here before: a block that somebody appends after that has a life of its own. */
int64_t task_ends_first_seen(void *context, const struct block *block)
{
    struct worker *worker = context;
    OWNED char *file = names_file(block->id);
    OWNED char *path = memory_print("%s/%s.md", TREE_DEAD_LETTERS, file);
    OWNED char *text = NULL, *committed = NULL;
    size_t length, committed_length;
    OWNED_ENVELOPE struct envelope letter = {0};
    if (files_read(worker->tree, path, ENVELOPE_FILE_MAX, &text, &length, NULL, NULL) != 1 ||
        !envelope_parse(&letter, text, length, path, NULL) || !is_of(&letter, block))
        return 0;
    bool told = history_read(worker->history, path, &committed, &committed_length, NULL) == 1 &&
                committed_length == length && memcmp(committed, text, length) == 0;
    return told ? 0 : letter.created;
}

/* When the block's time is over, epoch seconds; 0: never. */
static int64_t expiry(struct worker *worker, const struct block *block)
{
    if (block->ttl_seconds <= 0)
        return 0;
    int64_t from = block->created ? block->created : queue_first_seen(worker->queue, block);
    return block->ttl_seconds > INT64_MAX - (from > 0 ? from : 0) ? 0 : from + block->ttl_seconds;
}

/* The task in hand was read in time; only what still waits expires. */
static bool in_hand(const struct worker *worker, const struct block *block)
{
    return worker->phase != PHASE_NONE && worker->task.hash == block->hash &&
           strcmp(worker->task.id, block->id) == 0;
}

/* Another block with the same id and text has time left: such as `requeue` appends for a dead letter whose block still
 * stands, since its agent was stopped. The task is not over, and the expired block goes without an end of its own (outlived). */
static bool lives_on(struct worker *worker, const struct block *block, int64_t now)
{
    const struct block_list *blocks = queue_blocks(worker->queue);
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *twin = &blocks->items[i];
        if (twin == block || twin->problem || !twin->task || strcmp(twin->id, block->id) != 0 ||
            strcmp(twin->task, block->task) != 0)
            continue;
        int64_t at = expiry(worker, twin);
        if (at == 0 || at > now || in_hand(worker, twin))
            return true;
    }
    return false;
}

/* The block goes last: a kill in between leaves a block that this comes upon again. */
static bool outlived(struct worker *worker, const struct block *block)
{
    OWNED char *id = memory_text(block->id);
    uint64_t hash = block->hash;
    struct stored_answer unused;
    log_warn("agent", worker->name,
             "An expired block of task %s is removed; another block of it has time left.", id);
    if (answer_store_take(worker->answers, id, hash, &unused))
        task_ends_unused(worker, &unused);
    attempts_end(worker->attempts, id, hash);
    return take(worker, id, hash);
}

struct expiring {
    struct worker *worker;
    int64_t now, next;        /* epoch seconds; when the next block expires, 0: none does */
    const struct block *over; /* the first that has */
};

/* Never the block that is looked for, so that all whole blocks are seen: half a ttl_seconds ends no task. */
static bool note_expiry(void *context, const struct block *block)
{
    struct expiring *expiring = context;
    int64_t at = expiring->over ? 0 : expiry(expiring->worker, block);
    if (at == 0 || in_hand(expiring->worker, block))
        return true;
    if (at <= expiring->now)
        expiring->over = block;
    else if (expiring->next == 0 || at < expiring->next)
        expiring->next = at;
    return true;
}

static const struct block *next_expired(struct worker *worker, int64_t now, int64_t *next)
{
    struct expiring expiring = {.worker = worker, .now = now};
    queue_next(worker->queue, note_expiry, &expiring);
    *next = expiring.next;
    return expiring.over;
}

void task_ends_expire(struct worker *worker, int64_t now_ms)
{
    const struct block *block;
    int64_t next;
    /* An end that could not be recorded set both to the same time: before that the storage is left in peace. */
    int64_t backoff_ms = timers_at(&worker->timers, TIMER_BACKOFF);
    if (backoff_ms && timers_at(&worker->timers, TIMER_EXPIRY) == backoff_ms)
        return;
    int64_t begun_ms = clock_monotonic_ms();
    worker->looks.expired = false;
    while ((block = next_expired(worker, clock_now(), &next))) {
        char commit[COMMIT_TEXT];
        bool ended = lives_on(worker, block, clock_now()) ? outlived(worker, block)
                     : history_finished(worker->history, block->id, block->hash, commit)
                         ? task_ends_duplicate(worker, block, commit)
                         : task_ends_dead_letter(worker, block, "expired", "its time to live was over");
        if (!ended) {
            timers_arm(&worker->timers, TIMER_EXPIRY, timers_at(&worker->timers, TIMER_BACKOFF));
            return;
        }
        /* Behind an end, since the search alone may take longer than a turn has. */
        if (clock_monotonic_ms() - begun_ms > TURN_MS) {
            worker->looks.expired = true;
            timers_arm(&worker->timers, TIMER_EXPIRY, now_ms);
            return;
        }
    }
    /* The wall clock may jump: look again at least once a minute while something can expire. */
    int64_t left_ms = next ? next * 1000 - clock_now_ms() : 0;
    left_ms = left_ms > 60000 ? 60000 : left_ms < 0 ? 0 : left_ms;
    timers_arm(&worker->timers, TIMER_EXPIRY, next ? now_ms + left_ms : 0);
}

static bool is_another(void *id, const struct block *block)
{
    return strcmp(block->id, id) != 0;
}

/* The task may stand there twice, and the block in hand may have been edited since: no whole block of the id is left. */
static enum cancel_end take_blocks(struct worker *worker, char *id, struct fault *fault)
{
    if (!queue_look(worker->queue, NULL, fault))
        return CANCEL_LATER;
    const struct block *block = queue_next(worker->queue, is_another, id);
    enum cancel_end end = block ? CANCEL_DONE : CANCEL_UNKNOWN;
    for (size_t left = queue_blocks(worker->queue)->count; block && left > 0; left--) {
        if (!queue_take(worker->queue, id, block->hash, fault))
            return CANCEL_LATER;
        block = queue_next(worker->queue, is_another, id);
    }
    if (!block)
        return end;
    fault_set(fault, "its blocks come again faster than they can be taken out");
    return CANCEL_LATER;
}

static void tell_cancelled(struct worker *worker, const char *id)
{
    /* A cancelled task that comes back after a power cut would cost money: flush before it is said. */
    OWNED_FD int fd = files_open(worker->tree, TREE_QUEUE, O_RDONLY, 0);
    if (fd >= 0)
        fsync(fd);
    log_info("agent", worker->name, "Task %s is cancelled.", id);
    worker_say(worker, MESSAGE_FINISHED, id, UINT64_C(1), "", UINT64_C(0), UINT64_C(0), "cancelled", "");
    timers_arm(&worker->timers, TIMER_FIGURES, clock_monotonic_ms());
}

enum cancel_end task_ends_cancel(struct worker *worker, const char *id)
{
    struct fault fault;
    OWNED char *task = memory_text(id);
    bool in_hand = worker->phase != PHASE_NONE && strcmp(worker->task.id, id) == 0;
    enum cancel_end end = CANCEL_DONE;
    if (in_hand) {
        bool by_post = worker->task.by_post;
        uint64_t hash = worker->task.hash;
        cycle_abandon(worker);
        if (by_post)
            return envelope_ends_cancel(worker, id) ? CANCEL_DONE : CANCEL_UNKNOWN;
        /* A person may be writing behind it: then it goes when they are done. */
        if (!queue_take(worker->queue, id, hash, &fault))
            end = CANCEL_LATER;
    }
    if (end == CANCEL_DONE)
        end = take_blocks(worker, task, &fault);
    if (!in_hand && end != CANCEL_DONE && envelope_ends_cancel(worker, id))
        return CANCEL_DONE;
    if (end == CANCEL_LATER)
        log_warn("agent", worker->name, "Task %s can't be cancelled now: %s", id, fault.text);
    if (in_hand && end == CANCEL_UNKNOWN)
        end = CANCEL_DONE;
    if (end == CANCEL_DONE)
        tell_cancelled(worker, id);
    return end;
}
