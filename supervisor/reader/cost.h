/* The cost of all work of a trace: the tokens, requests and money of each hand that it went through, from the
 * trailers of the commits with their answers (libgit2, read-only). No text of an agent or a model can look like such
 * a trailer. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/usage.h"
#include "supervisor/listings/envelope_scan.h"

enum hand_state {
    HAND_KNOWN,
    HAND_OPEN,   /* not done yet */
    HAND_UNKNOWN /* the hand has worked, and no history that can be read here tells its cost */
};

/* An agent's part in the trace: a task of its queue, or an envelope that it had as work. */
struct hand {
    char *agent, *id; /* owned */
    enum hand_state state;
    /* A message may have been read in another task's cycle, and an expired envelope not been asked about: the hand
     * cost nothing then. */
    bool optional;
    size_t answers;              /* how often the work was done: requeued work more than once */
    struct question_usage usage; /* of all the hand's answers; of audits by a model too */
    uint64_t audit_tokens;       /* the audits' part of the tokens */
};

struct cost {
    const char *trace; /* borrowed from the scan */
    struct hand *hands;
    size_t count;
};

struct cost_total {
    struct question_usage usage;
    uint64_t audit_tokens;
    bool complete; /* no hand is unknown; a hand that isn't done yet is no gap */
};

const char *hand_state_name(enum hand_state state);

/* After repository_library_start. scan: grouped; it must outlive the cost. A history that can't be read is complained
 * of in a sentence, and its hands are unknown. */
void cost_read(struct cost *cost, const struct envelope_scan *scan, const char *data_dir, const char *trace,
               void (*complain)(const char *sentence));
void cost_free(struct cost *cost);
struct cost_total cost_total(const struct cost *cost); /* of all hands */

/* {"trace", "tokens", "tokens_in", "tokens_out", "cached_tokens", "audit_tokens", "requests", "cost" (null where no price
 * is known), "complete", "hands": [{"agent", "id", "state", "answers", and the same numbers, null where the hand's are
 * unknown}]}. New reference. */
json_t *cost_json(const struct cost *cost);
/* Sets the numbers alone in an object; null where they are not known. */
void cost_set_numbers(json_t *object, bool known, const struct question_usage *usage, uint64_t audit_tokens);
