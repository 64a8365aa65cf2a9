#include "supervisor/http/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"

enum { VALUE_MAX = 512 }; /* bytes */

struct reading {
    const struct field *fields;
    struct document *problem;
    json_t *object; /* NULL: a parameter was refused */
};

/* The value without its escapes (a form's "+" is a blank); NULL: no text. Caller frees. */
static char *decoded(const char *value)
{
    char *text = memory_text(value ? value : "");
    for (char *at = text; *at; at++)
        *at = *at == '+' ? ' ' : *at;
    size_t length = MHD_http_unescape(text);
    if (length <= VALUE_MAX && length == strlen(text) && utf8_valid(text, length))
        return text;
    free(text);
    return NULL;
}

static json_t *count_of(const char *text, long long least)
{
    char *end = NULL;
    errno = 0;
    long long count = strtoll(text, &end, 10);
    return *text && strspn(text, "0123456789") == strlen(text) && errno == 0 && count >= least
               ? json_integer(count)
               : NULL;
}

static enum MHD_Result refuse(struct reading *reading, const char *name, const char *why)
{
    document_problem(reading->problem, 400, "%s%s%s", name, *name ? ": " : "", why);
    json_decref(reading->object);
    reading->object = NULL;
    return MHD_NO;
}

static enum MHD_Result take(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct reading *reading = context;
    const struct field *field = reading->fields;
    while (field && field->name && strcmp(field->name, name) != 0)
        field++;
    if (!field || !field->name)
        return refuse(reading, "", "the path has a parameter that it does not take");
    OWNED char *text = decoded(value);
    json_t *read = !text                       ? NULL
                   : field->kind == FIELD_TEXT ? json_string(text)
                                               : count_of(text, field->kind == FIELD_SOME);
    if (!read || json_object_get(reading->object, name)) {
        json_decref(read);
        return refuse(reading, field->name, field->says);
    }
    json_object_set_new(reading->object, name, read);
    return MHD_YES;
}

json_t *query_read(struct MHD_Connection *connection, const struct field *fields, struct document *problem)
{
    struct reading reading = {.fields = fields, .problem = problem, .object = json_object()};
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take, &reading);
    return reading.object;
}
