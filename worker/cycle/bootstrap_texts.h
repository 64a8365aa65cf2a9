/* The text of each file of a new agent. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

void bootstrap_persona(const struct roster_agent *agent, struct buffer *out);
void bootstrap_goals(const struct roster_agent *agent,
                     struct buffer *out); /* the first 5 of the definition */
void bootstrap_card(const struct roster_agent *agent, struct buffer *out);
extern const char bootstrap_constraints[], bootstrap_queue[] /* holds no block */;
