/* The case that an auditor judges: the JSON object of contract section 8, and its texts as the rules read them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

enum { AUDIT_CASE_MAX = 4 * 1024 * 1024 /* bytes of JSON */ };

/* Texts are owned, and "" where the object has none. */
struct audit_case {
    char *agent, *task, *answer;
    int reward;
    bool cut; /* the answer was too long to be handed over whole */
    struct {
        char *name, *description, *body; /* name "": the reply names no skill */
    } skill;
    char *prose;       /* the answer as text_prose makes it */
    char *asked;       /* the task, in the same form */
    bool fence_closed; /* every code fence of the answer ends */
};

/* False and fault: the text is no such object. Unknown keys are passed over; "skill" may be null or missing. */
bool audit_case_parse(struct audit_case *subject, const char *json, size_t length, struct fault *fault);
void audit_case_free(struct audit_case *subject);
