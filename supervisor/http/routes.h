/* The routes: a table of methods and paths, with each route's question and the form of its answer. Pure: a decision
 * depends on the arguments alone. The description of the interface (openapi.h) is made from the same table. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "supervisor/http/body.h"
#include "supervisor/http/document.h"
#include "supervisor/http/token.h"
#include "supervisor/listings/learned.h"

struct request {
    const char *method, *path;
    const char *host, *origin, *authorization; /* headers; NULL: none */
    bool several_hosts;                        /* more than one Host header */
    /* More than one Content-Length or Transfer-Encoding, or a coding that is not chunked. */
    bool several_ends;
    bool has_body;
};

enum route_asks {
    ASKS_DESCRIPTION, /* of the interface (openapi.h) */
    ASKS_METRICS,     /* snapshots of the supervisor, shared by all clients */
    ASKS_STATUS,
    ASKS_ORDER, /* a call of its own: the route's verb with the names of the path and the fields of the body */
    ASKS_TASK,  /* files, and the snapshot, or as ASKS_READ; ?wait=SECONDS waits for the task's end */
    ASKS_FILES, /* of DATA_DIR, beneath it and without following any link */
    ASKS_READ, /* of an agentos-reader: the route's verb with the names of the path and of the query (reads.h) */
    ASKS_EVENTS, /* a stream */
    ASKS_PAGE    /* a file of the page (page.h) */
};

struct route {
    const char *method; /* GET takes HEAD, too */
    const char *path;   /* {NAME}: a piece of the path that the request fills in */
    const char *says;   /* a sentence for people who read the interface's description */
    enum route_asks asks;
    bool open;        /* to everybody, without a token */
    const char *verb; /* ASKS_ORDER: of common/control.h; ASKS_READ: of supervisor/reader/reader.h */
    const struct field *fields; /* of the body; NULL: the route takes none */
    const struct field *query;  /* of the path's end, "?wait=5"; NULL: the route takes none */
    const char *gives;          /* the answer's type (openapi_schemas.h); NULL: no JSON */
    unsigned done;              /* the status of success; 0: 200 */
    /* answer: the supervisor's object; NULL: the supervisor does not answer now. named: the path's pieces. */
    void (*answer)(const json_t *answer, const json_t *named, struct document *document);
    /* ASKS_FILES */
    void (*read)(int data, const struct route *route, const json_t *named, struct document *document);
    enum learned learned; /* the kind of an agent's lessons that `read` reads */
    const char *folder;   /* or of shared/ */
};

/* The route that the request may take, and its path's pieces (an object, to be freed); NULL: none, and the document
 * says why. */
const struct route *routes_admit(const struct request *request, const struct token *token, json_t **named,
                                 struct document *document);
/* Whether the header Idempotency-Key makes a request to the route safe to repeat (contract section 12). */
bool route_takes_key(const struct route *route);
/* The route of this number, from 0; NULL behind the last. */
const struct route *routes_at(size_t index);
