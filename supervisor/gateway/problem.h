/* A provider's error: its sentence, and the kind of failure. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/message.h"

struct problem {
    enum answer_kind kind;
    bool retry, limited;
    /* The provider's sentence as it stands in the body, for problem_excerpt; "" when it said nothing. Owned. */
    char *message;
};

/* root: the body as JSON, or NULL when it isn't JSON; body: its text, valid UTF-8. status: the HTTP status, 200 for
 * an error that came inside a success (then the error's own code and words decide). */
struct problem problem_read(long status, json_t *root, const char *body);

/* Whether a JSON body that should be a reply is an error instead. */
bool problem_inside(json_t *root);

/* Whether a status says that certainly nothing was generated; no other does. */
bool problem_is_free(long status);

/* One line of at most 300 bytes from text: HTML and XML reduced to their words, white space to blanks, "sk-…" tokens masked.
 * Caller frees. */
char *problem_excerpt(const char *text);
