/* Locks put to work: their files and counter, the workers, and the other nodes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct homes;
struct shared_locks;
struct supervisor;

/* Reads the locks' files. Never NULL. homes is borrowed. */
struct shared_locks *shared_locks_open(struct supervisor *supervisor, struct homes *homes);
void shared_locks_close(struct shared_locks *shared); /* NULL is fine */
void shared_locks_start(struct shared_locks *shared); /* after the bus is open */

/* LOCK and UNLOCK of a worker, as post_hooks calls them. */
bool shared_locks_ask(struct shared_locks *shared, const char *name, const char *task, const char *lock);
void shared_locks_give_up(struct shared_locks *shared, const char *name, const char *task, const char *lock);
/* The agent's worker has ended. */
void shared_locks_agent_gone(struct shared_locks *shared, const char *name);
void shared_locks_scan(struct shared_locks *shared);

/* A word of another node. False: it is no word about a lock. */
bool shared_locks_hear(struct shared_locks *shared, const char *node, const json_t *object);
void shared_locks_far_turn(struct shared_locks *shared); /* every few seconds, with a bus */
void shared_locks_asks(struct shared_locks *shared);     /* the bus is another: the homes are asked again */
/* As homes_owner's. */
void shared_locks_moved(struct shared_locks *shared, const char *file, const char *node);
void shared_locks_copy(struct shared_locks *shared, const char *file, const char *text, size_t length);
