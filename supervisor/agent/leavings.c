#include "supervisor/agent/leavings.h"

#include "common/clock.h"
#include "supervisor/agent/agent.h"

enum {
    AFTER_MS = 150,
    SLICE_MS = 10,
    REST_MS = 20 /* for the others, where many workers have ended together */
};

static void trees_are_looked_at(void *context)
{
    struct agents *agents = context;
    struct leavings *leavings = &agents->leavings;
    struct agent *agent;
    int64_t now_ms = clock_monotonic_ms(), until_ms = now_ms + SLICE_MS;
    while ((agent = TAILQ_FIRST(&leavings->waiting)) && agent->looks.left.since_ms + AFTER_MS <= now_ms &&
           clock_monotonic_ms() < until_ms) {
        leavings_forget(agent);
        long_look(agent);
    }
    if (agent) {
        int64_t wait_ms = agent->looks.left.since_ms + AFTER_MS - now_ms;
        timer_set(agents->loop, &leavings->timer, wait_ms > REST_MS ? wait_ms : REST_MS);
    }
}

void leavings_begin(struct agents *agents)
{
    agents->leavings.timer = (struct timer){.ring = trees_are_looked_at, .context = agents};
    TAILQ_INIT(&agents->leavings.waiting);
}

void leavings_end(struct agents *agents)
{
    timer_clear(agents->loop, &agents->leavings.timer);
}

void leavings_wait(struct agent *agent)
{
    struct leavings *leavings = &agent->agents->leavings;
    leavings_forget(agent);
    if (TAILQ_EMPTY(&leavings->waiting))
        timer_set(agent->agents->loop, &leavings->timer, AFTER_MS);
    TAILQ_INSERT_TAIL(&leavings->waiting, agent, looks.left.link);
    agent->looks.left.since_ms = clock_monotonic_ms();
}

void leavings_forget(struct agent *agent)
{
    if (agent->looks.left.since_ms)
        TAILQ_REMOVE(&agent->agents->leavings.waiting, agent, looks.left.link);
    agent->looks.left.since_ms = 0;
}
