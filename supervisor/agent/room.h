/* Whether the machine has room for one more worker now (common/capacity.h). */
#ifndef AGENTOS_SUPERVISOR_AGENT_ROOM_H
#define AGENTOS_SUPERVISOR_AGENT_ROOM_H

#include <stdbool.h>

#include "common/fault.h"
#include "supervisor/agent/agents.h"

/* False and fault. */
bool room_for_worker(struct agents *agents, struct fault *fault);
/* Whether a worker that ended with this wait status before it was ready lacked room: it says so by EX_TEMPFAIL, and a library
 * that has not foreseen it by a signal. True and why. */
bool room_blamed(struct agents *agents, int status, struct fault *why);

#endif
