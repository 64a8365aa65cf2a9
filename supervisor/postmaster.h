/* The post office's owner: the decisions of the post office become messages to workers, lines in the log and events. */
#pragma once

#include "supervisor/post/post.h"
#include "supervisor/supervisor.h"

struct post *postmaster_open(struct supervisor *supervisor);
/* inotify tells of changes in the agent's tree; changes that concern its worker alone go on to the worker. */
void postmaster_tree_changed(struct agent *agent, uint64_t look);
