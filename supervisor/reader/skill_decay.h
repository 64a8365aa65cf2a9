/* An agent's skills, and how far each has decayed (contract section 8). */
#ifndef AGENTOS_SUPERVISOR_READER_SKILL_DECAY_H
#define AGENTOS_SUPERVISOR_READER_SKILL_DECAY_H

#include <jansson.h>

#include "supervisor/reader/reading.h"

/* {"items": [as of listings/learned.h, with "decay": 2^(-days since the last success / half-life)], "halflife_days"} of the
 * agent. EX_OK and *answer, a new reference, or another exit code and fault. */
int skill_decay_list(const struct reading *reading, json_t **answer, struct fault *fault);

#endif
