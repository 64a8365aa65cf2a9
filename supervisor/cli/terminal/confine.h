/* Work on files that an agent wrote, in a child process that can read one folder and do nothing else. */
#pragma once

#include <stddef.h>

/* Takes files that git would obey out of the agent's folder DATA_DIR/agents/NAME (common/guard/git_guard.h), and tells of
 * them on standard error. Before anything opens the repository. */
void confine_guard(const char *data_dir, const char *name);

/* Runs work(context) in a child, in a worker's sandbox that can read `folder` (absolute) and write nothing but
 * standard output and error, with 512 MiB of memory; so a repository that was made to harm costs that child alone.
 * Returns work's own status, or an exit status after a complaint: the sandbox is not to be had, or the child was
 * ended. */
int confine(const char *folder, int (*work)(void *context), void *context);

/* Drops every variable of this process's environment but the `count` named ones. */
void confine_environment(const char *const *names, size_t count);
