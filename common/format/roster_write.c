/* An agent's definition back into YAML, by the tables that it is read by. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/roster_schema.h"
#include "common/format/yamldoc.h"
#include "common/memory.h"

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

static void write_texts(const struct text_list *list, struct buffer *out)
{
    buffer_text(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        buffer_text(out, i ? ", " : "");
        yaml_write_scalar(out, list->items[i]);
    }
    buffer_text(out, "]");
}

static void write_value(const struct field *field, const void *record, struct buffer *out);

/* What is unset stands for something that no word can say: everybody, what persona.md says, no command. */
static bool is_unset(const struct field *field, const void *record)
{
    const char *base = record;
    size_t count;
    if (field->kind == FIELD_AGENTS)
        return field->companion && *(const bool *)(base + field->companion);
    if (field->kind == FIELD_TEXT)
        return **(char *const *)(base + field->offset) == '\0';
    if (field->kind == FIELD_ARGUMENTS)
        return ((const struct text_list *)(base + field->offset))->count == 0;
    if (field->kind != FIELD_CLASS)
        return false;
    field_words(FIELD_CLASS, &count);
    return field_word_get(field, record) >= count;
}

static void write_group(const struct schema *schema, const void *record, struct buffer *out)
{
    bool first = true;
    buffer_text(out, "{");
    for (size_t i = 0; i < schema->count; i++) {
        if (is_unset(&schema->fields[i], record))
            continue;
        buffer_print(out, "%s%s: ", first ? "" : ", ", schema->fields[i].name);
        write_value(&schema->fields[i], record, out);
        first = false;
    }
    buffer_text(out, "}");
}

static void write_list(const struct field *field, const void *record, struct buffer *out)
{
    const char *base = record;
    const char *const *items = (const char *const *)(base + field->offset);
    size_t count = *(const size_t *)(base + field->companion);
    buffer_text(out, "[");
    for (size_t i = 0; i < count; i++) {
        buffer_text(out, i ? ", " : "");
        write_group(field->schema, *items + i * field->schema->size, out);
    }
    buffer_text(out, "]");
}

static void write_value(const struct field *field, const void *record, struct buffer *out)
{
    const char *place = (const char *)record + field->offset;
    size_t count;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_NAME:
    case FIELD_CRON:
        yaml_write_scalar(out, *(char *const *)place);
        break;
    case FIELD_TEXTS:
    case FIELD_ARGUMENTS:
    case FIELD_AGENTS:
        write_texts((const struct text_list *)place, out);
        break;
    case FIELD_INTEGER:
        buffer_print(out, "%lld", (long long)*(const int64_t *)place);
        break;
    case FIELD_POSITIVE:
    case FIELD_AMOUNT:
        write_number(*(const double *)place, out);
        break;
    case FIELD_BOOLEAN:
        buffer_text(out, *(const bool *)place ? "true" : "false");
        break;
    case FIELD_CLASS:
    case FIELD_METHOD:
    case FIELD_ACTION:
        buffer_text(out, field_words(field->kind, &count)[field_word_get(field, record)]);
        break;
    case FIELD_GROUP:
        write_group(field->schema, record, out);
        break;
    case FIELD_LIST:
        write_list(field, record, out);
        break;
    case FIELD_MAP: /* no agent has one */
    case FIELD_DEFAULTS:
        break;
    }
}

/* Whether it is as it is when nobody says anything. */
static bool is_ordinary(const struct field *field, const void *record, const void *ordinary)
{
    OWNED_BUFFER struct buffer value = {0}, usual = {0};
    if (field->flags & REQUIRED || is_unset(field, ordinary))
        return false;
    write_value(field, record, &value);
    write_value(field, ordinary, &usual);
    return value.length == usual.length && memcmp(value.data, usual.data, value.length) == 0;
}

void roster_write(const struct roster_agent *agent, enum roster_form form, unsigned indent, bool whole,
                  struct buffer *out)
{
    struct roster_agent ordinary;
    bool first = true;
    roster_agent_start(&ordinary);
    buffer_text(out, form == ROSTER_FLOW ? "{" : "");
    for (size_t i = 0; i < roster_agent_schema.count; i++) {
        const struct field *field = &roster_agent_schema.fields[i];
        if (is_unset(field, agent) || (!whole && is_ordinary(field, agent, &ordinary)))
            continue;
        if (form == ROSTER_FLOW)
            buffer_print(out, "%s%s: ", first ? "" : ", ", field->name);
        else
            buffer_print(out, "%*s%s%s: ", (int)indent, "", first ? "- " : "  ", field->name);
        write_value(field, agent, out);
        buffer_text(out, form == ROSTER_FLOW ? "" : "\n");
        first = false;
    }
    buffer_text(out, form == ROSTER_FLOW ? "}" : "");
    schema_clear(&roster_agent_schema, &ordinary);
}
