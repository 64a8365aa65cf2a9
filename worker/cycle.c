/* One cycle (contract section 6): take the next task, ask, and put everything that follows into one commit.
 *
 * The crash, step by step. The block stays in queue.md until the commit is durable, so up to then a crash leaves the
 * task as it was, to be done again (its attempt counted, so that a task which takes its worker down every time is set
 * aside). history_commit is the one instant: after it the ledger knows id and hash. A crash before the block is
 * taken out leaves a block that the ledger knows: the next start takes it out and does not do it again. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/prompt.h"
#include "worker/worker.h"

enum {
    EDITS_FRESH_MS = 500,
    TASK_MAX = 1024 * 1024,
    LOGGED_ANSWER_MAX = 16 * 1024,
    TIDY_AFTER_MS = 1000,
    HELD_MS = 60000
};

/* --- people's edits --- */

static void collect(void *context, const struct change *change)
{
    change_list_add(context, change->kind, change->path, change->text, change->length);
}

static void edits_subject(const struct change_list *edits, struct buffer *subject)
{
    buffer_text(subject, "people: ");
    for (size_t i = 0; i < edits->count && i < 3; i++)
        buffer_print(subject, "%s%s", i ? ", " : "", edits->items[i].path);
    if (edits->count > 3)
        buffer_print(subject, " and %zu more", edits->count - 3);
}

/* Not as soon as something changes, but before the cycle's commit: a person who edits may be about to commit.
 * Everything is looked at when the supervisor saw a change in the tree, else only the files that a cycle reads. */
bool cycle_record_edits(struct worker *worker)
{
    bool quick = !worker->look_tree;
    worker->look_tree = false;
    worker->edits_ms = clock_monotonic_ms();
    struct change_list edits = {0};
    struct fault fault;
    char commit[COMMIT_TEXT];
    OWNED_BUFFER struct buffer subject = {0};
    bool recorded = history_edits(worker->history, quick, collect, &edits, &fault);
    if (!recorded) {
        log_warn("agent", worker->name, "Cannot tell what people edited: %s. It is looked at again later.",
                 fault.text);
    } else if (edits.count > 0) {
        edits_subject(&edits, &subject);
        const struct commit_request request = {.author = AUTHOR_PEOPLE,
                                               .subject = subject.data,
                                               .changes = edits.items,
                                               .change_count = edits.count};
        recorded = history_commit(worker->history, &request, commit, &fault);
        if (recorded)
            log_info("agent", worker->name, "Recorded people's edits: %s", subject.data + strlen("people: "));
        else
            log_warn("agent", worker->name, "Cannot record people's edits: %s. They stay in the files.",
                     fault.text);
    }
    change_list_free(&edits);
    return recorded;
}

void cycle_refresh(struct worker *worker)
{
    buffer_drop(&worker->learning_problems, worker->learning_problems.length);
    learning_refresh(worker->learning, &worker->learning_problems);
    report_problems(worker);
}

/* --- beginning --- */

static bool is_held(void *context, const struct block *block)
{
    const struct worker *worker = context;
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < worker->held_count; i++)
        if (worker->held[i].hash == block->hash && worker->held[i].until_ms > now)
            return true;
    return false;
}

static void forget_task(struct worker *worker)
{
    free(worker->task.id);
    free(worker->task.text);
    free(worker->task.from);
    free(worker->answer.text);
    free(worker->answer.finish_reason);
    free(worker->answer.model);
    memset(&worker->task, 0, sizeof worker->task);
    memset(&worker->answer, 0, sizeof worker->answer);
    worker->phase = PHASE_NONE;
}

static void ask(struct worker *worker)
{
    OWNED_BUFFER struct buffer prompt = {0};
    const struct prompt_input input = {
        .tree = worker->tree, .learning = worker->learning, .task = worker->task.text};
    buffer_drop(&worker->prompt_problems, worker->prompt_problems.length);
    struct prompt_places places;
    prompt_build(&input, &prompt, &places, &worker->prompt_problems);
    report_problems(worker);
    report_activity(worker, ACTIVITY_WORKING, worker->task.id, 0);
    worker->phase = PHASE_ASKED;
    worker_say(worker, MESSAGE_ASK, ++worker->serial, worker->name, prompt.data, worker->task.text,
               places.peers, places.segments);
}

static bool begin(struct worker *worker, const struct block *block)
{
    struct fault fault;
    /* The commit of a moment ago has looked already, and the next one looks again. */
    if (worker->look_tree || clock_monotonic_ms() - worker->edits_ms > EDITS_FRESH_MS)
        cycle_record_edits(worker);
    cycle_refresh(worker);
    if (!attempts_begin(worker->attempts, block->id, block->hash, &fault)) {
        worker_wait_for(worker, "storage", fault.text, 0);
        return false;
    }
    worker->task = (struct task){
        .id = memory_text(block->id),
        .text = memory_text(block->task),
        .from = memory_text(block->from),
        .hash = block->hash,
    };
    log_info("agent", worker->name, "Processing task: %s", block->id);
    if (block->doubt)
        log_warn("agent", worker->name, "Task %s: %s.", block->id, block->doubt);
    if (block->lock)
        log_warn("agent", worker->name,
                 "Task %s asks for the lock %s; this version has no locks, it runs without.", block->id,
                 block->lock);
    ask(worker);
    return true;
}

/* Tasks that end without a question: done already, deadly, too large. 1: it ended, 0: it is to be done, -1: it should
 * have ended but that could not be recorded. */
static int ends_at_once(struct worker *worker, const struct block *block)
{
    char commit[COMMIT_TEXT];
    if (history_finished(worker->history, block->id, block->hash, commit))
        return ending_duplicate(worker, block, commit) ? 1 : -1;
    if (attempts_failed(worker->attempts, block->id, block->hash) >= ATTEMPTS_MAX)
        return ending_dead_letter(worker, block, "failed", "poison") ? 1 : -1;
    if (strlen(block->task) > TASK_MAX)
        return ending_dead_letter(worker, block, "failed", "too large") ? 1 : -1;
    return 0;
}

void cycle_next(struct worker *worker)
{
    while (worker->phase == PHASE_NONE) {
        if (worker->paused) {
            report_activity(worker, ACTIVITY_PAUSED, "", 0);
            return;
        }
        if (worker->wait_until_ms > clock_monotonic_ms())
            return;
        worker->wait_until_ms = 0;
        const struct block *block = queue_next(worker->queue, is_held, worker);
        if (!block) {
            report_activity(worker, ACTIVITY_IDLE, "", 0);
            return;
        }
        int ended = ends_at_once(worker, block);
        if (ended < 0 || (ended == 0 && !begin(worker, block)))
            return;
    }
}

/* --- the answer --- */

/* The provider won't answer this task as it is. The task stays; others go on meanwhile. */
static void hold(struct worker *worker, const char *why)
{
    struct held *held = NULL;
    for (size_t i = 0; i < worker->held_count; i++)
        if (worker->held[i].hash == worker->task.hash)
            held = &worker->held[i];
    if (!held) {
        worker->held = memory_grow(worker->held, worker->held_count + 1, sizeof *worker->held);
        held = &worker->held[worker->held_count++];
        *held = (struct held){.hash = worker->task.hash, .delay_ms = 500};
    }
    held->delay_ms = held->delay_ms * 2 > HELD_MS ? HELD_MS : held->delay_ms * 2;
    held->until_ms = clock_monotonic_ms() + held->delay_ms;
    log_warn("agent", worker->name, "Task %s stays in the queue, next try in %.1f s: %s", worker->task.id,
             (double)held->delay_ms / 1000, why);
    free(worker->trouble);
    worker->trouble = memory_print("task %s: %s", worker->task.id, why);
    report_problems(worker);
}

void cycle_answer(struct worker *worker, enum answer_kind kind, char *text, char *finish_reason, char *model,
                  uint64_t tokens_in, uint64_t tokens_out, int64_t retry_after_ms)
{
    if (kind == ANSWER_OK) {
        worker->answer.text = text;
        worker->answer.finish_reason = finish_reason;
        worker->answer.model = model;
        worker->answer.tokens_in = tokens_in;
        worker->answer.tokens_out = tokens_out;
        worker->phase = PHASE_ANSWER;
        worker->wait_until_ms = worker->wait_delay_ms = 0;
        cycle_finish(worker);
        return;
    }
    attempts_end(worker->attempts, worker->task.id, worker->task.hash);
    if (kind == ANSWER_REQUEST) {
        hold(worker, text);
    } else { /* the gateway has logged the fault itself, as an error when it won't pass by itself */
        worker_wait_for(worker, "provider", text, retry_after_ms);
    }
    forget_task(worker);
    free(text);
    free(finish_reason);
    free(model);
}

/* What the reply sends goes into the outbox, in the same commit; the post office takes it from there. */
static void add_envelopes(struct worker *worker, const struct reply *reply, int64_t now,
                          struct change_list *changes)
{
    for (size_t i = 0; i < reply->send_count; i++) {
        const struct reply_send *send = &reply->sends[i];
        OWNED char *id = names_new_id();
        OWNED char *path = memory_print("%s/%s.md", TREE_OUTBOX, id);
        OWNED char *queue = memory_print("queue:%s", send->to);
        struct envelope envelope = {
            .id = id,
            .kind = send->kind,
            .from = (char *)worker->name,
            .to = send->kind == KIND_ITEM ? queue : send->to,
            .created = now,
            .ttl_seconds = send->ttl_seconds >= 0 ? send->ttl_seconds : worker->start->agent->ttl_seconds,
            .priority = send->priority,
            .status = "pending",
            .hops = 1,
            .trace = worker->task.id,
            .body = send->text,
        };
        OWNED_BUFFER struct buffer text = {0};
        envelope_print(&envelope, &text);
        change_list_add(changes, CHANGE_WRITE, path, text.data, text.length);
    }
}

/* What a reply or a block asks for and this version has no way to give is said, not dropped. */
static void say_what_is_not_done(struct worker *worker, const struct reply *reply, struct buffer *note)
{
    for (size_t i = 0; i < reply->segment_count; i++)
        buffer_print(note, "segment not written, there are no shared segments yet: %s\n",
                     reply->segments[i].name);
    if (reply->send_count > 0)
        buffer_print(note, "%zu envelope(s) wait in %s; nothing delivers them yet\n", reply->send_count,
                     TREE_OUTBOX);
    if (reply->segment_count + reply->send_count > 0)
        log_warn("agent", worker->name,
                 "Task %s: %zu envelope(s) wait in %s and %zu segment(s) were not written; "
                 "this version delivers nothing between agents.",
                 worker->task.id, reply->send_count, TREE_OUTBOX, reply->segment_count);
}

static void add_file(struct change_list *changes, const char *path, const struct buffer *text)
{
    change_list_add(changes, CHANGE_WRITE, path, text->data, text->length);
}

static void gather(struct worker *worker, const struct reply *reply, int64_t now, struct change_list *changes,
                   struct buffer *note)
{
    OWNED_BUFFER struct buffer output = {0}, card = {0};
    OWNED char *file = names_file(worker->task.id);
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTPUTS, file);
    uint64_t tokens = worker->answer.tokens_in + worker->answer.tokens_out;
    const struct outcome outcome = {
        .task_id = worker->task.id,
        .reply = reply,
        .now = now,
        .tokens = tokens,
        .decay_halflife_days = worker->start->agent->decay_halflife_days,
        .audit_score = AUDIT_NONE,
    };
    learning_apply(worker->learning, &outcome, changes, note);
    outputs_print(worker, reply, now, &output);
    add_file(changes, path, &output);
    add_envelopes(worker, reply, now, changes);
    say_what_is_not_done(worker, reply, note);
    report_card(worker, tokens, now, &card);
    add_file(changes, TREE_CARD, &card);
}

static bool commit(struct worker *worker, const struct reply *reply, int64_t now, char id[COMMIT_TEXT],
                   struct fault *fault)
{
    struct change_list changes = {0};
    OWNED_BUFFER struct buffer body = {0};
    OWNED char *subject = memory_print("%s(task): %s", worker->name, worker->task.id);
    if (reply->reason)
        buffer_print(&body, "%s\n", reply->reason);
    gather(worker, reply, now, &changes, &body);
    const struct commit_request request = {
        .author = AUTHOR_AGENT,
        .subject = subject,
        .body = body.data,
        .trailers = {.task = worker->task.id,
                     .task_hash = worker->task.hash,
                     .reward = reply->reward,
                     .tokens_in = worker->answer.tokens_in,
                     .tokens_out = worker->answer.tokens_out,
                     .end = "done",
                     .source = "queue"},
        .changes = changes.items,
        .change_count = changes.count,
    };
    bool done = history_commit(worker->history, &request, id, fault);
    if (done)
        learning_kept(worker->learning);
    else
        learning_forget(worker->learning);
    change_list_free(&changes);
    return done;
}

/* The commit is durable: now it may be told. */
static void announce(struct worker *worker, const struct reply *reply, int64_t now, const char *id)
{
    struct fault fault;
    size_t shown = utf8_cut(reply->answer, strlen(reply->answer), LOGGED_ANSWER_MAX);
    log_info("agent", worker->name, "Response:\n%.*s%s", (int)shown, reply->answer,
             reply->answer[shown] ? "\n… (the whole answer is in outputs/)" : "");
    report_count_tokens(worker, worker->answer.tokens_in + worker->answer.tokens_out, now);
    free(worker->last_task);
    worker->last_task = memory_text(worker->task.id);
    if (!queue_take(worker->queue, worker->task.id, worker->task.hash, &fault))
        log_warn("agent", worker->name,
                 "Task %s is done (%.7s) but its block could not be taken out of queue.md: %s. It is not "
                 "done again.",
                 worker->task.id, id, fault.text);
    attempts_end(worker->attempts, worker->task.id, worker->task.hash);
    worker_say(worker, MESSAGE_FINISHED, worker->task.id, (uint64_t)(reply->reward + 1), id,
               worker->answer.tokens_in, worker->answer.tokens_out, "done");
    int64_t soon = clock_monotonic_ms();
    if (worker->tidy_at_ms == 0)
        worker->tidy_at_ms = soon + TIDY_AFTER_MS;
    if (worker->figures_at_ms == 0)
        worker->figures_at_ms = soon + 100;
}

void cycle_finish(struct worker *worker)
{
    struct reply reply;
    struct fault fault;
    char id[COMMIT_TEXT];
    int64_t now = clock_now();
    cycle_record_edits(worker);
    cycle_refresh(worker);
    reply_parse(&reply, worker->answer.text, strlen(worker->answer.text), worker->answer.finish_reason);
    if (commit(worker, &reply, now, id, &fault)) {
        announce(worker, &reply, now, id);
        if (worker->trouble) {
            free(worker->trouble);
            worker->trouble = NULL;
            report_problems(worker);
        }
        worker->wait_until_ms = worker->wait_delay_ms = 0;
        forget_task(worker);
        history_tidy(worker->history, true);
        outputs_tidy(worker);
    } else {
        worker_wait_for(worker, "storage", fault.text, 0);
    }
    reply_free(&reply);
}

void cycle_abandon(struct worker *worker)
{
    if (worker->phase == PHASE_NONE)
        return;
    if (worker->phase == PHASE_ASKED)
        worker_say(worker, MESSAGE_FORGET, worker->serial, worker->name);
    log_info("agent", worker->name, "Task %s is put down; it stays in the queue.", worker->task.id);
    attempts_end(worker->attempts, worker->task.id, worker->task.hash);
    forget_task(worker);
}
