/* The figures of all agents as one agent's. */
#pragma once

#include <jansson.h>

#define SUM_STATES "states" /* an object: how many agents are in each state */

/* agents: an array of the objects that the verb `metrics` gives (common/control.h). Numbers are added, true is 1,
 * histograms bucket by bucket, models by their labels; a budget's rest and texts have no sum. New reference. */
json_t *sum_of_agents(const json_t *agents);
