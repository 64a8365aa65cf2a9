/* Whether the machine has room for one more worker now (common/capacity.h). */
#pragma once

#include <stdbool.h>

#include "common/fault.h"
#include "supervisor/agent/agents.h"

/* False and fault. */
bool room_for_worker(struct agents *agents, struct fault *fault);
/* Whether a worker that ended with this wait status before it was ready lacked room: the worker says so by
 * EX_TEMPFAIL, and a library that has not foreseen it by a signal. True and why. */
bool room_blamed(struct agents *agents, int status, struct fault *why);

/* The worker that is about to be made gets a control group of memory, where the machine has them
 * (common/format/memory_group.h). */
void room_take_memory(struct agent *agent);
/* A worker has ended with that wait status, and its group is free: "exit 0", "signal 9", and whether the group's
 * limit was the reason that the worker was out of memory. Caller frees. */
char *room_ending(struct agent *agent, int status);
