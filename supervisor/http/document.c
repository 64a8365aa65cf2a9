#include "supervisor/http/document.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/fault.h"
#include "common/memory.h"

static const struct {
    unsigned status;
    const char *title;
} titles[] = {
    {400, "Bad Request"},        {401, "Unauthorized"},        {404, "Not Found"},
    {405, "Method Not Allowed"}, {421, "Misdirected Request"}, {503, "Service Unavailable"},
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

void document_problem(struct document *document, unsigned status, const char *detail, ...)
{
    char text[FAULT_TEXT];
    va_list arguments;
    va_start(arguments, detail);
    vsnprintf(text, sizeof text, detail, arguments);
    va_end(arguments);
    set(document, status, "application/problem+json",
        json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title_of(status), "status",
                  (int)status, "detail", text));
}

void document_free(struct document *document)
{
    buffer_free(&document->body);
}
