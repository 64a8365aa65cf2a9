#include "supervisor/http/document.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/memory.h"
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
