#include "supervisor/agent/agents.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/tree_list.h"

enum { GUARD_MS = 50, GLANCE_EACH_MS = 25, SCANNED_S = 60, SCANNED_AT_LEAST = 256, SCANNED_EACH_MS = 50 };

void agents_begin(struct agents *agents)
{
    starts_begin(agents, agent_start);
    warm_begin(agents);
    leavings_begin(agents);
    long_looks_begin(agents);
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
    agents->scans.next -= i < agents->scans.next; /* the tree whose turn it is doesn't wait another round */
    lookup_remove(agent);
    agent_free(agent);
}

static void glance(struct agents *agents, struct agent *agent)
{
    bool told = watch_has_top(&agent->watched);
    if (!agent->looks.longer.goes_on &&
        tree_guard_glance(&agent->guard, agents->data, agent->name, agent->path, agents->count,
                          TREE_GUARD_GLANCE_MS, told))
        long_look_begun(agent);
}

/* The kernel tells of changes in an idle worker's tree; where idle workers are very many, the scan looks at some of
 * them. */
static bool is_scanned(struct agents *agents, struct agent *agent, int64_t now_ms)
{
    size_t all = agents->found.with_process;
    int64_t each_ms = all > SCANNED_AT_LEAST ? (int64_t)all * SCANNED_EACH_MS : 0;
    int64_t most_ms = (SCANNED_S - agents->poll_seconds) * 1000;
    bool told = agent->life.state == STATE_IDLE && !agent->notice.dirty && watch_is_whole(&agent->watched);
    if (told && now_ms - agent->looks.scanned_ms < (each_ms < most_ms ? each_ms : most_ms))
        return false;
    agent->looks.scanned_ms = now_ms;
    return true;
}

static void scan_living(struct agents *agents)
{
    struct agent *agent;
    int64_t now_ms = clock_monotonic_ms();
    LIST_FOREACH(agent, &agents->found.living, found.living_link)
    {
        if (is_scanned(agents, agent, now_ms))
            agent_scan(agent);
    }
}

bool agents_scan(struct agents *agents)
{
    int64_t end = clock_monotonic_ms() + GUARD_MS;
    if (agents->scans.left == 0) {
        scan_living(agents);
        agents->scans.left = agents->count * (size_t)agents->poll_seconds / SCANNED_S + 1;
    }
    if (agents->scans.left > agents->count)
        agents->scans.left = agents->count;
    for (; agents->scans.left > 0 && clock_monotonic_ms() < end; agents->scans.left--) {
        if (agents->scans.next >= agents->count)
            agents->scans.next = 0;
        struct agent *agent = agents->list[agents->scans.next++];
        if (agent->worker.pid > 0)
            continue;
        agent_scan(agent);
        if (!agent->looks.left.since_ms)
            glance(agents, agent);
    }
    return agents->scans.left == 0;
}

/* A worker that has used no CPU time since the last look has written nothing, as it can start no process that would;
 * and a worker that has done no more than answer a heartbeat shows by its tree that it hasn't. */
static void guard(struct agents *agents, struct agent *agent, int64_t glance_ms)
{
    struct tree_guard *guard = &agent->guard;
    if (agent->looks.longer.goes_on)
        return; /* the worker's time shows that it has worked since the look began, and the next scan looks anew */
    /* The clock is read anew: in the second before, the worker may have written something. */
    agent->worker.worked_at_ms = 0;
    int64_t worked_ns = agent_worked_ns(agent);
    if (guard->looked_ms && guard->worked_ns == worked_ns) {
        if (tree_guard_glance(guard, agents->data, agent->name, agent->path, agents->count, glance_ms,
                              watch_has_top(&agent->watched)))
            long_look_begun(agent);
    } else if (guard->looked_ms && agent->disk.list &&
               guard->whole_ms > tree_list_begun_ms(agent->disk.list) &&
               tree_guard_holds(guard, agent->tree) &&
               tree_list_holds(agent->disk.list, agent->tree, worked_ns)) {
        guard->looked_ms = clock_monotonic_ms();
    } else {
        long_look(agent);
    }
    guard->worked_ns = worked_ns;
}

void agents_guard(struct agents *agents)
{
    int64_t end = clock_monotonic_ms() + GUARD_MS;
    int64_t glance_ms = (int64_t)agents->found.with_process * GLANCE_EACH_MS;
    struct agent *agent;
    LIST_FOREACH(agent, &agents->found.living, found.living_link)
    {
        if (agent->looks.guarded_ms >= agents->scans.guarded_ms)
            continue; /* in this round already */
        if (clock_monotonic_ms() >= end)
            return;
        agent->looks.guarded_ms = clock_monotonic_ms();
        guard(agents, agent, glance_ms < TREE_GUARD_GLANCE_MS ? glance_ms : TREE_GUARD_GLANCE_MS);
    }
    agents->scans.guarded_ms = clock_monotonic_ms() + 1; /* the next scan begins a round */
}

void agents_free(struct agents *agents)
{
    for (size_t i = 0; i < agents->count; i++)
        agent_free(agents->list[i]);
    starts_end(agents);
    leavings_end(agents);
    long_looks_end(agents);
    free(agents->list);
}
