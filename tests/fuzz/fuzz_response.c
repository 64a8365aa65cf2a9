/* A provider's answer: the first two bytes choose status and content type, the rest is the body. */
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "supervisor/gateway/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {200, 200, 200, 204, 302, 400, 401, 402, 403, 404, 429, 429, 500, 503};
    static const char *const types[] = {NULL, "application/json", "text/event-stream; charset=utf-8",
                                        "text/html"};
    if (size < 2)
        return 0;
    struct response response;
    response_read(&response,
                  &(struct exchange){.status = statuses[data[0] % (sizeof statuses / sizeof *statuses)],
                                     .content_type = types[data[1] % 4],
                                     .body = (const char *)data + 2,
                                     .length = size - 2});
    if (!response.text || !response.finish_reason || !response.model)
        abort();
    if (!utf8_valid(response.text, strlen(response.text)) || strlen(response.text) > RESPONSE_TEXT_MAX)
        abort();
    if (!utf8_valid(response.model, strlen(response.model)) ||
        !utf8_valid(response.finish_reason, strlen(response.finish_reason)))
        abort();
    if (response.retry && response.kind != ANSWER_PASSING)
        abort();
    response_free(&response);
    return 0;
}
