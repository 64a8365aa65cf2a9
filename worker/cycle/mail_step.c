/* The worker's half of the post office: when it looks, takes envelopes in hand, puts them back, and records the
 * supervisor's verdicts on envelopes that it sent. The places where the worker's death (or the machine's) may leave an
 * envelope, and the next start's way with each:
 *
 *   handoffs|inbox, delivered                  it was never begun: it is work as before, and may expire
 *   handoffs|inbox, reading                    it was begun in time: it doesn't expire; done again, its attempt counted,
 *                                              and after three of them set aside (an item: its queue decides)
 *   .agentos/reading-N beside either           the file for an exchange, or what came out of one: written over
 *   handoffs|inbox, and the commit's record    the journal is redone: archive's file first, then this one goes
 *     is in the journal                          (only if it still is what was read)
 *   handoffs|inbox and archive (finished,      delivered twice, or somebody's copy: it goes, the supervisor is told
 *     read), or the ledger knows it              again
 *   outbox, pending                            committed, perhaps never rung for: POST "" asks about all of them
 *   outbox, a verdict was on its way           the supervisor says it again, it knows by its index or by the receiver
 *   dead-letter (expired, failed), unknown     the supervisor laid it there: commit and reflection are made now
 *     to the ledger and to HEAD
 *   dead-letter, status not final              the supervisor's own start goes on with it; it rings */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "worker/cycle/worker.h"

enum {
    RECORD_AFTER_MS = 100,
    RECORD_LATER_MS = 1000, /* a verdict whose file can't be read now is tried again after this */
    REFUSED_MAX = 1000
};

/* --- looking --- */

static void is_over(void *context, const char *id, const char *status, const char *commit)
{
    worker_say(context, MESSAGE_SETTLED, id, status, commit);
}

/* Dead letters that people took away, or that are on their way again. */
static void record_gone(struct worker *worker)
{
    OWNED_CHANGES struct change_list changes = {0};
    struct fault fault;
    char commit[COMMIT_TEXT];
    mail_gone_letters(worker->mail, &changes);
    OWNED char *subject = memory_print("%s(post): %zu dead letter(s) gone", worker->name, changes.count);
    const struct commit_request request = {
        .author = AUTHOR_AGENT, .subject = subject, .changes = changes.items, .change_count = changes.count};
    if (changes.count &&
        !(cycle_reopen(worker, &fault) && history_commit(worker->history, &request, commit, &fault)))
        log_warn("agent", worker->name, "Git still has dead letters that are gone: %s.", fault.text);
}

static void look_at_files(struct worker *worker, int64_t now_ms)
{
    OWNED_BUFFER struct buffer problems = {0};
    timers_disarm(&worker->timers, TIMER_MAIL);
    mail_look(worker->mail, &problems, is_over, worker);
    int64_t again_ms = mail_again_ms(worker->mail);
    if (again_ms)
        timers_arm(&worker->timers, TIMER_MAIL, now_ms + again_ms);
    else if (problems.length) /* no message comes when people take away a file that was set aside */
        timers_arm(&worker->timers, TIMER_MAIL, now_ms + worker->start->poll_seconds * 1000);
    buffer_add(&problems, "", 0);
    const char *before = worker->problems.mail.data ? worker->problems.mail.data : "";
    if (strcmp(problems.data, before) == 0)
        return;
    buffer_drop(&worker->problems.mail, worker->problems.mail.length);
    buffer_text(&worker->problems.mail, problems.data);
    report_problems(worker);
}

void mail_step_look(struct worker *worker, int64_t now_ms)
{
    bool due = timers_take(&worker->timers, TIMER_MAIL);
    if (!worker->looks.mail && !due)
        return;
    worker->looks.mail = false;
    look_at_files(worker, now_ms);
    int64_t before_ms = timers_at(&worker->timers, TIMER_BACKOFF);
    bool escalated = envelope_ends_escalate(worker);
    int64_t again_ms = mail_again_ms(worker->mail), backoff_ms = timers_at(&worker->timers, TIMER_BACKOFF);
    if (!escalated) {
        worker->looks.mail = backoff_ms == before_ms; /* the turn had no time for more */
        timers_arm(&worker->timers, TIMER_MAIL, worker->looks.mail ? now_ms : backoff_ms);
    } else if (!timers_armed(&worker->timers, TIMER_MAIL) && again_ms)
        timers_arm(&worker->timers, TIMER_MAIL, now_ms + again_ms);
    record_gone(worker);
    timers_arm_within(&worker->timers, TIMER_FIGURES, now_ms);
    if (worker->phase == PHASE_ASKED && !cycle_envelope_is_there(worker)) {
        log_warn("agent", worker->name, "%s was taken away while it was worked at.", worker->task.id);
        cycle_abandon(worker);
    }
}

void mail_step_catch_up(struct worker *worker)
{
    if (mail_changed(worker->mail))
        look_at_files(worker, clock_monotonic_ms());
}

static bool skip_none(void *context, const struct letter *letter)
{
    (void)context;
    (void)letter;
    return false;
}

bool mail_step_has_work(const struct worker *worker)
{
    return mail_verdicts(worker->mail) > 0 || mail_unsettled(worker->mail) ||
           mail_next(worker->mail, clock_now(), skip_none, NULL) != NULL;
}

/* --- in hand --- */

bool mail_step_begin(struct worker *worker, const struct letter *letter)
{
    struct fault fault;
    struct opened_envelope opened;
    cycle_prepare(worker);
    int begun = mail_begin(worker->mail, letter, clock_now(), true, &opened, &fault);
    if (begun < 0)
        worker_wait_for(worker, "storage", fault.text, 0);
    if (begun <= 0) {
        /* The letter is not as it was. */
        look_at_files(worker, clock_monotonic_ms());
        return begun == 0;
    }
    OWNED_BUFFER struct buffer text = {0};
    mail_task_text(&opened, &text);
    buffer_add(&text, "", 0);
    worker->task = (struct task){.id = memory_text(opened.envelope.id),
                                 .from = memory_text(opened.envelope.from),
                                 .hash = opened.hash,
                                 .by_post = true,
                                 .opened = opened};
    worker->task.text = buffer_take(&text);
    choice_begun(worker);
    log_info("agent", worker->name, "Processing %s from %s: %s", envelope_kind_name(opened.envelope.kind),
             opened.envelope.from, opened.envelope.id);
    cycle_ask(worker);
    return true;
}

/* --- what became of ours --- */

void mail_step_verdict(struct worker *worker, const char *id, const char *status, const char *reason,
                       int64_t at)
{
    mail_verdict(worker->mail, id, status, reason, at);
    timers_arm_within(&worker->timers, TIMER_VERDICTS, clock_monotonic_ms() + RECORD_AFTER_MS);
}

static bool commit_verdicts(struct worker *worker, struct change_list *changes, const struct buffer *note,
                            size_t count, struct fault *fault)
{
    char commit[COMMIT_TEXT];
    OWNED char *subject = memory_print("%s(post): %zu envelope(s) on their way", worker->name, count);
    const struct commit_request request = {.author = AUTHOR_AGENT,
                                           .subject = subject,
                                           .body = note->data,
                                           .changes = changes->items,
                                           .change_count = changes->count};
    return cycle_reopen(worker, fault) && history_commit(worker->history, &request, commit, fault);
}

static void record(struct worker *worker, int64_t now_ms)
{
    size_t count = mail_verdicts(worker->mail);
    if (count == 0)
        return;
    int64_t now = clock_now();
    struct fault fault;
    OWNED_CHANGES struct change_list changes = {0};
    OWNED_BUFFER struct buffer refused = {0}, note = {0};
    mail_verdict_changes(worker->mail, now, &changes, &refused, &note);
    if (refused.length) {
        cycle_record_edits(worker);
        cycle_refresh(worker);
        OWNED char *text = memory_slice(refused.data, utf8_cut(refused.data, refused.length, REFUSED_MAX));
        learning_reflect(worker->learning, "post", text, now, &changes);
    }
    bool done = changes.count == 0 || commit_verdicts(worker, &changes, &note, count, &fault);
    if (done) {
        mail_verdicts_kept(worker->mail);
        if (mail_verdicts(worker->mail) > 0)
            timers_arm(&worker->timers, TIMER_VERDICTS, now_ms + RECORD_LATER_MS);
        worker->looks.mail = true; /* the file that was set aside is a problem from now on */
        learning_kept(worker->learning);
        prune_tracked(worker, KEPT_ARCHIVE, count);
    } else {
        learning_forget(worker->learning);
        worker_wait_for(worker, "storage", fault.text, 0);
        timers_arm(&worker->timers, TIMER_VERDICTS, timers_at(&worker->timers, TIMER_BACKOFF));
    }
    timers_arm_within(&worker->timers, TIMER_FIGURES, now_ms);
}

/* While an answer waits for its commit the timer stays due: that commit takes the verdicts along. */
void mail_step_record(struct worker *worker, int64_t now_ms)
{
    if (worker->phase != PHASE_ANSWER && timers_take(&worker->timers, TIMER_VERDICTS))
        record(worker, now_ms);
}
