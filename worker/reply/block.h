/* Where the structured part of a model's reply lies, and what it says key by key, also when it is no valid YAML as a
 * whole: every part that can be read by itself is. */
#ifndef AGENTOS_WORKER_REPLY_BLOCK_H
#define AGENTOS_WORKER_REPLY_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/format/yamldoc.h"

/* Offsets into the reply: [start, end) with its fences, [inner, inner + inner_length) without. */
struct reply_block {
    size_t start, end, inner, inner_length;
    bool closed; /* the closing fence is there */
    bool marked; /* it says agentos */
};

/* The last fenced block whose info string has the word `agentos`; a fence that is open at the end of the text counts.
 * An example within a longer fence is none. Without such a block: a fenced block at the very end, marked as yaml, json
 * or nothing, that has the key `reward`: small models forget the word. text has a NUL behind length. */
bool reply_block_find(const char *text, size_t length, struct reply_block *block);

struct part {
    char *key;
    const struct yaml_node *node; /* borrowed from document or another part; NULL: it is no YAML, see raw */
    char *raw; /* the text behind the colon, without common indentation; NULL when there is a node */
    struct yaml_node *document; /* owned; NULL: the node is owned elsewhere */
};

struct parts {
    struct part *items;
    size_t count;
    struct yaml_node *document; /* owned */
    bool broken;                /* as a whole it is no YAML mapping; why stands in fault */
    struct fault fault;
};

/* keys: NULL-terminated; only they are looked for in a text that isn't YAML as a whole. */
void parts_read(struct parts *parts, const char *text, size_t length, const char *const *keys);
void parts_from(struct parts *parts, const struct yaml_node *mapping); /* borrows the nodes */
void parts_free(struct parts *parts);
/* Whatever its case, also with quotes or asterisks around it. Null values count as absent. */
const struct part *parts_find(const struct parts *parts, const char *key);
/* The first that is none of keys; NULL: all are. Borrowed. */
const char *parts_stranger(const struct parts *parts, const char *const *keys);

/* A scalar as text, or a raw part without quotes around it; trimmed. NULL: it is a list or a mapping. Caller frees. */
char *part_text(const struct part *part);

#endif
