/* Where the report of a reply lies: in a fence, in tags, or in the last lines. */
#pragma once

#include "worker/reply/span.h"

/* Offsets into the reply: [start, end) with its fences. */
struct reply_block {
    size_t start, end;
    char *inner; /* without fences, quotes' marks and tags */
    bool closed; /* its end is marked */
    bool marked; /* it says agentos */
};

/* The blocks that count, in order: the last one that says agentos, with those right in front of it; else a fence at the
 * end that is marked as yaml, json, markdown or nothing and holds a reward; else the last lines, when they are keys and
 * one of them is a reward. An example within a longer fence is none. stop: behind a block's end the model's turn was
 * over (a stop token stands there), so no block behind counts; 0: no such place. */
struct reply_blocks {
    struct reply_block *items;
    size_t count, stop;
};

void reply_blocks_find(struct reply_blocks *blocks, struct span text);
/* The same without a fence: the last lines. */
void reply_blocks_unfenced(struct reply_blocks *blocks, struct span text);
void reply_blocks_free(struct reply_blocks *blocks);
