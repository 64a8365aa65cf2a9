/* An agent as the other agents are told of it, wherever it lives: as this node knows the agent, or as its own node
 * tells. */
#pragma once

#include "common/buffer.h"

/* For the relay's owner: the texts for {{peers}} and {{segments}} of an agent's prompt. */
void peer_surroundings(void *agent, struct buffer *peers, struct buffer *segments);
