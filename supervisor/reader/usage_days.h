/* Agents' usage, by day. */
#pragma once

#include <jansson.h>

#include "supervisor/reader/reading.h"

enum { USAGE_DAYS = 30, USAGE_DAYS_MAX = 365 };

/* {"items": [{"day", "tasks", and the numbers of cost.h}]}, one for each of the last "days" days (UTC), the oldest first,
 * from the trailers of the commits with answers; of "agent", or of all agents, and then also "agents": [{"agent", "tasks",
 * numbers}], the costliest first. EX_OK and *answer, a new reference, or another exit code and fault. */
int usage_days_read(const struct reading *reading, json_t **answer, struct fault *fault);
