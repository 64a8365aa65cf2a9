/* The state that all agents share, put to work: locks, segments and queues, between the post office, the workers and
 * people. */
#pragma once

#include <jansson.h>

#include "common/buffer.h"
#include "common/format/roster.h"
#include "supervisor/shared/segments.h"
#include "supervisor/shared/work_queues.h"
#include "supervisor/supervisor.h"

struct shared_state;

/* Hangs its hooks into supervisor->post; reads the locks' files. Never NULL. */
struct shared_state *shared_state_open(struct supervisor *supervisor);
void shared_state_close(struct shared_state *shared); /* before the post office; NULL is fine */
/* The bus is open: the nodes are asked for their homes. Before the loop runs. */
void shared_state_begin(struct shared_state *shared);
/* A word of another node. False: it is no word about queues, locks or segments. */
bool shared_state_hear(struct shared_state *shared, const char *node, const json_t *object);
void shared_state_published(struct shared_state *shared, uint64_t ticket,
                            const char *why); /* as bus_owner's */
/* After post_start, and before a worker is started. */
void shared_state_start(struct shared_state *shared);
/* agents.yaml is another; the roster is borrowed until the next call. */
void shared_state_roster(struct shared_state *shared, const struct roster *roster);
void shared_state_scan(
    struct shared_state *shared); /* every POLL_INTERVAL: people's changes that no notice told of */
/* The agent's state is another: the agent may take work up now. shared may be NULL. */
void shared_state_agent_changed(struct shared_state *shared, const char *agent);
/* The bus is another: the nodes are asked about items with their consumers. */
void shared_state_asks_nodes(struct shared_state *shared);
/* The agent lives here now, or does not any more. */
void shared_state_agent_moved(struct shared_state *shared, const char *agent);
void shared_state_changed(
    struct shared_state *shared); /* something has changed in a queue's folder (inotify) */

/* Files of shared/ that are set aside and concern the agent, a line each. */
void shared_state_problems(struct shared_state *shared, const char *agent, struct buffer *out);
void shared_state_own_problems(const struct shared_state *shared, struct buffer *out);

struct queues *shared_state_queues(struct shared_state *shared);
struct segments *shared_state_segments(struct shared_state *shared);
