/* A YAML document (libyaml) as a tree of nodes that know their place, for agents.yaml, front matter and the
 * model's reply block. Untrusted input: size, depth and node count are capped; aliases, anchors and tags of
 * one's own are faults, so nothing can grow ("YAML bombs"); only the first document counts, a second is a
 * fault. A duplicate key in a mapping is a fault. */
#ifndef AGENTOS_COMMON_YAMLDOC_H
#define AGENTOS_COMMON_YAMLDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    char *text;            /* scalar: its value, NUL-terminated (no NUL inside); else NULL */
    bool quoted;           /* scalar: it was quoted or a block, so "5" and "null" are text */
    char *key;             /* set when the parent is a mapping */
    unsigned key_line, key_column;
    struct yaml_node *child, *next; /* items or values in order */
    size_t count;                   /* children */
};

/* name stands before line and column in the fault ("agents.yaml:3:5: …"). NULL and fault when it is no YAML.
 * An empty document gives an empty mapping. Caller frees with yaml_free. */
struct yaml_node *yaml_parse(const char *text, size_t length, const char *name, struct fault *fault);
void yaml_free(struct yaml_node *node);

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key); /* NULL: not there */
bool yaml_is_null(const struct yaml_node *node); /* plain ~, null, or empty */
bool yaml_integer(const struct yaml_node *node,
                  int64_t *value); /* plain scalar that is wholly a decimal number */
bool yaml_number(const struct yaml_node *node, double *value);
bool yaml_boolean(const struct yaml_node *node, bool *value); /* true/false/yes/no/on/off, plain */

/* One "key: value\n" that any YAML reader reads back as the same text: plain where that is safe, else double-
 * quoted. For front matter and the card. */
void yaml_write_text(struct buffer *out, const char *key, const char *value);
/* The scalar alone, written likewise. */
void yaml_write_scalar(struct buffer *out, const char *value);

#endif
