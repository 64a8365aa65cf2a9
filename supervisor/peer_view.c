#include "supervisor/peer_view.h"

#include <jansson.h>

#include "supervisor/nodes.h"
#include "supervisor/post/post.h"
#include "supervisor/supervisor.h"

/* As its node tells; what it doesn't tell is as of an agent that nobody can reach. */
static struct peer far_peer_of(const struct agent *agent)
{
    const json_t *told = nodes_far_agent(supervisor_of(agent)->programs.nodes, agent->name);
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

struct peer peer_view(const struct agent *agent)
{
    if (agent->order.elsewhere)
        return far_peer_of(agent);
    int64_t since;
    const char *absence = agent_absence(agent, &since);
    struct post_pressure pressure = {0};
    bool known = post_pressure(supervisor_of(agent)->post, agent->name, &pressure);
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
