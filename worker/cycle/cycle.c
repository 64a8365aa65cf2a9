/* One cycle (contract section 6): take the next work, ask, and put all consequences into one commit (commit_cycle.c).
 *
 * The crash, step by step. The block stays in queue.md until the commit is durable, so up to then a crash leaves the
 * task as it was, to be done again (its attempt counted, so that a task which takes its worker down every time is set
 * aside); an answer that was here is kept, and the worker that takes the task up goes on from the answer
 * (answer_store.h). history_commit is the one instant: after it the ledger knows id and hash. A crash before the block
 * is taken out leaves a block that the ledger knows: the next start takes the block out and does not do the task again.
 * An envelope is marked in its file when it is begun (worker/mail/in_hand.c) and taken away by the commit itself. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/answer_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/cycle/worker.h"

enum { TASK_MAX = 1024 * 1024 };

/* --- beginning --- */

/* The answer came, and its worker ended before the commit. Where two workers have died of the answer it may be the answer
 * that kills: then the model is asked again. A worker that died before the answer came says nothing against it. */
static bool resume(struct worker *worker)
{
    struct task *task = &worker->task;
    struct stored_answer answer;
    if (prefetch_is_out(worker) || !answer_store_take(worker->answers, task->id, task->hash, &answer))
        return false;
    if (task->deaths_before > answer.deaths_before + 1) {
        task_ends_unused(worker, &answer);
        return false;
    }
    /* Deaths before an orderly end are forgotten. */
    if (task->deaths_before > answer.deaths_before)
        task->deaths_before = answer.deaths_before;
    log_info("agent", worker->name,
             "Task %s was answered before the last worker's end; it goes on from that answer.", task->id);
    report_activity(worker, ACTIVITY_WORKING, task->id, 0);
    free(answer.task);
    cycle_answer(worker, ANSWER_OK, answer.text, answer.finish_reason, answer.model, &answer.usage, 0, 0);
    return true;
}

static bool begin(struct worker *worker, const struct block *block)
{
    struct fault fault;
    cycle_prepare(worker);
    if (!attempts_begin(worker->attempts, block->id, block->hash, &fault)) {
        worker_wait_for(worker, "storage", fault.text, 0);
        return false;
    }
    worker->task = (struct task){
        .id = memory_text(block->id),
        .text = memory_text(block->task),
        .from = memory_text(block->from),
        .hash = block->hash,
        .whole = answer_hash_whole(block),
        .deaths_before = attempts_failed(worker->attempts, block->id, block->hash),
    };
    choice_begun(worker);
    leases_take(worker, block);
    log_info("agent", worker->name, "Processing task: %s", block->id);
    if (block->doubt)
        log_warn("agent", worker->name, "Task %s: %s.", block->id, block->doubt);
    if (!resume(worker))
        cycle_ask(worker);
    return true;
}

/* Tasks that end without a question: done already, deadly, too large. 1: the task ended, 0: the task is to be done, -1:
 * the task should have ended but its end could not be recorded. */
static int ends_at_once(struct worker *worker, const struct block *block)
{
    char commit[COMMIT_TEXT];
    if (history_finished(worker->history, block->id, block->hash, commit))
        return task_ends_duplicate(worker, block, commit) ? 1 : -1;
    if (attempts_failed(worker->attempts, block->id, block->hash) >= ATTEMPTS_MAX)
        return task_ends_dead_letter(worker, block, "failed", "poison") ? 1 : -1;
    OWNED char *spent = memory_text(deferred_spent(worker->trouble.deferred, block->id, block->hash));
    if (spent)
        return task_ends_dead_letter(worker, block, "failed", spent) ? 1 : -1;
    if (strlen(block->id) > MESSAGE_TASK_MOST) /* the supervisor could not be told of it */
        return task_ends_dead_letter(worker, block, "failed", "its id is longer than 1024 bytes") ? 1 : -1;
    if (strlen(block->task) > TASK_MAX)
        return task_ends_dead_letter(worker, block, "failed", "too large") ? 1 : -1;
    if (block->lock && !leases_name(block->lock))
        return task_ends_dead_letter(worker, block, "failed", "no lock can have this name") ? 1 : -1;
    return 0;
}

/* --- the next work --- */

struct search {
    struct worker *worker;
    bool untried_only;
};

static bool has_no_lease(void *context, const struct block *block)
{
    const struct search *search = context;
    return choice_passes_over(search->worker, search->untried_only, block->id, block->hash) ||
           leases_state(search->worker, block) != LEASE_HELD;
}

static bool is_not_asked_about(void *context, const struct block *block)
{
    const struct search *search = context;
    return !prefetch_is_about(search->worker, block) ||
           choice_passes_over(search->worker, search->untried_only, block->id, block->hash) ||
           leases_state(search->worker, block) == LEASE_WAITS;
}

/* At most one of both. The prefetched task was next when it was asked about; a block whose lease runs goes first, since
 * others wait for the lock. */
static void choose_of(struct worker *worker, bool untried_only, const struct block **block,
                      const struct letter **letter)
{
    struct search search = {worker, untried_only};
    *letter = NULL;
    *block = prefetch_is_out(worker) ? queue_next(worker->queue, is_not_asked_about, &search) : NULL;
    if (!*block && worker->leases.count) {
        *block = queue_next(worker->queue, has_no_lease, &search);
        worker->turns.next_by_age = worker->turns.next_by_age && !*block;
    }
    if (!*block)
        choice_next(worker, untried_only, block, letter);
}

/* While the provider is in trouble, tasks that have not failed go first, to find out whose trouble it is. */
static void choose(struct worker *worker, const struct block **block, const struct letter **letter)
{
    mail_step_catch_up(worker);
    choose_of(worker, worker->trouble.delay_ms > 0, block, letter);
    if (!*block && !*letter)
        choose_of(worker, false, block, letter);
}

/* False: no further task can be begun or ended now. */
static bool take_letter(struct worker *worker, const struct letter *letter)
{
    /* An item's attempts are its queue's affair, which has a max_attempts of its own. */
    if (letter->head.attempts >= ATTEMPTS_MAX && letter->head.kind != KIND_ITEM)
        return envelope_ends_poison(worker, letter, "poison");
    OWNED char *spent = memory_text(deferred_spent(worker->trouble.deferred, letter->head.id, letter->hash));
    return spent ? envelope_ends_poison(worker, letter, spent) : mail_step_begin(worker, letter);
}

static bool take_block(struct worker *worker, const struct block *block)
{
    int ended = ends_at_once(worker, block);
    if (ended != 0)
        return ended > 0;
    enum lease_state lease = leases_state(worker, block);
    if (lease == LEASE_UNASKED)
        leases_ask(worker, block);
    if (lease == LEASE_UNASKED || lease == LEASE_ASKED)
        return false; /* the answer comes in a moment */
    return begin(worker, block);
}

static void report_nothing(struct worker *worker)
{
    const char *lock = leases_waited_for(worker);
    int64_t until = deferred_until(worker->trouble.deferred);
    OWNED char *what = lock ? memory_print("lock %s", lock) : memory_text(until ? "provider" : "");
    report_activity(worker, lock || until ? ACTIVITY_WAITING : ACTIVITY_IDLE, what, lock ? 0 : until);
}

/* A pause and a resume are heard whatever holds the work up: whoever gave the order waits for its answer. */
void cycle_next(struct worker *worker)
{
    bool merging = tree_look(worker);
    int64_t begun = clock_monotonic_ms();
    while (worker->phase == PHASE_NONE) {
        if (worker->orders.pause) {
            leases_release_others(worker); /* others shall not wait for it */
            report_activity(worker, ACTIVITY_PAUSED, "", 0);
            return;
        }
        if (timers_armed(&worker->timers, TIMER_BACKOFF)) {
            worker_waits_on(worker);
            return;
        }
        timers_disarm(&worker->timers, TIMER_BACKOFF);
        worker->trouble.budget = false;
        if (merging) {
            report_activity(worker, ACTIVITY_IDLE, "", 0);
            return;
        }
        if (worker->looks.expired)
            return;
        if (clock_monotonic_ms() - begun > TURN_MS) {
            timers_arm(&worker->timers, TIMER_QUEUE, begun);
            return;
        }
        const struct block *block;
        const struct letter *letter;
        choose(worker, &block, &letter);
        if (!block && !letter) {
            report_nothing(worker);
            return;
        }
        if (auditing_holds(worker)) /* its score belongs into the next prompt */
            return;
        /* An idle agent makes no repository: a person who puts another one into its place may have removed the former. */
        if (!cycle_follow(worker))
            return;
        if (letter ? !take_letter(worker, letter) : !take_block(worker, block))
            return;
    }
}

/* --- the answer --- */

/* Other tasks go on meanwhile. */
static void defer(struct worker *worker, enum answer_kind kind, const char *why, int64_t answered_ms)
{
    const struct task *task = &worker->task;
    const struct deferred_try failed = {.id = task->id,
                                        .hash = task->hash,
                                        .by_post = task->by_post,
                                        .why = why,
                                        .answered_ms = answered_ms,
                                        .hopeless = kind == ANSWER_LENGTH};
    int64_t pause_ms = deferred_add(worker->trouble.deferred, &failed);
    log_warn("agent", worker->name, "Task %s stays in the %s, next try in %.1f s: %s", task->id,
             task->by_post ? "post" : "queue", (double)pause_ms / 1000, why);
    free(worker->trouble.sentence); /* the task's own sentence says it from now on */
    worker->trouble.sentence = NULL;
    report_problems(worker);
    if (kind == ANSWER_REQUEST)
        worker_say(worker, MESSAGE_DEFERRED, task->id, why);
}

/* No answer. A refusal is the task's own trouble, and so is a failure while the provider answers others. As long as it
 * answers nobody it may be everybody's: then the worker waits, and after three failures of one task the next is tried in
 * its place, to find out. */
static void fail(struct worker *worker, enum answer_kind kind, const char *why, int64_t retry_after_ms,
                 int64_t answered_ms)
{
    enum { TO_FIND_OUT = 3 };
    struct provider_trouble *provider = &worker->trouble.provider;
    uint64_t hash = worker->task.hash;
    bool refused = kind == ANSWER_REQUEST;
    bool answers = answered_ms > (provider->failed_ms ? provider->failed_ms : provider->asked_ms);
    provider->failures = provider->task == hash ? provider->failures + 1 : 1;
    provider->task = hash;
    provider->failed_ms = clock_monotonic_ms();
    provider->refused = answers ? 0
                                : provider->refused + (refused && !deferred_knows(worker->trouble.deferred,
                                                                                  worker->task.id, hash));
    if (refused || (kind == ANSWER_PASSING && (answers || provider->failures >= TO_FIND_OUT))) {
        defer(worker, kind, why, answered_ms);
        provider->failures = 0;
    }
    if (answers && (refused || kind == ANSWER_PASSING))
        worker->trouble.delay_ms = 0;
    else if (!refused || provider->refused >= TO_FIND_OUT)
        worker_wait_for(worker, "provider", why, retry_after_ms);
}

/* Letters that were read along with a question are gathered anew for the next try, so the answer to such a question is
 * not kept. */
static bool keep(struct worker *worker)
{
    const struct task *task = &worker->task;
    const struct stored_answer answer = {.task = task->id,
                                         .hash = task->hash,
                                         .deaths_before = task->deaths_before,
                                         .text = worker->task.answer.text,
                                         .finish_reason = worker->task.answer.finish_reason,
                                         .model = worker->task.answer.model,
                                         .usage = worker->task.answer.usage};
    return !task->by_post && task->bundle.count == 0 && answer_store_write(worker->answers, &answer);
}

/* Questions that failed are paid, too: they count with the task's end, whatever the end is. A resumed answer counts as
 * itself, so answer and failed questions are summed only here. */
static void count_usage(struct worker *worker, const struct question_usage *usage, bool answered)
{
    struct task *task = &worker->task;
    if (answered) {
        task->answer.usage = *usage;
        task->usage = deferred_usage(worker->trouble.deferred, task->id, task->hash);
        usage_add(&task->usage, usage);
    } else {
        deferred_paid(worker->trouble.deferred, task->id, task->hash, task->by_post, usage);
    }
}

void cycle_answer(struct worker *worker, enum answer_kind kind, char *text, char *finish_reason, char *model,
                  const struct question_usage *usage, int64_t retry_after_ms, int64_t answered_ms)
{
    count_usage(worker, usage, kind == ANSWER_OK);
    if (kind == ANSWER_LENGTH && cycle_ask_smaller(worker)) {
        deferred_keep(worker->trouble.deferred);
        free(text);
        free(finish_reason);
        free(model);
        return;
    }
    if (kind == ANSWER_LENGTH && !cycle_is_mostly_task(worker)) /* persona and rules are too long already */
        kind = ANSWER_REQUEST;
    if (kind == ANSWER_OK) {
        worker->task.answer.text = text;
        worker->task.answer.finish_reason = finish_reason;
        worker->task.answer.model = model;
        worker->task.answer.kept = keep(worker);
        worker->phase = PHASE_ANSWER;
        timers_disarm(&worker->timers, TIMER_BACKOFF);
        worker->trouble.delay_ms = 0;
        worker->trouble.provider = (struct provider_trouble){0};
        cycle_finish(worker);
        return;
    }
    if (kind == ANSWER_BUDGET)
        worker_wait_for_budget(worker, text, retry_after_ms);
    else if (kind == ANSWER_LENGTH)
        defer(worker, kind, text, answered_ms); /* the task ends in its next turn */
    else /* the gateway has logged the fault itself, as an error when it won't pass by itself */
        fail(worker, kind, text, retry_after_ms, answered_ms);
    deferred_keep(worker->trouble.deferred);
    cycle_put_down(worker);
    leases_release_others(worker);
    free(text);
    free(finish_reason);
    free(model);
}
