/* Whether the machine has room for one more worker now (common/capacity.h). */
#ifndef AGENTOS_SUPERVISOR_AGENT_ROOM_H
#define AGENTOS_SUPERVISOR_AGENT_ROOM_H

#include <stdbool.h>

#include "common/fault.h"
#include "supervisor/agent/agents.h"

/* False and fault. */
bool room_for_worker(struct agents *agents, struct fault *fault);

#endif
