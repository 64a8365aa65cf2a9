/* Items of work queues whose consumer lives on another node: the words of both nodes
 * (supervisor/shared/work_queue_far.c) as messages of the bus, JSON to agentos.node.NODE. Each word may be lost,
 * which both sides know. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "supervisor/shared/work_queues.h"

struct local_node;

/* As queues_operations.say. */
bool far_items_say(const struct local_node *local, const char *node, const struct queue_word *word);
/* False: the object is no such word. */
bool far_items_hear(struct queues *queues, const char *node, const json_t *object);
