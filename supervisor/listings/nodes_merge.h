/* Merges the answers of other nodes into this node's own (contract section 12): pages of envelopes, and one
 * envelope's way.
 *
 * told is the answer of the verb `nodes` (common/control.h), NULL where none came. An answer is of the shape that
 * agentos-reader gives, or it is passed over; its texts are as little to be trusted as those of any envelope. With a
 * bus each item says on which "node" it lies. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* These keys are taken out here: by NODES_IGNORANCE items say which of two copies knows more (copy_ignorance), by the
 * other key steps of one second their order (enum step_rank). */
#define NODES_IGNORANCE "ignorance"
#define NODES_RANK      "rank"

enum {
    PAGE_ITEMS = 50, /* items of a page, where the request names no other limit */
    PAGE_ITEMS_MAX = 500,
};

struct nodes_page {
    bool once; /* of an envelope the copy that knows most; else every copy is an item of its own */
    /* The page ends where any node's page does, with the cursor `next`; else a cut page is a problem. */
    bool paged;
    size_t most; /* items */
};

/* page: {"items": […], "next", "queues"?, "problems"?} of this node, changed in place; newest first. */
void nodes_merge_page(json_t *page, const json_t *told, const struct nodes_page *how);
/* view: as envelope_view_json has it for nodes, taken; NULL: this node has no such envelope. Problems are added as "problems".
 * NULL: no node has it. */
json_t *nodes_merge_envelope(json_t *view, const json_t *told);
