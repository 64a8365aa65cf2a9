/* Blocks of queue.md by their id, for a process that may not be held up by the file: a worker that was taken over may
 * have written any text there. The file is read in pieces and only what may be such a block is parsed, so that a search
 * of the largest file takes a few hundredths of a second. */
#pragma once

#include <stdbool.h>

#include "common/fault.h"
#include "common/format/block.h"

enum {
    QUEUE_SEARCH_PARSED_MAX = 2 * 1024 * 1024, /* bytes that a search parses, but for the last block */
    QUEUE_SEARCH_BLOCK_MAX = 1024 * 1024,      /* bytes of a block; what stands behind them is not read */
};

struct queue_search {
    bool (*is_meant)(void *context, const char *id);
    /* A block with a meant id, in the order of the file; strays are left out. True: the search has its end. */
    bool (*visit)(void *context, const struct block *block);
    void *context;
};

/* path: relative to the folder's descriptor. 1: visit has ended the search, 0: there is no such block, or no file, -1 and
 * fault: the file can't be read, has more than QUEUE_FILE_MAX bytes, or is made so that the search would take long. */
int queue_search(int folder, const char *path, const struct queue_search *search, struct fault *fault);
