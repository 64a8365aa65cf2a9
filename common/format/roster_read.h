/* From YAML nodes to records by the tables of roster_schema.h, with every fault at its place. For roster*.c only. */
#pragma once

#include "common/format/roster_schema.h"
#include "common/format/yamldoc.h"

enum { ROSTER_FAULTS_MAX = 200 /* lines; then one more says how many there are besides */ };

struct roster_fault {
    unsigned line, column;
    char *sentence; /* owned */
};

struct roster_reader {
    bool silent; /* faults here were complained about before */
    struct roster_fault faults[ROSTER_FAULTS_MAX];
    size_t fault_count;                      /* faults that found no room included */
    const struct yaml_node *defaults, *keep; /* the values for every agent; NULL: not in the file */
    const struct yaml_node **agents;         /* the name nodes of all agents, sorted by name; borrowed */
    size_t agent_count;
};

/* Always false, so that a check can end with it. */
bool reader_fault(struct roster_reader *reader, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* All faults in the order of their places, name in front of each; forgets them. */
void reader_print_faults(struct roster_reader *reader, const char *name, struct buffer *out);
/* Reads all keys of node into the record; node must be a mapping (else that is the fault). */
void reader_record(struct roster_reader *reader, const struct schema *schema, const struct yaml_node *node,
                   void *record);
/* The rules of `notify` that a table of fields can't hold (roster_notify.c); each hook gets its kinds and its place. */
void reader_notify(struct roster_reader *reader, const struct yaml_node *list, struct roster *roster);
