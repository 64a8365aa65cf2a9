/* The body of a request to POST {base}/chat/completions. Pure. */
#pragma once

#include <stdint.h>

#include "supervisor/gateway/refusal.h"

struct request {
    const char *model, *system, *task;
    int64_t max_tokens;
    unsigned form;               /* bits of enum form */
    const char *temperature;     /* NULL: not sent */
    const char *response_format; /* NULL, "text", "json_object" or "json_schema" */
};

/* JSON, NUL-terminated. Caller frees. Texts that are no UTF-8 are cleaned. */
char *request_body(const struct request *request);
