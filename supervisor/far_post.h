/* The post office and the bus: envelopes for agents of other nodes go out by the bus, and come in (contract section
 * 12). Without AGENTOS_BUS the post office has no bus, and envelopes for an agent that lives elsewhere wait. */
#pragma once

#include <stdbool.h>

struct agent;
struct supervisor;

/* Once post and bus are open, before the loop runs. */
void far_post_open(struct supervisor *supervisor);
/* As post_lives; envelopes for an agent that lives here are asked for, too. */
void far_post_lives(const struct agent *agent, const char *node, bool there);
