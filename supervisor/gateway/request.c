#include "supervisor/gateway/request.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"

/* The reply of contract section 7 as a JSON schema. Every key but the answer and the reward may be missing, so the
 * server's strict mode (which wants every key) isn't asked for. */
static const char schema[] =
    "{\"type\":\"object\",\"required\":[\"answer\",\"reward\"],\"properties\":{"
    "\"answer\":{\"type\":\"string\",\"description\":\"The answer for the person.\"},"
    "\"reward\":{\"type\":\"integer\",\"enum\":[-1,0,1],"
    "\"description\":\"1 reusable success, 0 partial, -1 failure\"},"
    "\"reason\":{\"type\":\"string\"},"
    "\"skill\":{\"type\":\"object\",\"required\":[\"name\",\"description\",\"body\"],\"properties\":{"
    "\"name\":{\"type\":\"string\",\"description\":\"1-64 of a-z 0-9 -\"},"
    "\"description\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"}}},"
    "\"reflection\":{\"type\":\"string\"},"
    "\"goals\":{\"type\":\"object\",\"properties\":{"
    "\"add\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"done\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}},"
    "\"handoffs\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"to\",\"task\"],"
    "\"properties\":{\"to\":{\"type\":\"string\"},\"task\":{\"type\":\"string\"},"
    "\"ttl_seconds\":{\"type\":\"integer\"},"
    "\"priority\":{\"type\":\"string\",\"enum\":[\"high\",\"normal\",\"low\"]}}}},"
    "\"messages\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"to\",\"body\"],"
    "\"properties\":{\"to\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"}}}},"
    "\"enqueue\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"queue\",\"task\"],"
    "\"properties\":{\"queue\":{\"type\":\"string\"},\"task\":{\"type\":\"string\"}}}},"
    "\"segments\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\",\"body\"],"
    "\"properties\":{\"name\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"},"
    "\"base_version\":{\"type\":\"integer\"}}}}}}";

/* This file writes JSON strings and not jansson, whose look at each character took most of a request's time (0.5 ms
 * of 0.7 for a prompt of 32 KiB). */
static void add_string(struct buffer *out, const char *text)
{
    size_t length = strlen(text);
    OWNED char *clean = NULL;
    if (!utf8_valid(text, length)) {
        text = clean = utf8_clean(text, length);
        length = strlen(text);
    }
    buffer_text(out, "\"");
    for (const char *from = text, *end = text + length; from < end;) {
        const char *at = from;
        while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
            at++;
        buffer_add(out, from, (size_t)(at - from));
        if (at == end)
            break;
        if (*at == '\n')
            buffer_add(out, "\\n", 2);
        else if (*at == '"' || *at == '\\')
            buffer_add(out, (const char[]){'\\', *at}, 2);
        else
            buffer_print(out, "\\u%04x", (unsigned)(unsigned char)*at);
        from = at + 1;
    }
    buffer_text(out, "\"");
}

static void add_field(struct buffer *out, const char *before, const char *text)
{
    buffer_text(out, before);
    add_string(out, text);
}

/* With a point, whatever the locale. */
static void add_temperature(struct buffer *out, const char *text)
{
    json_auto_t *number = json_real(strtod(text, NULL));
    char *dumped = json_dumps(number, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    if (dumped)
        buffer_print(out, ",\"temperature\":%s", dumped);
    free(dumped);
}

static void add_format(struct buffer *out, const char *name)
{
    add_field(out, ",\"response_format\":{\"type\":", name);
    if (strcmp(name, "json_schema") == 0)
        buffer_print(out, ",\"json_schema\":{\"name\":\"agentos_reply\",\"schema\":%s}", schema);
    buffer_text(out, "}");
}

static void add_messages(struct buffer *out, const struct request *request)
{
    if (request->form & FORM_NO_SYSTEM) {
        OWNED char *both = memory_print("%s\n\n# The task\n\n%s", request->system, request->task);
        add_field(out, ",\"messages\":[{\"role\":\"user\",\"content\":", both);
    } else {
        add_field(out, ",\"messages\":[{\"role\":\"system\",\"content\":", request->system);
        add_field(out, "},{\"role\":\"user\",\"content\":", request->task);
    }
    buffer_text(out, "}]");
}

char *request_body(const struct request *request)
{
    struct buffer out = {0};
    buffer_room(&out, strlen(request->system) + strlen(request->task) + 1024);
    add_field(&out, "{\"model\":", request->model);
    add_messages(&out, request);
    buffer_print(&out, ",\"%s\":%jd",
                 request->form & FORM_COMPLETION_TOKENS ? "max_completion_tokens" : "max_tokens",
                 (intmax_t)request->max_tokens);
    if (request->temperature && !(request->form & FORM_NO_TEMPERATURE))
        add_temperature(&out, request->temperature);
    if (request->response_format && !(request->form & FORM_NO_FORMAT))
        add_format(&out, request->response_format);
    if (request->form & FORM_STREAM)
        buffer_text(&out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    buffer_text(&out, "}");
    return buffer_take(&out);
}
