/* The supervisor's side of agentos-mirror (contract section 12): tells it whose branch may have new commits, and what became
 * of the pushes stands in the log and among the agents' problems. */
#ifndef AGENTOS_SUPERVISOR_MIRROR_LINK_H
#define AGENTOS_SUPERVISOR_MIRROR_LINK_H

#include "common/buffer.h"

struct supervisor;
struct mirror_link;

/* NULL: AGENTOS_GIT_REMOTE is not set, or its program can't be started, which is said. */
struct mirror_link *mirror_link_open(struct supervisor *supervisor);
void mirror_link_close(struct mirror_link *link); /* NULL is fine, here and below */
void mirror_link_note(struct mirror_link *link, const char *agent);
/* Adds why the agent's branch is not at the remote, a line; nothing: it is, or nothing is known yet. */
void mirror_link_problem(struct mirror_link *link, const char *agent, struct buffer *lines);

#endif
