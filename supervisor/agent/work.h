/* Whether an agent has something to do, as its tree shows before a worker has looked at it. */
#pragma once

#include <stdbool.h>

struct agent;

/* A block in queue.md, or a file in iac/inbox or iac/handoffs. */
bool work_found(const struct agent *agent);
/* The agent's worker left for lack of work, nothing has come since, and the fleet is larger than warm_workers. */
bool work_lacks(const struct agent *agent);
