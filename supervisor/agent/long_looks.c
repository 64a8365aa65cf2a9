#include "supervisor/agent/long_looks.h"

#include "supervisor/agent/agent.h"
#include "supervisor/agent/rested.h"

enum { REST_MS = 20 };

static void has_ended(struct agent *agent)
{
    if (agent->worker.pid > 0 || agent->worker.spawning)
        return;
    buffer_free(&agent->guard.config); /* the text is needed for a living worker's tree alone */
    if (agent->notice.listed)
        rested_note(agent); /* the next supervisor reads the findings */
}

static void wait_for_turn(struct agent *agent)
{
    struct long_looks *looks = &agent->agents->long_looks;
    if (looks->under_way == LONG_LOOKS_MOST)
        tree_guard_put_off(&agent->guard);
    looks->under_way += agent->guard.under_way != NULL;
    if (TAILQ_EMPTY(&looks->waiting))
        timer_set(agent->agents->loop, &looks->timer, REST_MS);
    TAILQ_INSERT_TAIL(&looks->waiting, agent, looks.longer.link);
    agent->looks.longer.goes_on = true;
}

void long_look_forget(struct agent *agent)
{
    struct long_looks *looks = &agent->agents->long_looks;
    if (!agent->looks.longer.goes_on)
        return;
    TAILQ_REMOVE(&looks->waiting, agent, looks.longer.link);
    looks->under_way -= agent->guard.under_way != NULL;
    agent->looks.longer.goes_on = false;
}

void long_look_begun(struct agent *agent)
{
    if (agent->guard.under_way)
        wait_for_turn(agent);
    else
        has_ended(agent);
}

static void go_on(void *context)
{
    struct agents *agents = context;
    struct agent *agent = TAILQ_FIRST(&agents->long_looks.waiting);
    if (!agent)
        return;
    long_look_forget(agent);
    if (agent->guard.under_way)
        tree_guard_go(&agent->guard, agents->data, agent->name, agent->path);
    else
        tree_guard_look(&agent->guard, agents->data, agent->name, agent->path);
    long_look_begun(agent);
    if (!TAILQ_EMPTY(&agents->long_looks.waiting))
        timer_set(agents->loop, &agents->long_looks.timer, REST_MS);
}

void long_look(struct agent *agent)
{
    if (agent->looks.longer.goes_on) {
        agent->guard.again = true;
        return;
    }
    tree_guard_look(&agent->guard, agent->agents->data, agent->name, agent->path);
    long_look_begun(agent);
}

void long_looks_begin(struct agents *agents)
{
    agents->long_looks.timer = (struct timer){.ring = go_on, .context = agents};
    TAILQ_INIT(&agents->long_looks.waiting);
}

void long_looks_end(struct agents *agents)
{
    timer_clear(agents->loop, &agents->long_looks.timer);
}
