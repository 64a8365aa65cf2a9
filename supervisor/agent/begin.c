#include "supervisor/agent/begin.h"

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/rested.h"

enum { SLICE_MS = 10 };

static void tell(const struct agents *agents)
{
    size_t resting = 0;
    for (size_t i = 0; i < agents->count; i++)
        resting += agents->list[i]->life.state == STATE_HIBERNATING;
    if (resting)
        log_info("agentos", NULL, "%zu of %zu agent(s) go on hibernating; work starts them", resting,
                 agents->count);
}

static void slice(void *context)
{
    struct agents *agents = context;
    struct begin *begin = &agents->begin;
    int64_t until = clock_monotonic_ms() + SLICE_MS;
    for (; begin->next < agents->count && !agents->ending; begin->next++) {
        if (clock_monotonic_ms() >= until) {
            timer_set(agents->loop, &begin->timer, 0);
            return;
        }
        agent_begin(agents->list[begin->next]);
    }
    begin->over = true;
    tell(agents);
    if (agents->count > 0)
        agents->callbacks->settled(
            agents->list[0]); /* agents that settled before the round was over could not announce the fleet */
}

void begin_all(struct agents *agents)
{
    agents->begin = (struct begin){.timer = {.ring = slice, .context = agents}};
    rested_begin(agents);
    slice(agents);
}

void begin_stop(struct agents *agents)
{
    timer_clear(agents->loop, &agents->begin.timer);
    rested_end(agents);
}
