/* What people give with a verb: a text, and how long and how urgently it lives. */
#ifndef AGENTOS_SUPERVISOR_CLI_TERMINAL_INPUT_H
#define AGENTOS_SUPERVISOR_CLI_TERMINAL_INPUT_H

#include <jansson.h>

#include "supervisor/cli/terminal/invocation.h"

/* The text behind the receiver's name: the second word, or standard input when that is "-" or absent and no terminal
 * is there. what: "task", for what is said. NULL: it has been said, *status is set. Caller frees. */
char *input_text(const struct invocation *invocation, const char *what, int *status);
/* --priority and --ttl into a request. False and fault: wrong usage. */
bool input_life(const struct invocation *invocation, json_t *request, struct fault *fault);

/* When --timeout is over, monotonic ms; 0: there is none. False: wrong usage, it has been said. */
bool input_until(const struct invocation *invocation, int64_t *until);

#endif
