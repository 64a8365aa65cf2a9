/* A provider's answer, read tolerantly: every shape of reply and of error body that servers of POST /chat/completions
 * are known to send. Pure: bytes in, a verdict out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "supervisor/gateway/length.h"
#include "supervisor/gateway/refusal.h"

enum {
    RESPONSE_BODY_MAX = 4 * 1024 * 1024,    /* bytes of a body, decoded */
    RESPONSE_STREAM_MAX = 32 * 1024 * 1024, /* of a stream's body, which takes some 300 bytes a token */
    RESPONSE_HEADER_MAX = 64 * 1024,        /* bytes of all header lines */
    RESPONSE_TEXT_MAX =
        2 * 1024 * 1024,              /* bytes of a reply's text; a longer one is cut: finish_reason length */
    RESPONSE_VALUES_MAX = 200 * 1000, /* JSON values in a body: each costs far more memory than its bytes */
};

struct exchange {
    long status;              /* HTTP status */
    const char *content_type; /* NULL: none */
    const char *location;     /* NULL: none */
    const char *proxy;        /* the proxy that may have answered in the provider's place; NULL: none */
    const char *body;         /* any bytes; NULL when length is 0 */
    size_t length;
    /* Takes a text of the provider's, and gives it without secrets: asked before the text is cut, since half a secret
     * is found by nobody. NULL: there are none. */
    char *(*mask)(const void *secrets, char *text);
    const void *secrets;
};

/* The cost of a reply, by the provider's own account; nobody checks a provider, but an answer is at least a token for
 * each 4 bytes. */
struct usage {
    bool known; /* the provider said the numbers; else they are the least possible */
    uint64_t in, cached,
        out;         /* tokens: of the prompt, those of them that were cached, generated (reasoning too) */
    uint64_t summed; /* the prompt's and the cached ones: some servers report only the uncached part */
};

struct response {
    enum answer_kind kind;
    bool retry;                   /* PASSING only: the same request may succeed after a wait */
    bool limited;                 /* the provider limits its rate: all its users must wait */
    struct refused refused;       /* parameters of the request that this model refuses in the form sent */
    struct length_refusal length; /* set with ANSWER_LENGTH */
    char *text;                   /* the reply; or the fault, to be put behind the provider's name */
    char *finish_reason; /* "stop", "length", "content_filter", "tool_calls", "refusal" …; "" unknown */
    char *model;         /* as the server names it; "" unknown */
    struct usage usage;  /* also of a reply that can't be used */
};

/* Fills every field; texts are valid UTF-8, never NULL, freed by response_free. */
void response_read(struct response *response, const struct exchange *exchange);
void response_free(struct response *response);
