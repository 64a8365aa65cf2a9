/* The agent's tree as it begins (contract section 4): bootstrap makes missing files and changes none that is there. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "common/format/roster.h"
#include "worker/history/history.h"

/* Makes the folders and files, commits `init: agent filesystem` in an empty repository, and when the definition has
 * changed rewrites the files that are still as bootstrap wrote them (their hashes stand in .agentos/bootstrapped) with
 * a commit "NAME(definition): …"; an edited file is left, with a warning line in problems. On later starts missing
 * files are made again and committed. Idempotent; a crash anywhere is finished by the next call. */
bool bootstrap_tree(int tree, const char *path, const struct roster_agent *agent, struct history *history,
                    struct buffer *problems, struct fault *fault);

/* The class in force: the definition's, else persona.md's front matter's, else medium. problems: a line for a front
 * matter that can't be read, or names a class that there is not. */
enum throughput_class bootstrap_class(int tree, const struct roster_agent *agent, struct buffer *problems);
