/* The data directory for the verbs that read: these ask no supervisor, since the files say all, also while no
 * supervisor runs. An agent is a folder here, so an agent that was taken out of agents.yaml can be read, too. */
#pragma once

#include <stdbool.h>

#include "supervisor/cli/terminal/invocation.h"

/* Whether there is a data directory with agents, and with the named agent in it (NULL: none is named). False: a
 * complaint is on standard error, with the nearest name, and *status is 66, or 77 where this user may not look. */
bool data_dir_has(const struct invocation *invocation, const char *agent, int *status);

/* The agent's folder: its descriptor, and its absolute path in *path (owned by the caller). -1: as data_dir_has. */
int data_dir_agent(const struct invocation *invocation, const char *agent, char **path, int *status);

/* The node of the bus on which the agent lives, as a supervisor of this data directory knows it; caller frees. NULL:
 * the agent lives here, or nobody knows. */
char *data_dir_node(const struct invocation *invocation, const char *agent);
