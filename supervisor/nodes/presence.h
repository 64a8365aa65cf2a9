/* The nodes' accounts of themselves for each other: the key node.NODE of the bus's bucket, JSON, a new one every few
 * seconds.
 *
 * {"time": ms since 1970, "agents": {NAME: {…}}, "queues": {NAME: [items that wait, that consumers have]}}: the
 * agents that live there as `status` has them, without costly keys, and with their windows. Of a fleet whose text
 * would be too long the last agents are left out. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"

struct presence;
struct queues;
struct local_node;

struct presence *presence_new(const struct local_node *local,
                              const struct queues *queues); /* both borrowed */
void presence_free(struct presence *presence);              /* NULL is fine */
/* Tells of this node when its time has come, and the bus is there. now: clock_boot_ms. */
void presence_turn(struct presence *presence, int64_t now);
/* A key of the bucket; text NULL: the key is gone. False: the key is another. fresh: it was written just now. */
bool presence_key(struct presence *presence, const char *key, const char *text, bool fresh);
/* A node's account of an agent, borrowed until the next key; NULL: none. */
const json_t *presence_agent(const struct presence *presence, const char *node, const char *agent);
/* Whether the node has told of itself in the last half minute; or ever. */
bool presence_is_there(const struct presence *presence, const char *node);
bool presence_is_known(const struct presence *presence, const char *node);
/* Adds the numbers of the work queue's items on the other nodes that are there. */
void presence_count(const struct presence *presence, const char *queue, size_t *waiting, size_t *under_way);
/* Calls visit for each other node that has told of itself, but for one whose key somebody deleted. there: as
 * presence_is_there. */
void presence_each(const struct presence *presence,
                   void (*visit)(void *context, const char *node, bool there), void *context);
/* The known node whose name is nearest; NULL: none is near. */
const char *presence_nearest(const struct presence *presence, const char *node);
/* Adds nodes whose clocks differ from this one's by more than two seconds, a line each. */
void presence_problems(const struct presence *presence, struct buffer *lines);
