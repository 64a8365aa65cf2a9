#include "supervisor/gateway/ask.h"

#include <search.h>
#include <stdlib.h>

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
        TAILQ_REMOVE(&scheduler->waiting, ask, link);
        break;
    case ASK_UNDER_WAY:
        scheduler->under_way--;
        ask->transfer = NULL;
        break;
    }
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
    struct scheduler *scheduler = ask->scheduler;
    ask->state = ASK_WAITING;
    ask->until = until;
    TAILQ_INSERT_TAIL(&scheduler->waiting, ask, link);
    if (!ask->needs_leave && (scheduler->next_wake < 0 || until < scheduler->next_wake))
        scheduler->next_wake = until;
}

void ask_free(struct ask *ask)
{
    if (ask->state == ASK_UNDER_WAY && ask->transfer)
        client_cancel(ask->scheduler->client, ask->transfer);
    ask_leave(ask);
    LIST_REMOVE(ask, sibling);
    ask->agent->count--;
    buffer_free(&ask->faults);
    free(ask->body);
    free(ask->system);
    free(ask->task);
    free(ask);
}

void ask_free_all(struct scheduler *scheduler)
{
    while (scheduler->agents) {
        struct agent *agent = *(struct agent **)scheduler->agents;
        while (!LIST_EMPTY(&agent->asks))
            ask_free(LIST_FIRST(&agent->asks));
        tdelete(agent, &scheduler->agents, names_order);
        free(agent->name);
        free(agent);
    }
}
