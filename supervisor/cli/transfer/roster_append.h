/* Adds an agent to agents.yaml as text: the rest of the file, comments too, stays as it is byte for byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"
#include "common/format/roster.h"

/* The text with the agent at the end of its list, behind the last agent. The result is read again before it is given:
 * it has the agents of before, unchanged, and the new one. *differs: the new agent is not wholly as it was given,
 * since the file's `defaults:` say something for which a definition has no word. NULL and fault: the file's layout
 * has no place for another agent. Caller frees. */
char *roster_append(const char *text, size_t length, const struct roster_agent *agent, bool *differs,
                    struct fault *fault);
