/* Locks over nodes: the words of both sides (supervisor/shared/lock_far.c) as messages of the bus, JSON to
 * agentos.node.NODE. Each word may be lost, which both sides know. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "supervisor/shared/locks.h"

struct local_node;

bool far_locks_say(const struct local_node *local, const char *node, const struct lock_word *word);
/* False: the object is no such word. A malformed word is passed over. */
bool far_locks_hear(const json_t *object, void (*hear)(void *context, const struct lock_word *word),
                    void *context);
