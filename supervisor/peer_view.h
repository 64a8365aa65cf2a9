/* What the other agents are told of one, wherever it lives: as this node knows it, or as its own node tells. */
#pragma once

#include "common/buffer.h"
#include "supervisor/shared/peers.h"

struct agent;

/* Texts are borrowed until the agent, or what its node tells, is another. */
struct peer peer_view(const struct agent *agent);

/* The relay's owner: the texts for {{peers}} and {{segments}} of an agent's prompt. */
void peer_surroundings(void *agent, struct buffer *peers, struct buffer *segments);
