/* A word from one node's supervisor to another's over the bus: a JSON object, under the subject of the node that hears it. A
 * word may be lost, come twice, or late. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct local_node;

#define NODE_SUBJECT "agentos.node."

/* Takes the object over, and frees it. Returns the ticket by which the bus tells whether the stream has the word
 * (bus_link.h); 0: nothing went out, since the bus is away, is behind, or takes no word of that length. */
uint64_t node_word_say(const struct local_node *local, const char *node, json_t *object);
/* Borrowed from the object; "": the key is missing, or no text. */
const char *node_word_text(const json_t *object, const char *key);
/* 0: the key is missing, or no whole number. */
int64_t node_word_number(const json_t *object, const char *key);
