/* The results of an agent's work since the supervisor started, counted for the metrics (contract section 12):
 * finished tasks by their reward, how long a task took from its beginning to its commit, how long the model took, how
 * many tokens it used.
 *
 * Pure: the owner hands in each event and its time. The names of models and providers come from the operator's own
 * settings; past COUNTERS_MODELS of them, the rest counts as "other". */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COUNTERS_BUCKETS = 14, COUNTERS_MODELS = 32 };

struct histogram {
    uint64_t
        counts[COUNTERS_BUCKETS + 1]; /* by bucket, not added up; the last is for values above every bound */
    uint64_t sum;
};

/* Upper bounds of the buckets, ascending. */
extern const uint64_t counters_cycle_ms[COUNTERS_BUCKETS], counters_operation_ms[COUNTERS_BUCKETS],
    counters_tokens[COUNTERS_BUCKETS];

void histogram_add(struct histogram *histogram, const uint64_t bounds[COUNTERS_BUCKETS], uint64_t value);

/* A request to a model. */
struct operation {
    const char *model, *provider;
    const char *error; /* the kind of fault that ended the request; NULL: it was answered */
    uint64_t ms, tokens_in, tokens_out;
};

struct counters_model {
    char *model, *provider, *error; /* owned */
    struct histogram ms, tokens_in, tokens_out;
};

struct counters {          /* zeroed at first */
    uint64_t tasks[3];     /* by reward + 1 */
    uint64_t backpressure; /* refused envelopes for the agent: its backlog was full */
    struct histogram cycle_ms;
    char *begun; /* the task that was begun last and has not ended; NULL: none */
    int64_t begun_at;
    struct counters_model *models;
    size_t model_count;
};

void counters_free(struct counters *counters); /* frees the counters' texts */

/* now: clock_monotonic_ms. The same task once more changes nothing. */
void counters_began(struct counters *counters, const char *task, int64_t now);
/* The task has ended; done: with a commit and a reward of -1, 0 or 1. */
void counters_ended(struct counters *counters, const char *task, bool done, int reward, int64_t now);
void counters_asked(struct counters *counters, const struct operation *operation);

/* The agent's keys for the object of `metrics` (common/control.h), added to object; and the bounds of all
 * histograms. */
void counters_describe(const struct counters *counters, json_t *object);
json_t *counters_bounds(void);
