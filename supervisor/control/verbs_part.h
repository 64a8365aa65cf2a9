/* What the files of the control server's verbs share. Each verb is a function that answers one request; the table of all
 * of them is in verbs.c. */
#ifndef AGENTOS_SUPERVISOR_CONTROL_VERBS_PART_H
#define AGENTOS_SUPERVISOR_CONTROL_VERBS_PART_H

#include <jansson.h>

#include "supervisor/control/control.h"

struct request {
    struct supervisor *supervisor;
    struct client *client;
    const json_t *json;
    struct agent *agent; /* NULL: none was named */
};

const char *request_text(const struct request *request, const char *key); /* NULL: not there, or no text */

/* verbs_post.c */
void answer_send(struct request *request);
void answer_enqueue(struct request *request);
void answer_requeue(struct request *request);
void answer_purge(struct request *request);

#endif
