/* What a trace cost (supervisor/reader/cost.h), for people. */
#ifndef AGENTOS_SUPERVISOR_CLI_INSPECT_COST_TABLE_H
#define AGENTOS_SUPERVISOR_CLI_INSPECT_COST_TABLE_H

#include <jansson.h>

void cost_show(const json_t *cost); /* as cost_json has it: a table; nothing when there are no hands */

#endif
