#include "supervisor/nodes.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/node.h"
#include "supervisor/far_post.h"
#include "supervisor/supervisor.h"

struct nodes {
    struct supervisor *supervisor;
};

struct nodes *nodes_open(struct supervisor *supervisor)
{
    struct nodes *nodes = memory_new(1, sizeof *nodes);
    nodes->supervisor = supervisor;
    return nodes;
}

void nodes_close(struct nodes *nodes)
{
    free(nodes);
}

static bool is_pinned_elsewhere(const struct roster_agent *definition)
{
    return *definition->node && strcmp(definition->node, node_name()) != 0;
}

void nodes_agent(struct nodes *nodes, struct agent *agent)
{
    (void)nodes;
    bool elsewhere = is_pinned_elsewhere(agent->definition);
    OWNED char *why =
        elsewhere ? memory_print("agents.yaml has it on node '%s'", agent->definition->node) : NULL;
    agent_live_here(agent, why, false);
    far_post_lives(agent, elsewhere ? agent->definition->node : NULL, true);
}

void nodes_problem(const struct nodes *nodes, const char *name, struct buffer *lines)
{
    const struct agent *agent = agents_find(&nodes->supervisor->agents, name);
    if (agent && is_pinned_elsewhere(agent->definition))
        buffer_print(lines,
                     "agents.yaml has it on node '%s'; this is node '%s', and it has no AGENTOS_BUS to reach "
                     "others by\n",
                     agent->definition->node, node_name());
}
