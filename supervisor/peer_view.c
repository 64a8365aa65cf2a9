#include "supervisor/peer_view.h"

#include <jansson.h>

#include "common/memory.h"
#include "supervisor/model/relay.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/post/post.h"
#include "supervisor/shared/peers.h"
#include "supervisor/shared_state.h"
#include "supervisor/supervisor.h"

_Static_assert((int)PEERS_MAX == (int)RELAY_PEERS_MAX && (int)SEGMENTS_TEXT_MAX == (int)RELAY_SEGMENTS_MAX,
               "the relay would cut off a text that was made to fit");

/* The peer as its node tells of it; a figure that the node doesn't tell is that of an agent out of reach. */
static struct peer far_peer_of(const struct agent *agent)
{
    const json_t *told = nodes_far_agent(supervisor_of(agent)->local.nodes, agent->name);
    const char *class = json_string_value(json_object_get(told, "throughput_class"));
    const char *pressure = json_string_value(json_object_get(told, "pressure"));
    const char *absence = json_string_value(json_object_get(told, "absence"));
    return (struct peer){.name = agent->name,
                         .domain = agent->definition->domain,
                         .class_name = class ? class : class_name(agent->definition->throughput_class),
                         .pressure = pressure ? pressure : "unknown",
                         .unfinished = json_integer_value(json_object_get(told, "unfinished")),
                         .window = json_integer_value(json_object_get(told, "window")),
                         .deferred = json_integer_value(json_object_get(told, "deferred")),
                         .backlog = json_integer_value(json_object_get(told, "backlog")),
                         .absence = !told                 ? "out of reach"
                                    : absence && *absence ? absence
                                                          : NULL,
                         .since = json_integer_value(json_object_get(told, "since"))};
}

/* Texts are borrowed until the agent, or its node's account, is another. */
static struct peer peer_view(const struct agent *agent)
{
    if (agent->order.elsewhere)
        return far_peer_of(agent);
    int64_t since;
    const char *absence = agent_absence(agent, &since);
    struct post_pressure pressure = {0};
    bool known = post_pressure_lately(supervisor_of(agent)->post, agent->name, &pressure);
    return (struct peer){.name = agent->name,
                         .domain = agent->definition->domain,
                         .class_name = class_name(pressure.throughput_class),
                         .pressure = known ? post_pressure_word(&pressure) : "full",
                         .unfinished = pressure.unfinished,
                         .window = pressure.window,
                         .deferred = pressure.deferred,
                         .backlog = pressure.backlog,
                         .absence = absence,
                         .since = since};
}

static bool may_send(const struct roster_agent *definition, const char *name)
{
    return definition->may_send_to_all || text_list_has(&definition->may_send_to, name);
}

void peer_surroundings(void *asker, struct buffer *peers, struct buffer *segments)
{
    const struct agent *agent = asker;
    struct supervisor *supervisor = supervisor_of(agent);
    const struct roster *roster = supervisor->roster;
    struct peer list[PEERS_LISTED];
    OWNED struct peer_queue *queues = memory_new(roster->queue_count, sizeof *queues);
    size_t count = 0, more = 0;
    for (size_t i = 0; i < supervisor->agents.count; i++) {
        const struct agent *other = supervisor->agents.list[i];
        if (other == agent || other->leaving || !may_send(agent->definition, other->name))
            continue;
        if (count < PEERS_LISTED)
            list[count++] = peer_view(other);
        else
            more++;
    }
    for (size_t i = 0; i < roster->queue_count; i++) {
        queues[i].name = roster->queues[i].name;
        queues_count(shared_state_queues(supervisor->shared), queues[i].name, &queues[i].waiting,
                     &queues[i].under_way);
        nodes_count(supervisor->local.nodes, queues[i].name, &queues[i].waiting, &queues[i].under_way);
    }
    peers_print(list, count, more, queues, roster->queue_count, peers);
    peers_print_segments(shared_state_segments(supervisor->shared), agent->name, segments);
}
