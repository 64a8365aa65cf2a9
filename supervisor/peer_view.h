/* An agent as the other agents are told of it, wherever it lives: as this node knows the agent, or as its own node
 * tells. */
#pragma once

#include "common/buffer.h"
#include "supervisor/shared/peers.h"

struct agent;

/* Texts are borrowed until the agent, or its node's account, is another. */
struct peer peer_view(const struct agent *agent);

/* For the relay's owner: the texts for {{peers}} and {{segments}} of an agent's prompt. */
void peer_surroundings(void *agent, struct buffer *peers, struct buffer *segments);
