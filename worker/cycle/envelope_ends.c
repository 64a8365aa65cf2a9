/* Envelopes that end without an answer: envelopes that took their worker down, that were cancelled, or that the
 * supervisor set aside in our tree, whose memory is the worker's to keep. */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "worker/cycle/worker.h"

bool envelope_ends_commit(struct worker *worker, const struct task_trailers *ended, const char *why,
                          const struct change_list *changes, char commit[COMMIT_TEXT])
{
    struct fault fault;
    struct question_usage usage = deferred_usage(worker->trouble.deferred, ended->task, ended->task_hash);
    bool expired = strcmp(ended->end, "expired") == 0;
    OWNED char *subject = memory_print("%s(escalation): %s %s%s", worker->name, ended->task,
                                       expired ? "expired" : "failed: ", expired ? "" : why);
    struct commit_request request = {.author = AUTHOR_AGENT,
                                     .subject = subject,
                                     .trailers = *ended,
                                     .changes = changes->items,
                                     .change_count = changes->count};
    request.trailers.usage = &usage;
    if (history_commit(worker->history, &request, commit, &fault)) {
        learning_kept(worker->learning);
        return true;
    }
    learning_forget(worker->learning);
    worker_wait_for(worker, "storage", fault.text, 0);
    return false;
}

/* The envelope's end, in one commit with a reflection about it. */
static bool commit_end(struct worker *worker, const struct envelope *envelope, uint64_t hash, const char *end,
                       const char *why, struct change_list *changes, char commit[COMMIT_TEXT])
{
    bool expired = strcmp(end, "expired") == 0;
    OWNED char *text = memory_print("The %s from %s was not done: %s (%s). The envelope lies in %s/%s.md.",
                                    envelope_kind_name(envelope->kind), envelope->from,
                                    expired ? "expired" : "failed", why, TREE_DEAD_LETTERS, envelope->id);
    cycle_record_edits(worker);
    cycle_refresh(worker);
    learning_reflect(worker->learning, envelope->id, text, clock_now(), changes);
    const struct task_trailers ended = {
        .task = envelope->id, .task_hash = hash, .end = end, .source = envelope->id};
    bool done = envelope_ends_commit(worker, &ended, why, changes, commit);
    if (done)
        log_warn("agent", worker->name, "%s", text);
    timers_arm_within(&worker->timers, TIMER_TIDY, clock_monotonic_ms() + 1000);
    return done;
}

bool envelope_ends_poison(struct worker *worker, const struct letter *letter, const char *reason)
{
    OWNED_OPENED struct opened_envelope opened = {0};
    struct fault fault;
    OWNED_CHANGES struct change_list changes = {0};
    char commit[COMMIT_TEXT];
    int found = mail_read(worker->mail, letter, &opened, &fault);
    if (found < 0)
        worker_wait_for(worker, "storage", fault.text, 0);
    bool done = found >= 0;
    if (found > 0) {
        mail_bury(worker->mail, &opened, reason, clock_now(), &changes);
        done = commit_end(worker, &opened.envelope, opened.hash, "poison", reason, &changes, commit);
        if (done)
            worker_say(worker, MESSAGE_SETTLED, opened.envelope.id, "failed", commit);
    }
    if (done) {
        OWNED_BUFFER struct buffer problems = {0};
        mail_look(worker->mail, &problems, NULL, NULL);
        worker->looks.mail = true;
    }
    return done;
}

bool envelope_ends_cancel(struct worker *worker, const char *id)
{
    OWNED_BUFFER struct buffer problems = {0};
    mail_look(worker->mail, &problems, NULL, NULL);
    worker->looks.mail = true; /* the next look reports the findings of this look */
    const struct letter *letter = mail_find(worker->mail, id);
    return letter && !mail_expired(&letter->head, clock_now()) &&
           envelope_ends_poison(worker, letter, "cancelled");
}

struct escalating {
    struct worker *worker;
    int64_t until_ms; /* monotonic; 0: no letter was escalated yet */
};

static bool escalate(void *context, const struct envelope *envelope, uint64_t hash, const char *path,
                     const char *text, size_t length)
{
    struct escalating *escalating = context;
    struct worker *worker = escalating->worker;
    int64_t now_ms = clock_monotonic_ms();
    if (escalating->until_ms == 0) /* letters that are told already may take longer than a turn has */
        escalating->until_ms = now_ms + TURN_MS;
    else if (now_ms > escalating->until_ms)
        return false;
    OWNED_CHANGES struct change_list changes = {0};
    char commit[COMMIT_TEXT];
    bool expired = strcmp(envelope->status, "expired") == 0;
    const char *why = envelope->reason && *envelope->reason ? envelope->reason
                      : expired                             ? "its time to live was over"
                                                            : "no reason was given";
    change_list_add(&changes, CHANGE_RECORD, path, text, length);
    return commit_end(worker, envelope, hash, expired ? "expired" : "failed", why, &changes, commit);
}

bool envelope_ends_escalate(struct worker *worker)
{
    struct escalating escalating = {.worker = worker};
    return worker->phase == PHASE_ANSWER || mail_escalations(worker->mail, escalate, &escalating);
}
