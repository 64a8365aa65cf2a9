#include "supervisor/agent/lookup.h"

#include <string.h>

#include "common/names.h"
#include "supervisor/agent/agent.h"

static size_t chain_of_name(const char *name)
{
    return (size_t)names_hash(name, strlen(name)) % LOOKUP_NAMES;
}

static size_t chain_of_process(pid_t pid)
{
    return (size_t)pid % LOOKUP_PROCESSES;
}

void lookup_add(struct agent *agent)
{
    LIST_INSERT_HEAD(&agent->agents->found.names[chain_of_name(agent->name)], agent, found.name_link);
}

void lookup_remove(struct agent *agent)
{
    agent->agents->found.settled -= agent->found.settled;
    LIST_REMOVE(agent, found.name_link);
    lookup_set_process(agent, 0);
}

void lookup_set_process(struct agent *agent, pid_t pid)
{
    struct lookup *lookup = &agent->agents->found;
    if (agent->worker.pid > 0) {
        LIST_REMOVE(agent, found.pid_link);
        LIST_REMOVE(agent, found.living_link);
    }
    agent->worker.pid = pid;
    if (pid > 0) {
        if (lookup->workers_fork || clock_getcpuclockid(pid, &agent->worker.clock) != 0)
            agent->worker.clock = CLOCK_MONOTONIC; /* the worker counts as always at work */
        agent->worker.worked_at_ms = 0;
        LIST_INSERT_HEAD(&lookup->processes[chain_of_process(pid)], agent, found.pid_link);
        LIST_INSERT_HEAD(&lookup->living, agent, found.living_link);
    }
}

void lookup_settle(struct agent *agent)
{
    if (agent->found.settled)
        return;
    agent->found.settled = true;
    agent->agents->found.settled++;
    agent->agents->callbacks->settled(agent);
}

void lookup_count(struct agent *agent, enum life_state before)
{
    const struct life former = {.state = before};
    agent->agents->found.with_process += life_has_process(&agent->life);
    agent->agents->found.with_process -= life_has_process(&former);
}

struct agent *lookup_name(const struct lookup *lookup, const char *name)
{
    struct agent *agent;
    LIST_FOREACH(agent, &lookup->names[chain_of_name(name)], found.name_link)
    {
        if (strcmp(agent->name, name) == 0)
            break;
    }
    return agent;
}

struct agent *lookup_process(const struct lookup *lookup, pid_t pid)
{
    struct agent *agent;
    LIST_FOREACH(agent, &lookup->processes[chain_of_process(pid)], found.pid_link)
    {
        if (agent->worker.pid == pid)
            break;
    }
    return agent;
}
