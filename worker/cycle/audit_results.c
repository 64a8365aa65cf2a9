#include "worker/cycle/audit_results.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/cycle/worker.h"
#include "worker/memory/rewards.h"

enum { SUBJECT_TASKS = 3 };

static void drop_all(struct audit_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        free(results->items[i].task);
        free(results->items[i].reasons);
        free(results->items[i].displaced);
        displaced_free(&results->items[i].past);
    }
    free(results->items);
    results->items = NULL;
    results->count = results->applied = 0;
    buffer_drop(&results->note, results->note.length);
}

void audit_results_free(struct audit_results *results)
{
    drop_all(results);
    buffer_free(&results->note);
}

void audit_results_add(struct audit_results *results, char *task, int score, const char *reasons,
                       const struct question_usage *usage)
{
    *MEMORY_ADD(results->items, results->count) =
        (struct result){.task = task, .score = score, .reasons = memory_text(reasons), .usage = *usage};
    if (results->count == 1)
        results->came_ms = clock_monotonic_ms();
}

static void look_back(struct worker *worker, struct result *result)
{
    struct fault fault;
    OWNED char *displaced = result->score < 1 ? learning_displaced(worker->learning, result->task) : NULL;
    if (!displaced || (result->displaced && strcmp(result->displaced, displaced) == 0))
        return;
    if (result->has_past)
        displaced_free(&result->past);
    memory_set(&result->displaced, displaced);
    result->has_past = displaced_read(worker->history, displaced, &result->past, &fault);
    if (!result->has_past)
        log_warn("agent", worker->name, "The skill %s can't come back: %s", displaced, fault.text);
}

void audit_results_apply(struct worker *worker)
{
    struct audit_results *results = &worker->auditing->results;
    results->look = true;
    if (results->applied > 0 && results->readings != learning_readings(worker->learning)) {
        learning_forget(worker->learning);
        learning_refresh(worker->learning, &worker->problems.learning);
        buffer_drop(&results->note, results->note.length);
        results->applied = 0;
    }
    for (; results->applied < results->count; results->applied++) {
        struct result *result = &results->items[results->applied];
        look_back(worker, result);
        const struct audit_result one = {.task_id = result->task,
                                         .score = result->score,
                                         .reasons = result->reasons,
                                         .now = clock_now(),
                                         .decay_halflife_days = worker->start->agent->decay_halflife_days,
                                         .displaced = result->has_past ? &result->past : NULL};
        if (learning_audited(worker->learning, &one, &result->reward, &results->note))
            result->found = true;
    }
    results->readings = learning_readings(worker->learning);
}

/* For `agentos log` and `agentos show` (reader/commit_log.c); a single request is not mentioned. */
static void note_usage(const struct question_usage *usage, struct buffer *body)
{
    if (usage->tokens_in + usage->tokens_out + usage->requests == 0)
        return;
    buffer_print(body, ", %" PRIu64 " tokens in, %" PRIu64 " out", usage->tokens_in, usage->tokens_out);
    if (usage->cached > 0)
        buffer_print(body, ", %" PRIu64 " cached", usage->cached);
    if (usage->requests > 1)
        buffer_print(body, ", %" PRIu64 " requests", usage->requests);
    if (usage->cost != USAGE_NO_COST) {
        buffer_text(body, ", cost ");
        usage_print_cost(body, usage->cost);
    }
}

void audit_results_note(const struct worker *worker, struct buffer *body)
{
    for (size_t i = 0; i < worker->auditing->results.count; i++) {
        const struct result *result = &worker->auditing->results.items[i];
        buffer_print(body, "audit of %s: %s", result->task,
                     result->score == AUDIT_NONE ? "none" : rewards_sign(result->score));
        if (result->score != AUDIT_NONE && result->score != result->reward)
            buffer_print(body, ", the agent said %s", rewards_sign(result->reward));
        note_usage(&result->usage, body);
        if (result->reasons && *result->reasons)
            buffer_print(body, ": %s", result->reasons);
        buffer_text(body, "\n");
    }
    buffer_add(body, worker->auditing->results.note.data, worker->auditing->results.note.length);
}

void audit_results_kept(struct worker *worker, const char *commit)
{
    struct audit_results *results = &worker->auditing->results;
    for (size_t i = 0; i < results->count; i++) {
        const struct result *result = &results->items[i];
        if (!result->found)
            log_info("agent", worker->name, "Task %s waits for no audit any more; its result is dropped",
                     result->task);
        if (!result->found || result->score == AUDIT_NONE)
            continue;
        if (result->score != result->reward)
            log_warn("agent", worker->name, "The audit of task %s says %s, the agent said %s%s%s",
                     result->task, rewards_sign(result->score), rewards_sign(result->reward),
                     *result->reasons ? ": " : "", result->reasons);
        worker_say(worker, MESSAGE_JUDGED, result->task, (uint64_t)(result->reward + 1),
                   (uint64_t)(result->score + 1), result->reasons, commit);
    }
    drop_all(results);
    results->look = true;
}

void audit_results_subject(const struct worker *worker, struct buffer *subject)
{
    const struct audit_results *results = &worker->auditing->results;
    buffer_print(subject, "%s(audit): ", worker->name);
    for (size_t i = 0; i < results->count && i < SUBJECT_TASKS; i++)
        buffer_print(subject, "%s%s %s", i ? ", " : "", results->items[i].task,
                     results->items[i].score == AUDIT_NONE ? "none" : rewards_sign(results->items[i].score));
    if (results->count > SUBJECT_TASKS)
        buffer_print(subject, " and %zu more", results->count - SUBJECT_TASKS);
}
