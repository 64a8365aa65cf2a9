/* The answer to a task on standard output, and the exit code that the task's end means. */
#pragma once

#include "supervisor/cli/terminal/invocation.h"

/* Prints the answer of the invocation's agent, from its folder or, when it has left the work tree, from its git; task
 * NULL: the last one. 0 for reward 1 and 0, 65 for -1; -1: there is no such answer, and no complaint was printed. */
int answer_show(const struct invocation *invocation, int folder, const char *task);
