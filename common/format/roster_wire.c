/* One agent's definition as JSON, and from that as YAML for people, by the same table that reads agents.yaml. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/format/roster_schema.h"
#include "common/format/yamldoc.h"
#include "common/memory.h"

static json_t *encode_record(const struct schema *schema, const void *record);

static json_t *encode_texts(const struct text_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *encode_list(const struct field *field, const void *record)
{
    const char *records = *(char *const *)((const char *)record + field->offset);
    size_t count = *(const size_t *)((const char *)record + field->companion);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, encode_record(field->schema, records + i * field->schema->size));
    return array;
}

static json_t *encode_word(const struct field *field, const void *record)
{
    size_t count, word = field_word_get(field, record);
    const char *const *words = field_words(field->kind, &count);
    return word < count ? json_string(words[word]) : NULL;
}

/* NULL: the field is unset, which stands for something that no word can say: everybody, what persona.md says, no command. */
static json_t *encode_field(const struct field *field, const void *record)
{
    const void *place = (const char *)record + field->offset;
    const char *text;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_NAME:
    case FIELD_CRON:
        text = *(char *const *)place;
        return text && *text ? json_string(text) : NULL;
    case FIELD_AGENTS:
        return field->companion && *(const bool *)((const char *)record + field->companion)
                   ? NULL
                   : encode_texts(place);
    case FIELD_ARGUMENTS:
        return ((const struct text_list *)place)->count ? encode_texts(place) : NULL;
    case FIELD_TEXTS:
        return encode_texts(place);
    case FIELD_INTEGER:
        return json_integer(*(const int64_t *)place);
    case FIELD_POSITIVE:
    case FIELD_AMOUNT:
        return json_real(*(const double *)place);
    case FIELD_BOOLEAN:
        return json_boolean(*(const bool *)place);
    case FIELD_CLASS:
    case FIELD_METHOD:
    case FIELD_ACTION:
        return encode_word(field, record);
    case FIELD_GROUP:
        return encode_record(field->schema, record);
    case FIELD_LIST:
        return encode_list(field, record);
    case FIELD_MAP: /* no agent has one */
    case FIELD_DEFAULTS:
        break;
    }
    return NULL;
}

static json_t *encode_record(const struct schema *schema, const void *record)
{
    json_t *object = json_object();
    for (size_t i = 0; i < schema->count; i++) {
        json_t *value = encode_field(&schema->fields[i], record);
        if (value)
            json_object_set_new(object, schema->fields[i].name, value);
    }
    return object;
}

void roster_encode(const struct roster_agent *agent, struct buffer *out)
{
    json_auto_t *object = encode_record(&roster_agent_schema, agent);
    OWNED char *text = json_dumps(object, JSON_COMPACT);
    buffer_text(out, text ? text : "");
}

static void write_number(double number, struct buffer *out)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) { /* the shortest that reads back as the same */
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (!(strtod(text, NULL) < number) && !(strtod(text, NULL) > number))
            break;
    }
    buffer_text(out, text);
}

static void write_value(json_t *value, struct buffer *out)
{
    const char *key, *gap = "";
    json_t *item;
    size_t i;
    if (json_is_string(value)) {
        yaml_write_scalar(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        buffer_print(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        write_number(json_real_value(value), out);
    } else if (json_is_boolean(value)) {
        buffer_text(out, json_is_true(value) ? "true" : "false");
    } else if (json_is_array(value)) {
        buffer_text(out, "[");
        json_array_foreach(value, i, item)
        {
            buffer_text(out, i ? ", " : "");
            write_value(item, out);
        }
        buffer_text(out, "]");
    } else {
        buffer_text(out, "{");
        json_object_foreach(value, key, item)
        {
            buffer_print(out, "%s%s: ", gap, key);
            write_value(item, out);
            gap = ", ";
        }
        buffer_text(out, "}");
    }
}

/* A definition without what each agent has that says nothing of it. */
static void leave_out_ordinary(json_t *object)
{
    struct roster_agent agent;
    roster_agent_start(&agent);
    json_auto_t *ordinary = encode_record(&roster_agent_schema, &agent);
    const char *key;
    json_t *value;
    json_object_foreach(ordinary, key, value) if (json_equal(json_object_get(object, key), value))
        json_object_del(object, key);
    schema_clear(&roster_agent_schema, &agent);
}

void roster_write(const struct roster_agent *agent, enum roster_form form, unsigned indent, bool whole,
                  struct buffer *out)
{
    json_auto_t *object = encode_record(&roster_agent_schema, agent);
    const char *key, *mark = "- ";
    json_t *value;
    if (!whole)
        leave_out_ordinary(object);
    if (form == ROSTER_FLOW) {
        write_value(object, out);
        return;
    }
    json_object_foreach(object, key, value)
    {
        buffer_print(out, "%*s%s%s: ", (int)indent, "", mark, key);
        write_value(value, out);
        buffer_text(out, "\n");
        mark = "  ";
    }
}

static bool decode_record(const struct schema *schema, const json_t *object, void *record);

static bool decode_text(const json_t *value, char **place)
{
    if (!json_is_string(value))
        return false;
    free(*place);
    *place = memory_text(json_string_value(value));
    return true;
}

static bool decode_texts(const json_t *value, struct text_list *list)
{
    if (!json_is_array(value))
        return false;
    list->items = memory_new(json_array_size(value), sizeof *list->items);
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!decode_text(json_array_get(value, i), &list->items[i]))
            return false;
        list->count++;
    }
    return true;
}

static bool decode_list(const struct field *field, const json_t *value, void *record)
{
    if (!json_is_array(value))
        return false;
    char *records = memory_new(json_array_size(value), field->schema->size);
    *(void **)((char *)record + field->offset) = records;
    size_t *count = (size_t *)((char *)record + field->companion);
    while (*count < json_array_size(value)) {
        size_t i = (*count)++;
        if (!decode_record(field->schema, json_array_get(value, i), records + i * field->schema->size))
            return false;
    }
    return true;
}

static bool decode_number(const struct field *field, const json_t *value, void *place)
{
    if (field->kind == FIELD_INTEGER && json_is_integer(value))
        *(int64_t *)place = json_integer_value(value);
    else if (field->kind == FIELD_POSITIVE && json_is_number(value) && json_number_value(value) > 0)
        *(double *)place = json_number_value(value);
    else if (field->kind == FIELD_AMOUNT && json_is_number(value) && json_number_value(value) >= 0)
        *(double *)place = json_number_value(value);
    else if (field->kind == FIELD_BOOLEAN && json_is_boolean(value))
        *(bool *)place = json_is_true(value);
    else
        return false;
    return true;
}

static bool decode_field(const struct field *field, const json_t *value, void *record)
{
    void *place = (char *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_NAME:
    case FIELD_CRON:
        return decode_text(value, place);
    case FIELD_AGENTS:
        if (field->companion)
            *(bool *)((char *)record + field->companion) = false;
        /* fall through */
    case FIELD_TEXTS:
    case FIELD_ARGUMENTS:
        return decode_texts(value, place);
    case FIELD_INTEGER:
    case FIELD_POSITIVE:
    case FIELD_AMOUNT:
    case FIELD_BOOLEAN:
        return decode_number(field, value, place);
    case FIELD_CLASS:
    case FIELD_METHOD:
    case FIELD_ACTION:
        return json_is_string(value) && field_word_set(field, record, json_string_value(value));
    case FIELD_GROUP:
        return decode_record(field->schema, value, record);
    case FIELD_LIST:
        return decode_list(field, value, record);
    case FIELD_MAP: /* no agent has one */
    case FIELD_DEFAULTS:
        break;
    }
    return false;
}

static bool decode_record(const struct schema *schema, const json_t *object, void *record)
{
    if (!json_is_object(object))
        return false;
    for (size_t i = 0; i < schema->count; i++) {
        const struct field *field = &schema->fields[i];
        const json_t *value = json_object_get(object, field->name);
        if (value ? !decode_field(field, value, record) : (field->flags & REQUIRED) != 0)
            return false;
    }
    return true;
}

struct roster_agent *roster_decode(const char *text, size_t length)
{
    json_auto_t *object = json_loadb(text, length, 0, NULL);
    struct roster_agent *agent = memory_new(1, sizeof *agent);
    roster_agent_start(agent);
    if (decode_record(&roster_agent_schema, object, agent))
        return agent;
    roster_agent_free(agent);
    return NULL;
}
