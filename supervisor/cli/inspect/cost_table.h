/* A trace's cost (supervisor/reader/cost.h), for people. */
#pragma once

#include <jansson.h>

void cost_show(const json_t *cost); /* as cost_json gives it: a table; nothing when there are no hands */
