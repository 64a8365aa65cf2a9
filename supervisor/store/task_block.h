/* A task as a block of queue.md (contract section 5), as the worker reads it back. */
#ifndef AGENTOS_SUPERVISOR_STORE_TASK_BLOCK_H
#define AGENTOS_SUPERVISOR_STORE_TASK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/format/envelope.h" /* enum priority */

enum { TASK_TEXT_MAX = 256 * 1024 };

struct task_block {
    const char *id, *text;
    enum priority priority;
    int64_t created;
    int64_t ttl_seconds; /* 0: none */
    const char *lock;    /* NULL: none */
};

/* False and fault: such a block can't be written (an empty or overlong id or text, a line break in the id …). */
bool task_block_check(const struct task_block *block, struct fault *fault);
/* Appends it, a blank line first, so that a last line without its end above does no harm. */
void task_block_print(const struct task_block *block, struct buffer *out);
/* Appends it to the agent's queue.md, on disk when this returns. data: descriptor of DATA_DIR. EX_OK, or another of
 * sysexits.h and fault. */
int task_block_append(int data, const char *agent, const struct task_block *block, struct fault *fault);

#endif
