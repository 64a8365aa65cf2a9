/* agents.yaml as tables: one row for each key has the key's type, its valid values and the place where the value is
 * stored. Reading, faults, freeing and the wire all go by them. For roster*.c only. */
#pragma once

#include "common/format/roster.h"

enum field_kind {
    FIELD_TEXT,      /* char * */
    FIELD_NAME,      /* char *, names_agent */
    FIELD_CRON,      /* char *, cron.h */
    FIELD_TEXTS,     /* struct text_list */
    FIELD_ARGUMENTS, /* struct text_list; plain numbers are text too */
    FIELD_AGENTS,    /* struct text_list of agents that exist; companion (if any): bool, true while unset */
    FIELD_INTEGER,   /* int64_t */
    FIELD_POSITIVE,  /* double, finite, greater than 0 */
    FIELD_AMOUNT,    /* double, finite, 0 or greater */
    FIELD_BOOLEAN,   /* bool */
    FIELD_CLASS,     /* enum throughput_class */
    FIELD_METHOD,    /* enum audit_method */
    FIELD_ACTION,    /* bool, true: pause */
    FIELD_GROUP,     /* a mapping within the same record */
    FIELD_LIST,      /* records of their own; companion: size_t, their count */
    FIELD_MAP, /* the same under keys that anybody may choose: each record begins with its key, a char * */
    FIELD_DEFAULTS /* a group of agent fields, stored nowhere */
};

enum { REQUIRED = 1, NOT_FOR_ALL = 2 /* may not stand in defaults */, OF_NODE = 4 /* text: names_node */ };

struct schema;
struct field {
    const char *name;
    enum field_kind kind;
    unsigned flags;
    size_t offset, companion;
    int64_t least, most; /* FIELD_INTEGER */
    const struct schema *schema;
};

struct schema {
    const char *what; /* "an agent": for sentences */
    const struct field *fields;
    size_t count;
    size_t size;                 /* of a record; 0: a group */
    void (*start)(void *record); /* a record as it is before anything is read; NULL: all zero */
};

extern const struct schema roster_schema, roster_agent_schema, roster_keep_schema;

/* The words that a FIELD_CLASS, FIELD_METHOD or FIELD_ACTION may be, in the order of their enum; else NULL. */
const char *const *field_words(enum field_kind kind, size_t *count);
size_t field_word_get(const struct field *field, const void *record);
/* False: the text is none of the words. */
bool field_word_set(const struct field *field, void *record, const char *text);

/* Frees the texts and lists that the record owns, not the record itself. */
void schema_clear(const struct schema *schema, void *record);
void field_list_clear(const struct field *field,
                      void *record); /* the same for a FIELD_LIST's or FIELD_MAP's records */
void roster_agent_start(void *agent);
