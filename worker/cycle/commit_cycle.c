/* The end of a cycle: all that follows from an answer in one commit, and only then the world is told. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/answer_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/cycle/worker.h"

enum {
    LOGGED_ANSWER_MAX = 16 * 1024,
    TIDY_AFTER_MS = 1000,
    WATCHDOG_MS = 500,
    REFUSED_MAX = 1000, /* bytes in a reflection */
};

static void add_file(struct change_list *changes, const char *path, const struct buffer *text)
{
    change_list_add(changes, CHANGE_WRITE, path, text->data, text->length);
}

/* The envelope in hand and the envelopes that were read along with it come to their end; a file that was taken away
 * meanwhile is left. */
static void add_letters(struct worker *worker, const struct reply *reply, int64_t now,
                        struct change_list *changes)
{
    const struct task *task = &worker->task;
    if (task->by_post) {
        OWNED char *section = memory_print(
            ANSWER_SECTION "\n- by: %s\n- reward: %s%d\n%s%s%s- tokens: %llu in, %llu out\n- commit: "
                           "%s(task): "
                           "%s\n\n%s\n",
            worker->name, reply->reward > 0 ? "+" : "", reply->reward, reply->reason ? "- reason: " : "",
            reply->reason ? reply->reason : "", reply->reason ? "\n" : "",
            (unsigned long long)worker->task.usage.tokens_in,
            (unsigned long long)worker->task.usage.tokens_out, worker->name, task->id, reply->answer);
        mail_archive(worker->mail, &task->opened, envelope_kind_end(task->opened.envelope.kind), now, section,
                     changes);
    }
    for (size_t i = 0; i < task->bundle.count; i++) {
        OWNED char *section = memory_print("\n---\n\nRead in %s(task): %s\n", worker->name, task->id);
        if (mail_is_there(worker->mail, &task->bundle.items[i]))
            mail_archive(worker->mail, &task->bundle.items[i], "read", now, section, changes);
    }
}

/* Refusals stand in a reflection too: the next prompt tells them once, the reflections for a while. */
static void reflect_on_refusals(struct worker *worker, const struct buffer *refused, int64_t now,
                                struct change_list *changes)
{
    if (refused->length == 0)
        return;
    OWNED char *text = memory_slice(refused->data, utf8_cut(refused->data, refused->length, REFUSED_MAX));
    learning_reflect(worker->learning, worker->task.id, text, now, changes);
}

static void gather(struct worker *worker, const struct reply *reply, int64_t now, struct sending *sending,
                   struct change_list *changes, struct buffer *note)
{
    OWNED_BUFFER struct buffer output = {0}, card = {0};
    OWNED char *file = names_file(worker->task.id);
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTPUTS, file);
    uint64_t tokens = worker->task.usage.tokens_in + worker->task.usage.tokens_out;
    const struct outcome outcome = {
        .task_id = worker->task.id,
        .reply = reply,
        .now = now,
        .tokens = tokens,
        .decay_halflife_days = worker->start->agent->decay_halflife_days,
        .audit_score = auditing_score(worker),
    };
    sending_gather(worker, reply, now, sending, changes);
    mail_verdict_changes(worker->mail, now, changes, &sending->refused, note);
    reflect_on_refusals(worker, &sending->refused, now, changes);
    learning_apply(worker->learning, &outcome, changes, note);
    prefetch_ask(worker, reply, sending);
    outputs_print(worker, reply, now, &output);
    add_file(changes, path, &output);
    add_letters(worker, reply, now, changes);
    if (worker->task.lock)
        buffer_print(note, "under the lock %s, token %llu\n", worker->task.lock,
                     (unsigned long long)worker->task.token);
    report_card(worker, tokens, now, &card);
    add_file(changes, TREE_CARD, &card);
}

static bool commit(struct worker *worker, const struct reply *reply, int64_t now, struct sending *sending,
                   char id[COMMIT_TEXT], struct fault *fault)
{
    OWNED_CHANGES struct change_list changes = {0};
    OWNED_BUFFER struct buffer body = {0};
    OWNED char *subject = memory_print("%s(task): %s", worker->name, worker->task.id);
    if (reply->reason)
        /* the text must not pass for a line of ours, which `agentos log` reads */
        buffer_print(&body, "%s%s\n", strncmp(reply->reason, "audit of ", 9) == 0 ? "reason: " : "",
                     reply->reason);
    gather(worker, reply, now, sending, &changes, &body);
    audit_results_note(worker, &body);
    const struct commit_request request = {
        .author = AUTHOR_AGENT,
        .subject = subject,
        .body = body.data,
        .trailers = {.task = worker->task.id,
                     .task_hash = worker->task.hash,
                     .reward = reply->reward,
                     .usage = &worker->task.usage,
                     .end = "done",
                     .source = worker->task.by_post ? worker->task.id : "queue"},
        .changes = changes.items,
        .change_count = changes.count,
    };
    worker_send(worker); /* the disk may take its time */
    bool done = history_commit(worker->history, &request, id, fault);
    if (done) {
        learning_kept(worker->learning);
        audit_results_kept(worker, id);
    } else
        learning_forget(worker->learning);
    return done;
}

/* The block, or the envelope and the envelopes read with it, is over: the commit knows it from now on. */
static void end_work(struct worker *worker, const char *commit)
{
    struct fault fault;
    const struct task *task = &worker->task;
    if (task->by_post) {
        worker_say(worker, MESSAGE_SETTLED, task->id, envelope_kind_end(task->opened.envelope.kind), commit);
    } else {
        if (!queue_take(worker->queue, task->id, task->hash, &fault))
            log_warn("agent", worker->name,
                     "Task %s is done (%.7s) but its block could not be taken out of queue.md: %s. The task "
                     "is not done again.",
                     task->id, commit, fault.text);
        attempts_end(worker->attempts, task->id, task->hash);
    }
    for (size_t i = 0; i < task->bundle.count; i++)
        worker_say(worker, MESSAGE_SETTLED, task->bundle.items[i].envelope.id, "read", commit);
    if (task->by_post || task->bundle.count || mail_verdicts(worker->mail))
        worker->looks.mail = true;
    mail_told(worker->mail);
    mail_verdicts_kept(worker->mail);
}

/* The commit is durable: now it may be told. */
static void announce(struct worker *worker, const struct reply *reply, int64_t now, const char *id)
{
    size_t shown = utf8_cut(reply->answer, strlen(reply->answer), LOGGED_ANSWER_MAX);
    log_info("agent", worker->name, "Response:\n%.*s%s", (int)shown, reply->answer,
             reply->answer[shown] ? "\n… (the whole answer is in outputs/)" : "");
    report_count_tokens(worker, worker->task.usage.tokens_in + worker->task.usage.tokens_out, now);
    worker->figures.negative_streak = report_negative_streak(worker, 1);
    memory_set(&worker->figures.last_task, worker->task.id);
    worker_say(worker, MESSAGE_FINISHED, worker->task.id, (uint64_t)(reply->reward + 1), id,
               worker->task.usage.tokens_in, worker->task.usage.tokens_out, "done", "");
    int64_t soon = clock_monotonic_ms();
    timers_arm_within(&worker->timers, TIMER_TIDY, soon + TIDY_AFTER_MS);
    timers_arm_within(&worker->timers, TIMER_FIGURES, soon + 100);
}

/* The supervisor counts failures too, and its order to pause shall come before another task is begun. */
static void await_watchdog(struct worker *worker)
{
    const struct roster_agent *agent = worker->start->agent;
    if (!agent->watchdog.pause || worker->figures.negative_streak < (uint64_t)agent->watchdog.negative_streak)
        return;
    report_figures(worker);
    timers_arm(&worker->timers, TIMER_BACKOFF, clock_monotonic_ms() + WATCHDOG_MS);
}

/* Whether the answer is of no use any more: the envelope was taken away, or the lock has another holder. */
static bool is_void(struct worker *worker)
{
    const char *why = !cycle_envelope_is_there(worker) ? "it was taken away meanwhile"
                      : leases_lost(worker)            ? "the lease of its lock is over"
                                                       : NULL;
    if (why)
        log_warn("agent", worker->name, "The answer to %s is not used: %s.", worker->task.id, why);
    return why != NULL;
}

static void relieved(struct worker *worker)
{
    if (worker->trouble.sentence) {
        free(worker->trouble.sentence);
        worker->trouble.sentence = NULL;
        report_problems(worker);
    }
    timers_disarm(&worker->timers, TIMER_BACKOFF);
    worker->trouble.delay_ms = 0;
}

void cycle_finish(struct worker *worker)
{
    struct reply reply;
    struct fault fault;
    char id[COMMIT_TEXT];
    struct sending sending = {0};
    int64_t now = clock_now();
    if (is_void(worker)) {
        cycle_abandon(worker);
        return;
    }
    if (!cycle_follow(worker))
        return;
    cycle_record_edits(worker);
    cycle_refresh(worker);
    reply_parse(&reply, worker->task.answer.text, strlen(worker->task.answer.text),
                worker->task.answer.finish_reason);
    size_t verdicts = mail_verdicts(worker->mail);
    if (commit(worker, &reply, now, &sending, id, &fault)) {
        end_work(worker, id);
        announce(worker, &reply, now, id);
        sending_told(worker, &sending);
        relieved(worker);
        await_watchdog(worker);
        size_t letters = worker->task.bundle.count + worker->task.by_post;
        cycle_forget(worker);
        prune_tracked(worker, KEPT_OUTPUTS, 1);
        prune_tracked(worker, KEPT_ARCHIVE, letters + verdicts);
    } else {
        worker_wait_for(worker, "storage", fault.text, 0);
    }
    sending_free(&sending);
    reply_free(&reply);
}
