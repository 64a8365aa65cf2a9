#include "supervisor/gateway/ask.h"

#include <search.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"

struct agent *ask_agent(struct scheduler *scheduler, char *name)
{
    struct agent *agent = names_find(&scheduler->agents, name);
    if (agent) {
        free(name);
        return agent;
    }
    agent = memory_new(1, sizeof *agent);
    agent->name = name;
    agent->route = providers_route(scheduler->providers, name);
    TAILQ_INIT(&agent->queue);
    if (!tsearch(agent, &scheduler->agents, names_order))
        abort(); /* out of memory, as in common/memory.h */
    return agent;
}

struct ask *ask_find(struct agent *agent, uint64_t serial)
{
    struct ask *ask;
    LIST_FOREACH(ask, &agent->asks, sibling)
    if (ask->serial == serial)
        return ask;
    return NULL;
}

struct provider *ask_provider_of(const struct ask *ask)
{
    return &ask->agent->route->providers[ask->provider];
}

/* ---- the states of a question ---- */

void ask_leave(struct ask *ask)
{
    struct scheduler *scheduler = ask->scheduler;
    switch (ask->state) {
    case ASK_QUEUED:
        TAILQ_REMOVE(&ask->agent->queue, ask, link);
        if (TAILQ_EMPTY(&ask->agent->queue))
            TAILQ_REMOVE(&scheduler->turns, ask->agent, turn);
        break;
    case ASK_WAITING:
        timer_clear(scheduler->setup.loop, &ask->timer);
        break;
    case ASK_UNDER_WAY:
        scheduler->under_way--;
        ask->transfer = NULL;
        break;
    }
    ask->state = ASK_WAITING;
}

void ask_queue_up(struct ask *ask, bool first)
{
    struct agent *agent = ask->agent;
    if (TAILQ_EMPTY(&agent->queue))
        TAILQ_INSERT_TAIL(&ask->scheduler->turns, agent, turn);
    if (first)
        TAILQ_INSERT_HEAD(&agent->queue, ask, link);
    else
        TAILQ_INSERT_TAIL(&agent->queue, ask, link);
    ask->state = ASK_QUEUED;
}

void ask_wait(struct ask *ask, int64_t until)
{
    ask->until = until;
    if (!ask->needs_leave)
        timer_set(ask->scheduler->setup.loop, &ask->timer, until - clock_monotonic_ms());
}

void ask_free(struct ask *ask)
{
    if (ask->state == ASK_UNDER_WAY && ask->transfer)
        client_cancel(ask->scheduler->setup.client, ask->transfer);
    ask_leave(ask);
    LIST_REMOVE(ask, sibling);
    ask->agent->count--;
    buffer_free(&ask->faults);
    free(ask->body);
    free(ask->system);
    free(ask->task);
    free(ask);
}
