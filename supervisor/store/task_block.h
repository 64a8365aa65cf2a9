/* A task as a block of queue.md (contract section 5), as the worker reads it back. */
#pragma once

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
    bool
        whole; /* a task that was given before is the same only with the same of all these, but for created */
};

/* False and fault: such a block can't be written (an empty or overlong id or text, a line break in the id …). */
bool task_block_check(const struct task_block *block, struct fault *fault);
/* Appends the block, a blank line first, so that a last line without its end above does no harm. */
void task_block_print(const struct task_block *block, struct buffer *out);
/* The state of a task by its id, in an agent's folder (tree, a descriptor): pending (or in hand) in its queue.md,
 * done with its answer in outputs/, or either with another text, which TASK_OTHER and fault say. An id may be given
 * again when its task was cancelled, has expired or failed: TASK_NEW then. TASK_UNTOLD and fault: the files can't be
 * searched now. *reward for TASK_DONE. */
enum task_known { TASK_NEW, TASK_PENDING, TASK_DONE, TASK_OTHER, TASK_UNTOLD };
enum task_known task_block_known(int tree, const struct task_block *block, int *reward, struct fault *fault);
/* Appends the block to the agent's queue.md, on disk when this returns. data: descriptor of DATA_DIR. EX_OK, or
 * another code of sysexits.h and fault. */
int task_block_append(int data, const char *agent, const struct task_block *block, struct fault *fault);
