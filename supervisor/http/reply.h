/* What goes back for one request; a fault is a problem as of RFC 9457. */
#ifndef AGENTOS_HTTP_REPLY_H
#define AGENTOS_HTTP_REPLY_H

#include <jansson.h>

#include "common/buffer.h"

struct reply {
    unsigned status;
    const char *type;
    const char *allow;     /* NULL: no such header; likewise the others */
    const char *challenge; /* WWW-Authenticate */
    unsigned retry_after;  /* seconds; 0: no such header */
    struct buffer body;    /* owned */
};

void reply_json(struct reply *reply, unsigned status, json_t *object); /* takes object */
/* The detail is a sentence for a person; it repeats nothing that came with the request. */
void reply_problem(struct reply *reply, unsigned status, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));
void reply_free(struct reply *reply);

#endif
