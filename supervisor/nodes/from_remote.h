/* `agentos move AGENT NODE --from-remote`: an agent whose node is gone comes from the shared git remote to this node
 * (contract section 12). The remote has the agent's commits, and not its pending work; so that is named first. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "common/fault.h"

struct agent;
struct local_node;

/* Adds to lacks the data that the remote does not have, a line each, as far as this node can tell. begin: the agent
 * is fetched, too (move.h); else nothing is done. EX_OK, or why a fetch is not possible: EX_USAGE on another node
 * than the agent is to come to, EX_CONFIG, EX_DATAERR where the remote's branch went another way, EX_TEMPFAIL while
 * some node holds the lease or nobody knows. */
int from_remote_move(const struct local_node *local, const struct agent *agent, const char *node, bool begin,
                     struct buffer *lacks, struct fault *fault);
