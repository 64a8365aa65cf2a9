/* The supervisor's side of agentos-mirror (contract section 12): it tells the process which agents' branches may have
 * new commits, logs the pushes' failures and has them among the agents' problems, asks for the branch of an agent that is
 * fetched, and whether the remote has a branch of an agent. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"

struct local_node;
struct mirror_link;

/* NULL: AGENTOS_GIT_REMOTE is not set, or its program can't be started, which the log says. */
struct mirror_link *mirror_link_open(const struct local_node *local);
void mirror_link_close(struct mirror_link *link); /* NULL is fine, here and below */
void mirror_link_note(struct mirror_link *link, const char *agent);
/* Adds why the agent's branch is not at the remote, a line; nothing: it is there, or nothing is known yet. */
void mirror_link_problem(struct mirror_link *link, const char *agent, struct buffer *lines);
/* Whether the last push of the agent's branch found that the remote's branch went another way. */
bool mirror_link_diverged(struct mirror_link *link, const char *agent);
/* The agent's branch at the remote comes into the file, a path below DATA_DIR, as a git bundle. One at a time. done:
 * why NULL: the bundle is there, and commit is the branch's; else why not. */
typedef void mirror_fetched(void *context, const char *why, const char *commit);
void mirror_link_fetch(struct mirror_link *link, const char *agent, const char *bundle, mirror_fetched *done,
                       void *context);

enum mirror_branch {
    MIRROR_HAS_BRANCH, /* text: its commit */
    MIRROR_NO_BRANCH,
    MIRROR_SILENT, /* the remote can't be asked; text: why */
};
typedef void mirror_looked(void *context, const char *agent, enum mirror_branch branch, const char *text);
/* Asks whether the remote has a branch of the agent. looked tells, the same for every agent. Returns the process that was
 * asked, 0: none; its answer comes as long as it is mirror_link_process. */
unsigned mirror_link_look(struct mirror_link *link, const char *agent, mirror_looked *looked, void *context);
/* Counts the starts of agentos-mirror. */
unsigned mirror_link_process(const struct mirror_link *link);
