/* An agent's skills, and each skill's decay (contract section 8). */
#pragma once

#include <jansson.h>

#include "supervisor/reader/reading.h"

/* Adds to each item of listings/learned.h "decay", 2^(-days since the last success / half-life), and "halflife_days"; both
 * null where agents.yaml is refused or doesn't name the agent, or the skill has no date. */
void skill_decay_add(const char *data_dir, const char *agent, json_t *items);
/* {"items"} of the agent that the request names. EX_OK and *answer, a new reference, or another exit code and fault. */
int skill_decay_list(const struct reading *reading, json_t **answer, struct fault *fault);
