/* The verbs that carry an agent from one data directory to another; each returns the exit code. Both verbs work
 * without a supervisor. */
#pragma once

#include "supervisor/cli/terminal/invocation.h"

int verb_export(struct invocation *invocation);
int verb_import(struct invocation *invocation);
