/* The verbs that read files, with a supervisor or without; each returns the exit code. */
#pragma once

#include <stdbool.h>

#include "supervisor/cli/terminal/invocation.h"

int verb_verify(struct invocation *invocation);
/* Every verb that lists items: each is a row of one table (listings.c). */
int verb_listing(struct invocation *invocation);
int verb_show(struct invocation *invocation);
int verb_log(struct invocation *invocation);
int verb_logs(struct invocation *invocation);

/* Whether the agent's skills.md lists a skill. folder: the agent's. A file that cannot be read lists none. */
bool listings_has_skill(int folder);
