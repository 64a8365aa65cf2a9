#include "supervisor/http/document.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"

#define PROBLEM_TYPE "application/problem+json"

static const struct {
    unsigned status;
    const char *title;
} titles[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
};

static const char *title_of(unsigned status)
{
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

static void set(struct document *document, unsigned status, const char *type, json_t *object)
{
    OWNED char *text = json_dumps(object, JSON_PRESERVE_ORDER);
    json_decref(object);
    *document = (struct document){.status = status, .type = type};
    buffer_text(&document->body, text ? text : "{}");
    buffer_text(&document->body, "\n");
}

void document_json(struct document *document, unsigned status, json_t *object)
{
    set(document, status, "application/json", object);
}

/* A detail that was cut in the middle of a character is mended. */
static json_t *problem(unsigned status, const char *detail)
{
    OWNED char *clean = utf8_clean(detail, strlen(detail));
    return json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title_of(status), "status",
                     (int)status, "detail", clean);
}

void document_problem(struct document *document, unsigned status, const char *detail, ...)
{
    char text[FAULT_TEXT];
    va_list arguments;
    va_start(arguments, detail);
    vsnprintf(text, sizeof text, detail, arguments);
    va_end(arguments);
    set(document, status, PROBLEM_TYPE, problem(status, text));
}

void document_problem_at(struct document *document, unsigned status, const char *pointer, const char *detail)
{
    json_t *object = problem(status, detail);
    json_object_set_new(object, "pointer", json_string(pointer));
    set(document, status, PROBLEM_TYPE, object);
}

void document_free(struct document *document)
{
    buffer_free(&document->body);
}

/* --- sending --- */

/* Numbers that move while nothing happens: with them no two answers about agents would be the same. */
static const char *const moving[] = {"\"uptime_seconds\": ", "\"memory_bytes\": "};

/* The place behind the key of the next such number; the end: there is none. */
static const char *next_moving(const char *text, const char *end)
{
    const char *next = end;
    for (size_t i = 0; i < sizeof moving / sizeof *moving; i++) {
        size_t length = strlen(moving[i]);
        const char *found = memmem(text, (size_t)(next - text), moving[i], length);
        next = found ? found + length : next;
    }
    return next;
}

static void set_etag(const struct buffer *body, char etag[24])
{
    const char *text = body->data, *end = text + body->length;
    unsigned long long hash = 0;
    while (text < end) {
        const char *next = next_moving(text, end);
        hash = hash * 31 + names_hash(text, (size_t)(next - text));
        text = next + strspn(next, "0123456789");
    }
    snprintf(etag, 24, "W/\"%016llx\"", hash);
}

static struct MHD_Response *response_of(struct document *document, const char *etag)
{
    char seconds[16];
    size_t length = document->body.length;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, buffer_take(&document->body), MHD_RESPMEM_MUST_FREE);
    if (!response)
        return NULL;
    snprintf(seconds, sizeof seconds, "%u", document->retry_after);
    const char *const headers[][2] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, document->type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {MHD_HTTP_HEADER_ETAG, *etag ? etag : NULL},
        {MHD_HTTP_HEADER_ALLOW, *document->allow ? document->allow : NULL},
        {MHD_HTTP_HEADER_LOCATION, *document->location ? document->location : NULL},
        {MHD_HTTP_HEADER_WWW_AUTHENTICATE, document->challenge},
        {MHD_HTTP_HEADER_RETRY_AFTER, document->retry_after ? seconds : NULL},
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (headers[i][1])
            MHD_add_response_header(response, headers[i][0], headers[i][1]);
    return response;
}

void document_make_ready(struct document *document, struct ready_document *ready)
{
    *ready = (struct ready_document){.status = document->status};
    if (document->tagged && document->status == MHD_HTTP_OK)
        set_etag(&document->body, ready->etag);
    ready->response = response_of(document, ready->etag);
}

void ready_document_free(struct ready_document *ready)
{
    if (ready->response)
        MHD_destroy_response(ready->response);
    *ready = (struct ready_document){0};
}

bool document_is_known(struct MHD_Connection *connection, const char *etag)
{
    const char *known =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    return *etag && known && (strcmp(known, "*") == 0 || strstr(known, strchr(etag, '"')));
}

static enum MHD_Result send_unchanged(struct MHD_Connection *connection, const char *etag)
{
    struct document nothing = {.status = MHD_HTTP_NOT_MODIFIED};
    struct MHD_Response *response = response_of(&nothing, etag);
    if (!response)
        return MHD_NO;
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_NOT_MODIFIED, response);
    MHD_destroy_response(response);
    return queued;
}

enum MHD_Result ready_document_send(struct MHD_Connection *connection, const struct ready_document *ready)
{
    if (!ready->response)
        return MHD_NO; /* the connection ends */
    return document_is_known(connection, ready->etag)
               ? send_unchanged(connection, ready->etag)
               : MHD_queue_response(connection, ready->status, ready->response);
}

enum MHD_Result document_send(struct MHD_Connection *connection, struct document *document)
{
    struct ready_document ready;
    document_make_ready(document, &ready);
    enum MHD_Result queued = ready_document_send(connection, &ready);
    ready_document_free(&ready);
    return queued;
}
