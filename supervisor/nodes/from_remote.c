#include "supervisor/nodes/from_remote.h"

#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/lease.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/move.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/nodes/word.h"

static int no(struct fault *fault, int exit, char *why)
{
    OWNED char *sentence = why;
    fault_set(fault, "%s", sentence);
    return exit;
}

static int check_settings(const struct local_node *local, const struct agent *agent, const char *node,
                          struct fault *fault)
{
    const char *pinned = agent->definition->node;
    if (!nodes_lease(local->nodes, agent->name))
        return no(
            fault, EX_CONFIG,
            memory_text("AGENTOS_BUS is not set, so this node can't tell whether the agent lives elsewhere"));
    if (!local->mirror)
        return no(fault, EX_CONFIG,
                  memory_print("AGENTOS_GIT_REMOTE is not set, so there is nothing to take agent '%s' from",
                               agent->name));
    if (strcmp(node, node_name()) != 0)
        return no(fault, EX_USAGE,
                  memory_print("this is node '%s'; from the git remote an agent is taken on the node that it "
                               "is to live on, so say this on node '%s'",
                               node_name(), node));
    if (*pinned && strcmp(pinned, node) != 0)
        return no(fault, EX_CONFIG,
                  memory_print("agents.yaml has agent '%s' on node '%s'", agent->name, pinned));
    return EX_OK;
}

/* Whether the agent's node is gone: nobody has renewed the lease for a whole lease time, or it was given back. */
static int check_lease(const struct agent *agent, const struct lease *lease, struct fault *fault)
{
    bool there = lease->known && lease->revision;
    if (lease->stage != LEASE_FREE)
        return no(fault, EX_CONFIG, memory_print("agent '%s' lives on this node", agent->name));
    if (!lease->connected || !lease->known)
        return no(
            fault, EX_TEMPFAIL,
            memory_print(
                "the bus is away, and without it this node can't tell whether agent '%s' lives elsewhere",
                agent->name));
    if (there && !lease->seen.released && clock_boot_ms() - lease->quiet_since < LEASE_MS)
        return no(fault, EX_TEMPFAIL,
                  memory_print("node '%s' has the lease of agent '%s'; `agentos move` there carries over all "
                               "that it has. If that node is gone, its lease is over in %d s at most",
                               lease->seen.node, agent->name, LEASE_MS / 1000));
    if (lease->claim >= LEASE_HAS && !lease_is_stale(lease))
        return no(fault, EX_TEMPFAIL,
                  memory_print("the directory of agent '%s' is here, so this node starts it by itself when "
                               "its lease is over",
                               agent->name));
    return EX_OK;
}

static void name_pending(const struct lease *lease, const json_t *told, struct buffer *lacks)
{
    static const struct {
        const char *key, *what;
    } depths[] = {{"queue_depth", "task(s) in queue.md"},
                  {"handoff_depth", "envelope(s) in iac/handoffs"},
                  {"inbox_depth", "envelope(s) in iac/inbox"},
                  {"outbox_depth", "envelope(s) in iac/outbox"},
                  {"dead_letters", "dead letter(s)"}};
    buffer_print(lacks, "The git remote does not have what was pending %s%s:",
                 lease->revision ? "on node " : "where it lived", lease->revision ? lease->seen.node : "");
    for (size_t i = 0; told && i < sizeof depths / sizeof *depths; i++)
        buffer_print(lacks, "%s %lld %s", i ? "," : "", (long long)node_word_number(told, depths[i].key),
                     depths[i].what);
    buffer_text(lacks, told ? ", as that node told last\n"
                            : " in queue.md and iac/, of which nothing is known here\n");
}

static void name_lacks(const struct lease *lease, const json_t *told, struct buffer *lacks)
{
    const char *unpushed = node_word_text(told, "unpushed");
    name_pending(lease, told, lacks);
    buffer_text(lacks, "Nor the worker's notes (how often a task was tried, answers that were paid for and "
                       "not used yet), people's orders (stop, pause), and commits of its last moment\n");
    if (*unpushed)
        buffer_print(lacks, "That node told last: %s", unpushed);
    buffer_text(lacks, "If its directory is still there, on a disk that can be mounted, copy it to agents/ "
                       "instead: the copy has all of it\n");
}

int from_remote_move(const struct local_node *local, const struct agent *agent, const char *node, bool begin,
                     struct buffer *lacks, struct fault *fault)
{
    struct nodes *nodes = local->nodes;
    const struct lease *lease = nodes_lease(nodes, agent->name);
    int exit = check_settings(local, agent, node, fault);
    exit = exit ? exit : check_lease(agent, lease, fault);
    if (exit != EX_OK)
        return exit;
    const json_t *told = lease->revision ? nodes_told(nodes, lease->seen.node, agent->name) : NULL;
    if (json_is_true(json_object_get(told, "diverged")))
        return no(
            fault, EX_DATAERR,
            memory_print("the git remote's branch of agent '%s' went another way than the agent, as node "
                         "'%s' told last; put the branch right first",
                         agent->name, lease->seen.node));
    name_lacks(lease, told, lacks);
    return begin ? move_fetch(nodes_moves(nodes), agent->name, lease->revision ? lease->seen.epoch : 0, fault)
                 : EX_OK;
}
