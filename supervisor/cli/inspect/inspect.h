/* The verbs that read files, with a supervisor or without; each returns the exit code. */
#ifndef AGENTOS_SUPERVISOR_CLI_INSPECT_INSPECT_H
#define AGENTOS_SUPERVISOR_CLI_INSPECT_INSPECT_H

#include <stdbool.h>

#include "supervisor/cli/terminal/invocation.h"

int verb_verify(struct invocation *invocation);
int verb_handoffs(struct invocation *invocation);
int verb_messages(struct invocation *invocation);
int verb_dead_letters(struct invocation *invocation);
int verb_queues(struct invocation *invocation);
int verb_show(struct invocation *invocation);
int verb_locks(struct invocation *invocation);
int verb_segments(struct invocation *invocation);
int verb_skills(struct invocation *invocation);
int verb_rewards(struct invocation *invocation);
int verb_goals(struct invocation *invocation);
int verb_reflections(struct invocation *invocation);
int verb_log(struct invocation *invocation);
int verb_logs(struct invocation *invocation);

/* Does the agent's skills.md list a skill? folder: the agent's. A file that cannot be read lists none. */
bool listings_has_skill(int folder);

#endif
