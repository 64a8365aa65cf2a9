/* The answer to a task on standard output, and what its end means for the exit code. */
#pragma once

#include "supervisor/cli/terminal/invocation.h"

/* Prints the answer of the invocation's agent, from its folder or, when it has left the work tree, from its git; task
 * NULL: the last one. 0 for reward 1 and 0, 65 for -1; -1: there is no such answer, which has not been said. */
int answer_show(const struct invocation *invocation, int folder, const char *task);
