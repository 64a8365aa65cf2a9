/* The input that people give with a verb: a text, its id, and how long and how urgently it lives. */
#pragma once

#include <jansson.h>

#include "supervisor/cli/terminal/invocation.h"

/* The verb's request to a receiver ("agent" or "queue", the first word): the text, which is the second word, or
 * standard input when that is "-" or absent and no terminal is there, and --id, --priority and --ttl. what: "task",
 * for complaints. NULL: a complaint was printed, *status is set. A new reference. */
json_t *input_request(const struct invocation *invocation, const char *what, const char *receiver,
                      int *status);

/* When --timeout is over, monotonic ms; 0: there is none. False: wrong usage, and a complaint was printed. */
bool input_until(const struct invocation *invocation, int64_t *until);
