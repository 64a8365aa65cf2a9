/* The post office's owner: what it decides becomes messages to workers, lines in the log and events. */
#pragma once

#include "supervisor/post/post.h"
#include "supervisor/supervisor.h"

struct post *postmaster_open(struct supervisor *supervisor);
/* inotify tells of changes in the agent's tree; what concerns its worker alone goes on to it. */
void postmaster_tree_changed(struct agent *agent, uint64_t look);
