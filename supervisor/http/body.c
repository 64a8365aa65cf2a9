#include "supervisor/http/body.h"

#include <string.h>

#include "common/format/envelope.h"
#include "common/memory.h"

static const char *const kinds[] = {[FIELD_TEXT] = "a text",
                                    [FIELD_COUNT] = "a whole number from 0 on",
                                    [FIELD_SOME] = "a whole number from 1 on",
                                    [FIELD_PRIORITY] = "high, normal or low",
                                    [FIELD_FLAG] = "true or false"};

static bool has_name(const struct field *field, const char *name)
{
    return strcmp(field->name, name) == 0 || (field->also && strcmp(field->also, name) == 0);
}

/* The field that the object means by the name. NULL: there is none, or the object has the field under both names. */
static const struct field *find(const struct field *fields, const json_t *object, const char *name)
{
    for (; fields && fields->name; fields++)
        if (has_name(fields, name)) {
            bool twice = strcmp(fields->name, name) != 0 && json_object_get(object, fields->name);
            return twice ? NULL : fields;
        }
    return NULL;
}

static bool is_of_kind(const json_t *value, enum field_kind kind)
{
    enum priority priority;
    if (kind == FIELD_COUNT || kind == FIELD_SOME)
        return json_is_integer(value) && json_integer_value(value) >= (kind == FIELD_SOME);
    if (kind == FIELD_FLAG)
        return json_is_boolean(value);
    return json_is_string(value) &&
           (kind == FIELD_TEXT || priority_parse(json_string_value(value), &priority));
}

/* RFC 6901 writes ~ and / of a name as ~0 and ~1. */
static char *pointer_to(const char *name)
{
    struct buffer pointer = {0};
    buffer_text(&pointer, "#/");
    for (; *name; name++)
        if (*name == '~' || *name == '/')
            buffer_text(&pointer, *name == '~' ? "~0" : "~1");
        else
            buffer_add(&pointer, name, 1);
    return buffer_take(&pointer);
}

static void refuse(struct document *problem, const char *name, const char *why, const char *more)
{
    OWNED char *pointer = pointer_to(name);
    OWNED char *detail = memory_print("%s%s", why, more);
    document_problem_at(problem, 400, pointer, detail);
}

/* A field under its other name gets its own name. */
static void rename_fields(json_t *object, const struct field *fields)
{
    for (; fields && fields->name; fields++) {
        json_t *value = fields->also ? json_object_get(object, fields->also) : NULL;
        if (value) {
            json_object_set(object, fields->name, value);
            json_object_del(object, fields->also);
        }
    }
}

static bool check(json_t *object, const struct field *fields, struct document *problem)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct field *field = find(fields, object, name);
        if (!field)
            refuse(problem, name, "the body has a field that this path does not take", "");
        else if (!is_of_kind(value, field->kind))
            refuse(problem, name, "this field is ", kinds[field->kind]);
        if (!field || !is_of_kind(value, field->kind))
            return false;
    }
    rename_fields(object, fields);
    for (; fields && fields->name; fields++)
        if (fields->required && !json_object_get(object, fields->name)) {
            refuse(problem, fields->name, "this field is missing: ", fields->says);
            return false;
        }
    return true;
}

json_t *body_read(const char *bytes, size_t length, const struct field *fields, struct document *problem)
{
    json_error_t error;
    json_t *object = length ? json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error) : json_object();
    if (!object)
        document_problem(problem, 400, "the body is no JSON: line %d, column %d: %s", error.line,
                         error.column, error.text);
    else if (!json_is_object(object))
        document_problem_at(problem, 400, "#", "the body is a JSON object");
    else if (check(object, fields, problem))
        return object;
    json_decref(object);
    return NULL;
}
