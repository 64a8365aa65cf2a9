/* What all agents share, put to work: locks, segments and queues, between the post office, the workers and people. */
#ifndef AGENTOS_SUPERVISOR_SHARED_STATE_H
#define AGENTOS_SUPERVISOR_SHARED_STATE_H

#include "common/buffer.h"
#include "common/format/roster.h"
#include "supervisor/shared/work_queues.h"
#include "supervisor/supervisor.h"

struct commons;

/* Hangs its hooks into supervisor->post; reads the locks' files. Never NULL. */
struct commons *commons_open(struct supervisor *supervisor);
void commons_close(struct commons *commons); /* before the post office; NULL is fine */
/* After post_start, and before a worker is started. */
void commons_start(struct commons *commons);
/* agents.yaml is another; the roster is borrowed until the next call. */
void commons_roster(struct commons *commons, const struct roster *roster);
void commons_scan(struct commons *commons); /* every POLL_INTERVAL: what people did, that no notice told of */
void commons_changed(struct commons *commons); /* something has changed in a queue's folder (inotify) */

/* The relay's owner: the texts for {{peers}} and {{segments}} of an agent's prompt. */
void commons_surroundings(void *agent, struct buffer *peers, struct buffer *segments);

/* What lies set aside in shared/ and concerns the agent, a line each. */
void commons_problems(struct commons *commons, const char *agent, struct buffer *out);

struct queues *commons_queues(struct commons *commons);

#endif
