/* One agent's definition as JSON, by the same table that reads agents.yaml. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/roster_schema.h"
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

/* NULL: nothing to say. */
static json_t *encode_field(const struct field *field, const void *record)
{
    const void *place = (const char *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_NAME:
    case FIELD_CRON:
        return json_string(*(char *const *)place);
    case FIELD_AGENTS:
        if (field->companion && *(const bool *)((const char *)record + field->companion))
            return NULL;
        /* fall through */
    case FIELD_TEXTS:
    case FIELD_ARGUMENTS:
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
        return json_integer((json_int_t)field_word_get(field, record));
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
    json_t *object = encode_record(&roster_agent_schema, agent);
    OWNED char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    buffer_text(out, text ? text : "");
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

static bool decode_word(const struct field *field, const json_t *value, void *record)
{
    size_t count;
    field_words(field->kind, &count);
    /* One past the last word is "unset", which a class may be. */
    json_int_t word = json_integer_value(value),
               most = (json_int_t)count - (field->kind == FIELD_CLASS ? 0 : 1);
    if (!json_is_integer(value) || word < 0 || word > most)
        return false;
    field_word_set(field, record, (size_t)word);
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
        return decode_word(field, value, record);
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
    json_t *object = json_loadb(text, length, 0, NULL);
    struct roster_agent *agent = memory_new(1, sizeof *agent);
    roster_agent_start(agent);
    bool good = decode_record(&roster_agent_schema, object, agent);
    json_decref(object);
    if (good)
        return agent;
    roster_agent_free(agent);
    return NULL;
}
