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
    FIELD_PRIORITY
};

struct field { /* a table ends with one that has no name */
    const char *name;
    enum field_kind kind;
    bool required;
    const char *says; /* a sentence for people who read the interface's description */
    const char *also; /* another name of it, as files have it; NULL: none */
};

/* The object, to be freed with json_decref; an empty body is an empty object. NULL and a problem, with the place that it
 * is about: no JSON, no object, a field that the table does not have, of another type, or missing. */
json_t *body_read(const char *bytes, size_t length, const struct field *fields, struct document *problem);
