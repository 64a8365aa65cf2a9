/* Fields of a report, as keys and raw texts, and what such a text means. */
#pragma once

#include "worker/reply/span.h"

struct field {
    int key;      /* which of the keys; FIELD_UNKNOWN: none of them; FIELD_ENTRY: an entry of a list */
    char *name;   /* as written; NULL for an entry */
    char *text;   /* without what set it off from its key */
    bool literal; /* it was in quotes, which are gone: text is exactly what was meant */
};

enum { FIELD_UNKNOWN = -1, FIELD_ENTRY = -2 };

struct fields {
    struct field *items;
    size_t count;
    struct buffer stray; /* lines that belong to no key */
    bool open;           /* brackets that were never closed: the last value may lack its end */
};

void fields_free(struct fields *fields);
struct field *fields_add(struct fields *fields, int key, struct span name, struct span text);
int fields_key(struct span name, const char *const *keys);

/* The first one of the key that says something; NULL: there is none. */
const struct field *fields_find(const struct fields *fields, int key);

/* The text that a value means: a block's lines without their indentation, what stands in quotes, or the words as they
 * are; trimmed. Caller frees. */
char *field_text(const struct field *field);
/* "none", "n/a", "null", "-" and the like, or nothing at all. */
bool field_is_none(const struct field *field);
/* A list or a mapping in brackets, not a text. */
bool field_is_bracketed(const struct field *field);

/* "|", ">-" and the like: the text is in the lines that follow. */
bool field_is_header(struct span value);
