/* An envelope with its relatives: the places of its copies, its route through the system, its answers, the other
 * envelopes of its trace, and the trace's cost. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "supervisor/listings/envelope_scan.h"
#include "supervisor/reader/envelope_trace.h"

struct envelope_view {
    const char *data_dir;
    /* About a file or a history that can't be read, and is missing then. */
    void (*complain)(const char *sentence);
    struct envelope_scan scan; /* grouped */
    size_t first, count;       /* the envelope's copies */
    struct envelope_trace route;
    json_t *cost; /* of the whole trace (cost.h); NULL: not read */
};

/* view: data_dir and complain are set, every other field is zero. Reads every envelope file; opens no repository. */
void envelope_view_scan(struct envelope_view *view, const char *id);
/* Afterwards, where repositories may be read. False: there is no envelope of this id. */
bool envelope_view_read(struct envelope_view *view, const char *id);
void envelope_view_free(struct envelope_view *view);

/* `agentos show --json`; a new reference. for_nodes: with the keys that nodes_merge_envelope needs, and takes out
 * again. */
json_t *envelope_view_json(const struct envelope_view *view, bool for_nodes);
