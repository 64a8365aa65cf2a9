/* A snapshot: the supervisor's answer to a question of many clients, asked when a client wants to know, at most once
 * in SNAPSHOT_FRESH_MS however many want it, and waited for SNAPSHOT_WAIT_MS at most. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "supervisor/http/calls.h"

enum { SNAPSHOT_FRESH_MS = 1000, SNAPSHOT_WAIT_MS = 2000 };

enum snapshot_state { SNAPSHOT_KNOWN, SNAPSHOT_UNDER_WAY, SNAPSHOT_FAILED };

struct snapshot {
    struct calls *calls;            /* borrowed */
    const char *verb;               /* of common/control.h; its answer has an object of the same name */
    void (*settled)(void *context); /* the call that was under way is over */
    void *context;
    struct call *call; /* NULL: none is under way */
    int64_t settled_at;
    uint64_t serial; /* another number for every answer */
    json_t *answer;  /* NULL: the last question had none */
};

void snapshot_begin(struct snapshot *snapshot, struct calls *calls, const char *verb,
                    void (*settled)(void *context), void *context);
void snapshot_end(struct snapshot *snapshot);
/* Asks when the last answer is old. */
enum snapshot_state snapshot_look(struct snapshot *snapshot, int64_t now);
/* An order was carried out: an answer from before it is old. */
void snapshot_outdate(struct snapshot *snapshot);
/* The object of the verb's name; borrowed until the next look. NULL: FAILED. */
const json_t *snapshot_object(const struct snapshot *snapshot);
