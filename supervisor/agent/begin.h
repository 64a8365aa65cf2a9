/* The first look at every agent, in slices of a few milliseconds: an agent that hibernated goes on doing so (rested.h), an
 * agent with work is started before all others, and the others wait their turn. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/process/loop.h"

struct agent;
struct agents;

struct begin {
    struct timer timer;
    size_t next;
    bool over; /* every agent was looked at */
};

/* The first slice is done in the call; the settled callback tells of the rest. */
void begin_all(struct agents *agents);
void begin_stop(struct agents *agents);
