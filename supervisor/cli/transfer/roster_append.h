/* One more agent in agents.yaml as text: everything else, comments too, stays as it is byte for byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"
#include "common/format/roster.h"

/* The text with the agent at the end of its list, behind the last one. What comes out is read again before it is
 * given: it has the agents of before, unchanged, and this one. *differs: this one is not wholly as it was given, since
 * the file's `defaults:` say something for which a definition has no word. NULL and fault: the file is written in a
 * way that this can't be done with. Caller frees. */
char *roster_append(const char *text, size_t length, const struct roster_agent *agent, bool *differs,
                    struct fault *fault);
