/* The end of a cycle: all that follows from an answer in one commit, and only then the world is told. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/worker.h"

enum { LOGGED_ANSWER_MAX = 16 * 1024, TIDY_AFTER_MS = 1000, WATCHDOG_MS = 500 };

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
        .audit_score = auditing_score(worker),
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
    auditing_note(worker, &body);
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
    if (done) {
        learning_kept(worker->learning);
        auditing_kept(worker, id);
    } else
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
    worker->negative_streak = report_negative_streak(worker, 1);
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

/* The supervisor counts failures too, and its order to pause shall come before another task is begun. */
static void await_watchdog(struct worker *worker)
{
    const struct roster_agent *agent = worker->start->agent;
    if (!agent->watchdog.pause || worker->negative_streak < (uint64_t)agent->watchdog.negative_streak)
        return;
    report_figures(worker);
    worker->wait_until_ms = clock_monotonic_ms() + WATCHDOG_MS;
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
        await_watchdog(worker);
        cycle_forget(worker);
        history_tidy(worker->history, true);
        outputs_tidy(worker);
    } else {
        worker_wait_for(worker, "storage", fault.text, 0);
    }
    reply_free(&reply);
}
