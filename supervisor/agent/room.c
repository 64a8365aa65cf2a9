#include "supervisor/agent/room.h"

#include <signal.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "common/capacity.h"
#include "common/clock.h"
#include "common/format/memory_group.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"

enum {
    ROOM_MS = 1000,
    /* A worker's control group beyond the worker's memory: pages of its files, and the kernel's own records of it. */
    BESIDE_MEMORY_MB = 128,
    MIB = 1 << 20,
};

/* Other workers that are about to take their share; the agent that asks is among those that start, or about to be. */
static size_t count_connecting(const struct agents *agents)
{
    return agents->starts.count > 0 ? agents->starts.count - 1 : 0;
}

/* A refusal holds for a moment, so that hundreds of agents that don't fit cost one look. The refusal's sentence stays
 * the same, and is logged once, as long as there is no room. */
bool room_for_worker(struct agents *agents, struct fault *fault)
{
    struct fault why;
    if (!agents->room.lacks || clock_monotonic_ms() >= agents->room.until) {
        bool lacked = agents->room.lacks;
        agents->room.lacks =
            !capacity_for_worker(agents->count, count_connecting(agents), &agents->room.ample, &why);
        agents->room.until = clock_monotonic_ms() + ROOM_MS;
        if (agents->room.lacks && !lacked) {
            agents->room.why = why;
            log_error(
                "agentos", NULL,
                "There is no room for another worker: %s. The agents that wait for it are tried again every "
                "minute; `agentos status` names them.",
                why.text);
        }
    }
    return !agents->room.lacks || fault_set(fault, "%s", agents->room.why.text);
}

bool room_blamed(struct agents *agents, int status, struct fault *why)
{
    bool room = room_for_worker(agents, why);
    bool said = WIFEXITED(status) && WEXITSTATUS(status) == EX_TEMPFAIL;
    if (said && room)
        fault_set(
            why,
            "its worker could not have its threads: RLIMIT_NPROC (ulimit -u), pids.max, kernel.pid_max or "
            "kernel.threads-max was reached");
    return said || (!room && WIFSIGNALED(status));
}

void room_take_memory(struct agent *agent)
{
    memory_group_take(agent->agents->memory_groups, &agent->worker.memory_group,
                      (agent->definition->limits.memory_mb + BESIDE_MEMORY_MB) * MIB);
}

char *room_ending(struct agent *agent, int status)
{
    OWNED char *text = child_status_text(status);
    enum memory_want want = memory_group_give_back(agent->agents->memory_groups, &agent->worker.memory_group);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL || want == WANT_OF_NOTHING)
        return memory_text(text);
    return want == WANT_OF_ITS_OWN
               ? memory_print("%s: out of memory (limits.memory_mb is %lld)", text,
                              (long long)agent->definition->limits.memory_mb)
               : memory_print("%s: the machine, or its container, was out of memory", text);
}
