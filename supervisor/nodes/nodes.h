/* The nodes of agents (contract section 12): which of agents.yaml's agents run on this node, by leases in the bus's
 * bucket.
 *
 * The key lease.NAME says which node has the agent, as JSON (lease.h has the rules). The epoch of this node's last
 * lease stands in the agent's own notes, so that a bucket that was lost, or a directory that is older than the agent,
 * is known. Agents are started and stopped as by orders, but the operator's orders for them stay. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

struct agent;
struct lease;
struct move;
struct nodes;
struct queues;
struct local_node;

/* The agent's node, as far_post_lives takes it. */
typedef void nodes_lives(const struct agent *agent, const char *node, bool there);

/* Never NULL. lives: called for each change. queues: for the other nodes to be told of, borrowed. */
struct nodes *nodes_open(const struct local_node *local, nodes_lives *lives, const struct queues *queues);
void nodes_close(struct nodes *nodes); /* NULL is fine */
/* The bus is open: leases are asked for from now on. Before the first nodes_agent, and before the loop runs. */
void nodes_begin(struct nodes *nodes);
/* The agent is new or defined otherwise: from now on its worker runs here or not. Before its first start. */
void nodes_agent(struct nodes *nodes, struct agent *agent);
/* The agent's own commits name a later epoch than its lease: the agent is leased anew, above that epoch. */
void nodes_commits_are_of(struct nodes *nodes, const struct agent *agent, uint64_t epoch);
/* The agent has no process now: where it is to live elsewhere, or the supervisor ends, its lease is given back. */
void nodes_agent_down(struct nodes *nodes, const struct agent *agent);
/* The node where the agent lives, borrowed until the next call; NULL: here, "": nobody knows. */
const char *nodes_of(struct nodes *nodes, const char *agent);
/* The agent lives on another node, which answers, so that sending has a purpose. */
bool nodes_answers(const struct nodes *nodes, const char *agent);
/* Adds the numbers of the work queue's items on other nodes, as these tell. */
void nodes_count(const struct nodes *nodes, const char *queue, size_t *waiting, size_t *under_way);
/* Calls visit for each other node; there: as nodes_are_there. */
void nodes_each(const struct nodes *nodes, void (*visit)(void *context, const char *node, bool there),
                void *context);
/* Whether the node has told of itself in the last half minute. */
bool nodes_are_there(const struct nodes *nodes, const char *node);
/* False: by the clock of this moment the agent's lease is not here any more. */
bool nodes_own(const struct nodes *nodes, const char *agent);
/* The object that the agent's node tells of it (presence.h), borrowed likewise; NULL: nothing, the node is away, or
 * the agent lives here. */
const json_t *nodes_far_agent(struct nodes *nodes, const char *agent);
/* The agent's lease as this node knows it, borrowed likewise; NULL: without a bus. */
const struct lease *nodes_lease(const struct nodes *nodes, const char *agent);
/* The object that a node tells, or has told last, of an agent; NULL: none. */
const json_t *nodes_told(const struct nodes *nodes, const char *node, const char *agent);
/* Begins a move (move.h). EX_OK, or why not: EX_CONFIG without a bus, EX_NOINPUT for a node that nobody knows. */
int nodes_move(struct nodes *nodes, struct agent *agent, const char *node, struct fault *fault);
struct move *nodes_moves(struct nodes *nodes);
/* Adds the problems between nodes, a line each. */
void nodes_own_problems(const struct nodes *nodes, struct buffer *lines);
/* Adds why an agent of agents.yaml runs on no node as far as this one can tell, a line; nothing: it runs. */
void nodes_problem(const struct nodes *nodes, const char *agent, struct buffer *lines);
