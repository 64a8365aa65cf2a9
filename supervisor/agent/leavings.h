/* The look at a tree whose worker has ended (contract section 10). The look follows the end a little later than the
 * kernel's times are coarse: its mark is good then, so neither this supervisor nor the next one walks the tree again. */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

#include "supervisor/process/loop.h"

struct agent;
struct agents;

/* An agent's place among the trees that wait for their look. */
struct left {
    TAILQ_ENTRY(agent) link;
    int64_t since_ms; /* monotonic; 0: the tree doesn't wait */
};

struct leavings {
    TAILQ_HEAD(leavings_list, agent) waiting; /* in the order in which their workers ended */
    struct timer timer;
};

void leavings_begin(struct agents *agents);
void leavings_end(struct agents *agents);
/* The agent's worker has ended, and no worker follows at once. */
void leavings_wait(struct agent *agent);
/* A worker starts, whose start looks itself; or the agent is about to be freed. */
void leavings_forget(struct agent *agent);
