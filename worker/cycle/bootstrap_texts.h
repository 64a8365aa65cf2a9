/* What each file of a new agent says. */
#ifndef AGENTOS_WORKER_CYCLE_BOOTSTRAP_TEXTS_H
#define AGENTOS_WORKER_CYCLE_BOOTSTRAP_TEXTS_H

#include "common/buffer.h"
#include "common/format/roster.h"

void bootstrap_persona(const struct roster_agent *agent, struct buffer *out);
void bootstrap_constraints(const struct roster_agent *agent, struct buffer *out);
void bootstrap_skills(const struct roster_agent *agent, struct buffer *out);
void bootstrap_goals(const struct roster_agent *agent,
                     struct buffer *out); /* the first 5 of the definition */
void bootstrap_rewards(const struct roster_agent *agent, struct buffer *out);
void bootstrap_reflections(const struct roster_agent *agent, struct buffer *out);
void bootstrap_system_prompt(const struct roster_agent *agent, struct buffer *out);
void bootstrap_card(const struct roster_agent *agent, struct buffer *out);
void bootstrap_queue(const struct roster_agent *agent, struct buffer *out); /* holds no block */

#endif
