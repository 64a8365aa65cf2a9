/* The case that an auditor gets on its standard input, made from the files of a finished task in the tree. */
#pragma once

#include "common/fault.h"
#include "worker/memory/learning.h"

/* {"agent", "id", "task", "answer", "reward", "skill": {"name", "description", "body"} or null, "cut": bool}; texts past
 * a limit are cut, so that the whole is no larger than a message may be. NULL and fault: outputs/TASK.md can't be read.
 * Caller frees. */
char *audit_case_json(int tree, const char *agent, const struct audit_wanted *wanted, struct fault *fault);
