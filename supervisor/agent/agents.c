#include "supervisor/agent/agents.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"

enum { GUARD_MS = 50, SCANNED_S = 60 };

void agents_begin(struct agents *agents)
{
    starts_begin(agents, agent_start);
    warm_begin(agents);
}

struct agent *agents_find(const struct agents *agents, const char *name)
{
    return lookup_name(&agents->found, name);
}

struct agent *agents_of_process(const struct agents *agents, pid_t pid)
{
    return lookup_process(&agents->found, pid);
}

bool agents_all_down(const struct agents *agents)
{
    return agents->found.with_process == 0;
}

struct agent *agents_add(struct agents *agents, const struct roster_agent *definition)
{
    agents->list = memory_grow(agents->list, agents->count + 1, sizeof *agents->list);
    struct agent *agent = agent_new(agents, definition);
    agents->list[agents->count++] = agent;
    lookup_add(agent);
    return agent;
}

void agents_remove(struct agents *agents, struct agent *agent)
{
    size_t i = 0;
    while (agents->list[i] != agent)
        i++;
    memmove(&agents->list[i], &agents->list[i + 1], (agents->count - i - 1) * sizeof *agents->list);
    agents->count--;
    agents->begin.next -= i < agents->begin.next;
    lookup_remove(agent);
    agent_free(agent);
}

void agents_scan(struct agents *agents)
{
    struct agent *agent;
    LIST_FOREACH(agent, &agents->found.living, found.living_link)
    agent_scan(agent);
    size_t slice = agents->count * (size_t)agents->poll_seconds / SCANNED_S + 1;
    int64_t end = clock_monotonic_ms() + GUARD_MS;
    for (size_t i = 0; i < slice && i < agents->count; i++) {
        agent = agents->list[agents->scan_next++ % agents->count];
        if (agent->worker.pid > 0)
            continue;
        agent_scan(agent);
        if (clock_monotonic_ms() < end) /* else a minute later */
            tree_guard_glance(&agent->guard, agents->data, agent->name, agent->path, agents->count);
    }
}

void agents_guard(struct agents *agents)
{
    int64_t end = clock_monotonic_ms() + GUARD_MS;
    struct agent *agent;
    LIST_FOREACH(agent, &agents->found.living, found.living_link)
    {
        if (agent->guard.looked_ms >= agents->guarded_ms)
            continue; /* in this round already */
        if (clock_monotonic_ms() >= end)
            return;
        tree_guard_look(&agent->guard, agents->data, agent->name, agent->path);
    }
    agents->guarded_ms = clock_monotonic_ms() + 1; /* the next scan begins a round */
}

void agents_free(struct agents *agents)
{
    for (size_t i = 0; i < agents->count; i++)
        agent_free(agents->list[i]);
    starts_end(agents);
    free(agents->list);
}
