/* What can be asked for: a table of paths. Pure: it decides by what it is handed. */
#ifndef AGENTOS_HTTP_ROUTES_H
#define AGENTOS_HTTP_ROUTES_H

#include <jansson.h>
#include <stdbool.h>

#include "supervisor/http/document.h"
#include "supervisor/http/token.h"

struct request {
    const char *method, *path;
    const char *host, *authorization; /* headers; NULL: none */
    bool has_body;
};

struct route {
    const char *path;
    const char *allow; /* the methods, as the header of that name has them */
    bool open;         /* to everybody, without a token */
    /* metrics: of the control server (common/control.h); NULL: the supervisor does not answer now. */
    void (*answer)(const json_t *metrics, struct document *document);
};

/* The route that the request may take; NULL: none, and the document says why. */
const struct route *routes_admit(const struct request *request, const struct token *token,
                                 struct document *document);

#endif
