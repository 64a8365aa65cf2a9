/* The verbs that carry an agent from one data directory to another; each returns the exit code. Both work without a
 * supervisor. */
#ifndef AGENTOS_SUPERVISOR_CLI_TRANSFER_TRANSFER_H
#define AGENTOS_SUPERVISOR_CLI_TRANSFER_TRANSFER_H

#include "supervisor/cli/terminal/invocation.h"

int verb_export(struct invocation *invocation);
int verb_import(struct invocation *invocation);

#endif
