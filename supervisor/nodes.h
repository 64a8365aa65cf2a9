/* Where agents live (contract section 12): which of agents.yaml's agents may run on this node. */
#ifndef AGENTOS_SUPERVISOR_NODES_H
#define AGENTOS_SUPERVISOR_NODES_H

#include "common/buffer.h"

struct agent;
struct nodes;
struct supervisor;

/* Never NULL. */
struct nodes *nodes_open(struct supervisor *supervisor);
void nodes_close(struct nodes *nodes); /* NULL is fine */
/* The agent is new or defined otherwise: from now on its worker runs here or not. Before its first start. */
void nodes_agent(struct nodes *nodes, struct agent *agent);
/* Adds why an agent of agents.yaml runs on no node as far as this one can tell, a line; nothing: it does. */
void nodes_problem(const struct nodes *nodes, const char *agent, struct buffer *lines);

#endif
