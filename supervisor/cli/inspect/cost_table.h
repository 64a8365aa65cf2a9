/* What a trace cost (supervisor/reader/cost.h), for people. */
#ifndef AGENTOS_SUPERVISOR_CLI_INSPECT_COST_TABLE_H
#define AGENTOS_SUPERVISOR_CLI_INSPECT_COST_TABLE_H

#include "supervisor/reader/cost.h"

void cost_show(const struct cost *cost); /* a table; nothing when there are no hands */

#endif
