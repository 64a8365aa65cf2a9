/* A request's body: a JSON object whose fields stand in the route's table. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "supervisor/http/document.h"

enum { BODY_MAX = 512 * 1024 /* bytes */ };

enum field_kind {
    FIELD_TEXT,
    FIELD_COUNT, /* a whole number from 0 on */
    FIELD_SOME,  /* a whole number from 1 on */
    FIELD_PRIORITY,
    FIELD_FLAG /* true or false; of a body only */
};

struct field { /* a table ends with a field that has no name */
    const char *name;
    enum field_kind kind;
    bool required;
    const char *says; /* a sentence for people who read the interface's description */
    const char *also; /* the field's name in files, which counts too; NULL: none */
};

/* The object, to be freed with json_decref; an empty body is an empty object. NULL and a problem, with the faulty
 * place: the body is no JSON or no object, or a field is not in the table, of another type, or missing. */
json_t *body_read(const char *bytes, size_t length, const struct field *fields, struct document *problem);
