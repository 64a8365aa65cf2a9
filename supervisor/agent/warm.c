#include "supervisor/agent/warm.h"

#include "common/clock.h"
#include "supervisor/agent/agent.h"

enum {
    LOOKED_AT_MAX = 16,    /* workers that can't leave now are stepped over, at most this many in a turn */
    LEAVING_MS = 60 * 1000 /* a worker that was sent away and is idle after that had a reason to stay */
};

static void take_out(struct agent *agent)
{
    struct warm *warm = &agent->agents->warm;
    if (!agent->notice.warm)
        return;
    TAILQ_REMOVE(&warm->idle, agent, notice.idle_link);
    agent->notice.warm = false;
    warm->count--;
}

static void put_last(struct agent *agent)
{
    struct warm *warm = &agent->agents->warm;
    TAILQ_INSERT_TAIL(&warm->idle, agent, notice.idle_link);
    agent->notice.warm = true;
    warm->count++;
}

/* A worker that finds work instead of leaving comes back into the list when it is idle again. */
static void send_away(struct agents *agents)
{
    struct warm *warm = &agents->warm;
    struct agent *agent, *next;
    size_t looked_at = 0;
    for (agent = TAILQ_FIRST(&warm->idle); agent && warm->count > warm->limit && looked_at < LOOKED_AT_MAX;
         agent = next, looked_at++) {
        next = TAILQ_NEXT(agent, notice.idle_link);
        if (look_send_away(agent)) {
            agent->notice.sent_away_ms = clock_monotonic_ms();
            take_out(agent);
        }
    }
}

void warm_scan(struct agents *agents)
{
    int64_t late = clock_monotonic_ms() - LEAVING_MS;
    struct agent *agent;
    LIST_FOREACH(agent, &agents->found.living, found.living_link)
    {
        if (agent->life.state == STATE_IDLE && !agent->notice.warm && agent->notice.sent_away_ms <= late)
            put_last(agent);
    }
    send_away(agents);
}

void warm_begin(struct agents *agents)
{
    TAILQ_INIT(&agents->warm.idle);
}

void warm_limit(struct agents *agents, size_t limit)
{
    agents->warm.limit = limit;
    send_away(agents);
}

void warm_changed(struct agent *agent)
{
    if (agent->life.state != STATE_IDLE) {
        take_out(agent);
        return;
    }
    if (!agent->notice.warm)
        put_last(agent);
    send_away(agent->agents);
}

void warm_forget(struct agent *agent)
{
    take_out(agent);
}
