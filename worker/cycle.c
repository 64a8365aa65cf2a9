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
#include "worker/prompt.h"
#include "worker/worker.h"

enum { EDITS_FRESH_MS = 500, TASK_MAX = 1024 * 1024, HELD_MS = 60000 };

void cycle_refresh(struct worker *worker)
{
    buffer_drop(&worker->learning_problems, worker->learning_problems.length);
    if (auditing_has_results(worker))
        learning_forget(worker->learning);
    learning_refresh(worker->learning, &worker->learning_problems);
    auditing_apply(worker);
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

void cycle_forget(struct worker *worker)
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
        worker->waits_for_budget = false;
        const struct block *block = queue_next(worker->queue, is_held, worker);
        if (!block) {
            report_activity(worker, ACTIVITY_IDLE, "", 0);
            return;
        }
        if (auditing_holds(worker)) /* its score belongs into the next prompt */
            return;
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
    } else if (kind == ANSWER_BUDGET) {
        worker_wait_for_budget(worker, text, retry_after_ms);
    } else { /* the gateway has logged the fault itself, as an error when it won't pass by itself */
        worker_wait_for(worker, "provider", text, retry_after_ms);
    }
    cycle_forget(worker);
    free(text);
    free(finish_reason);
    free(model);
}

void cycle_abandon(struct worker *worker)
{
    if (worker->phase == PHASE_NONE)
        return;
    if (worker->phase == PHASE_ASKED)
        worker_say(worker, MESSAGE_FORGET, worker->serial, worker->name);
    log_info("agent", worker->name, "Task %s is put down; it stays in the queue.", worker->task.id);
    attempts_end(worker->attempts, worker->task.id, worker->task.hash);
    cycle_forget(worker);
}
