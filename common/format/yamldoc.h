/* A YAML document (libyaml) as a tree of nodes that know their place, for agents.yaml, front matter and the
 * model's reply block. Untrusted input: size, depth and node count are capped; aliases, anchors and tags of
 * one's own are faults, so nothing can grow ("YAML bombs"); only the first document counts, a second is a
 * fault. A duplicate key in a mapping is a fault. JSON is read too, surrogate pairs included. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

enum {
    YAML_TEXT_MAX = 4 * 1024 * 1024, /* bytes of a document */
    YAML_DEPTH_MAX = 64,             /* mappings and sequences within each other */
    YAML_NODES_MAX = 500000
};

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1; column counts characters */
    char *text;            /* scalar: its value, NUL-terminated (a NUL inside became U+FFFD); else NULL */
    bool quoted;           /* scalar: it was quoted or a block, so "5" and "null" are text */
    char *key;             /* set when the parent is a mapping */
    unsigned key_line, key_column;
    bool repeated;                  /* the key stood in the mapping before, which was told as a fault */
    struct yaml_node *child, *next; /* items or values in order */
    size_t count;                   /* children */
};

/* name stands before line and column in the fault ("agents.yaml:3:5: …"). NULL and fault when it is no YAML.
 * An empty document gives an empty mapping. Caller frees the root, and only the root, with yaml_free. */
struct yaml_node *yaml_parse(const char *text, size_t length, const char *name, struct fault *fault);
/* The same for whoever wants every fault in one go: each is told as it is met (duplicate keys of an inner mapping
 * before those around it). With nothing worse than duplicate keys there is a tree all the same, in which yaml_get
 * finds the first of them. */
typedef void yaml_complaint(void *context, unsigned line, unsigned column, const char *sentence);
struct yaml_node *yaml_parse_all(const char *text, size_t length, yaml_complaint *complaint, void *context);
/* libyaml exports a yaml_free of its own, and would call ours in its place. */
#define yaml_free yamldoc_free
void yaml_free(struct yaml_node *node);

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key); /* NULL: not there */
bool yaml_is_null(const struct yaml_node *node); /* plain ~, null, or empty */
bool yaml_integer(const struct yaml_node *node,
                  int64_t *value); /* plain scalar that is wholly a decimal number */
bool yaml_number(const struct yaml_node *node,
                 double *value); /* likewise, with fraction and exponent; finite */
bool yaml_boolean(const struct yaml_node *node, bool *value); /* true/false/yes/no/on/off, plain */

/* One "key: value\n" that any YAML reader reads back as the same text: plain where that is safe, else double-
 * quoted. For front matter and the card. What is not valid UTF-8 becomes U+FFFD. */
void yaml_write_text(struct buffer *out, const char *key, const char *value);
/* The scalar alone, written likewise; safe in [a, b] and {k: v} too. */
void yaml_write_scalar(struct buffer *out, const char *value);
