/* The idle workers that stay (agents.yaml: warm_workers; contract sections 3 and 10): past that number the worker that was
 * idle longest leaves, and its agent hibernates until there is work. */
#pragma once

#include <stddef.h>
#include <sys/queue.h>

struct agent;
struct agents;

struct warm {
    TAILQ_HEAD(warm_list, agent) idle; /* longest first; a worker that was sent away is not in it */
    size_t count, limit;
};

void warm_begin(struct agents *agents);
void warm_limit(struct agents *agents, size_t limit);
/* For the safety scan: workers that were sent away and had a reason to stay count again, and are asked again. */
void warm_scan(struct agents *agents);
/* The agent's state is another. */
void warm_changed(struct agent *agent);
/* The agent is about to be freed. */
void warm_forget(struct agent *agent);
