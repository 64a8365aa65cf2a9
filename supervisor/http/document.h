/* The answer to a request; a fault is a problem as of RFC 9457. */
#pragma once

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>

#include "common/buffer.h"

struct document {
    unsigned status;
    const char *type;
    const char *challenge; /* WWW-Authenticate; NULL: no such header */
    char allow[32];        /* empty: no such header; likewise location */
    char location[512];    /* a path of this interface */
    unsigned retry_after;  /* seconds; 0: no such header */
    bool tagged;           /* an ETag goes with a 200, and a client that has the same document gets 304 */
    struct buffer body;    /* owned */
};

void document_json(struct document *document, unsigned status, json_t *object); /* takes object */
/* The detail is a sentence for a person; it repeats nothing that came with the request. */
void document_problem(struct document *document, unsigned status, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));
/* As document_problem, with "pointer": the place in the request's body (RFC 6901) that the detail is about. */
void document_problem_at(struct document *document, unsigned status, const char *pointer, const char *detail);
void document_free(struct document *document);
/* Queues the document as the answer, and frees it. MHD_NO: the connection ends without an answer. */
enum MHD_Result document_send(struct MHD_Connection *connection, struct document *document);

/* A document that is ready to be sent to as many clients as ask. */
struct ready_document {
    unsigned status;
    char etag[24];                 /* quoted, weak; "": none */
    struct MHD_Response *response; /* owned; NULL: there is none */
};

/* Takes the document. */
void document_make_ready(struct document *document, struct ready_document *ready);
/* Queues the document, or 304 to a client that has the same (If-None-Match). MHD_NO as for document_send. */
enum MHD_Result ready_document_send(struct MHD_Connection *connection, const struct ready_document *ready);
void ready_document_free(struct ready_document *ready); /* an empty document is fine */
/* Whether the client has the document of the quoted tag (If-None-Match: "*", or a list, compared weakly: RFC 9110,
 * 8.8.3.2). */
bool document_is_known(struct MHD_Connection *connection, const char *etag);
