#include "common/format/roster_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/cron.h"
#include "common/format/did_you_mean.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"

/* The message becomes one line of valid text, whatever was quoted in it. */
static char *one_line(const char *sentence)
{
    char *line = utf8_clean(sentence, strlen(sentence));
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    return line;
}

bool reader_fault(struct roster_reader *reader, unsigned line, unsigned column, const char *format, ...)
{
    if (reader->silent || reader->fault_count++ >= ROSTER_FAULTS_MAX)
        return false;
    va_list arguments;
    va_start(arguments, format);
    struct fault fault;
    vsnprintf(fault.text, sizeof fault.text, format, arguments);
    va_end(arguments);
    reader->faults[reader->fault_count - 1] =
        (struct roster_fault){.line = line, .column = column, .sentence = one_line(fault.text)};
    return false;
}

static int compare_place(const void *a, const void *b)
{
    const struct roster_fault *left = a, *right = b;
    return left->line != right->line       ? (left->line > right->line) - (left->line < right->line)
           : left->column != right->column ? (left->column > right->column) - (left->column < right->column)
                                           : strcmp(left->sentence, right->sentence);
}

void reader_print_faults(struct roster_reader *reader, const char *name, struct buffer *out)
{
    size_t listed = reader->fault_count < ROSTER_FAULTS_MAX ? reader->fault_count : ROSTER_FAULTS_MAX;
    qsort(reader->faults, listed, sizeof *reader->faults, compare_place);
    for (size_t i = 0; i < listed; i++) {
        const struct roster_fault *fault = &reader->faults[i];
        if (i == 0 || compare_place(fault - 1, fault) != 0)
            buffer_print(out, "%s:%u:%u: %s\n", name, fault->line, fault->column, fault->sentence);
    }
    if (reader->fault_count > listed)
        buffer_print(out, "%s:1:1: %zu more faults are not listed\n", name, reader->fault_count - listed);
    for (size_t i = 0; i < listed; i++)
        free(reader->faults[i].sentence);
    reader->fault_count = 0;
}

#define FAULT(reader, node, ...) reader_fault(reader, (node)->line, (node)->column, __VA_ARGS__)

static const char *shown(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR ? node->text : node->kind == YAML_SEQUENCE ? "a list" : "a mapping";
}

/* Text is what YAML takes for text: 5, true and null without quotes are something else. */
static bool is_text(struct roster_reader *reader, const char *what, const struct yaml_node *node)
{
    double number;
    bool truth;
    if (node->kind == YAML_MAPPING)
        return FAULT(reader, node, "%s must be text, not a mapping; text that contains ': ' needs quotes",
                     what);
    if (node->kind == YAML_SEQUENCE)
        return FAULT(reader, node, "%s must be text, not a list", what);
    if (yaml_number(node, &number) || yaml_boolean(node, &truth) || yaml_is_null(node))
        return FAULT(reader, node, "%s must be text; to mean the text, write \"%s\" in quotes", what,
                     node->text);
    if (node->text[strspn(node->text, " \t\r\n")] == '\0')
        return FAULT(reader, node, "%s is empty", what);
    return true;
}

static bool is_name(struct roster_reader *reader, const char *what, const struct yaml_node *node)
{
    if (!is_text(reader, what, node))
        return false;
    if (!names_agent(node->text))
        return FAULT(reader, node,
                     "%s '%.80s' is not allowed: 1 to 64 of a-z 0-9 - _, starting with a letter", what,
                     node->text);
    return true;
}

static bool is_node(struct roster_reader *reader, const char *what, const struct yaml_node *node)
{
    return is_text(reader, what, node) &&
           (names_node(node->text) ||
            FAULT(reader, node, "%s '%.80s' is not allowed: 1 to 64 of a-z A-Z 0-9 - _", what, node->text));
}

static int compare_name(const void *key, const void *element)
{
    return strcmp(key, (*(const struct yaml_node *const *)element)->text);
}

static const char *agent_word(const void *context, size_t i)
{
    return ((const struct roster_reader *)context)->agents[i]->text;
}

static bool is_agent(struct roster_reader *reader, const char *what, const struct yaml_node *node)
{
    if (!is_text(reader, what, node))
        return false;
    if (reader->agent_count > 0 &&
        bsearch(node->text, reader->agents, reader->agent_count, sizeof *reader->agents, compare_name))
        return true;
    bool heard = !reader->silent && reader->fault_count < ROSTER_FAULTS_MAX;
    const char *near = heard ? did_you_mean(node->text, agent_word, reader, reader->agent_count) : NULL;
    return near ? FAULT(reader, node, "%s names '%.80s', and there is no such agent; did you mean '%s'?",
                        what, node->text, near)
                : FAULT(reader, node, "%s names '%.80s', and there is no such agent", what, node->text);
}

static bool is_argument(struct roster_reader *reader, const char *what, const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR || FAULT(reader, node, "%s must be a list of words, not of lists", what);
}

static void read_texts(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                       struct text_list *list)
{
    if (node->kind != YAML_SEQUENCE) {
        FAULT(reader, node, "%s must be a list, such as [\"…\"], not %s", field->name,
              node->kind == YAML_MAPPING ? "a mapping" : "one text");
        return;
    }
    bool (*check)(struct roster_reader *, const char *, const struct yaml_node *) =
        field->kind == FIELD_AGENTS      ? is_agent
        : field->kind == FIELD_ARGUMENTS ? is_argument
                                         : is_text;
    text_list_free(list);
    list->items = memory_new(node->count, sizeof *list->items);
    for (const struct yaml_node *item = node->child; item; item = item->next)
        if (check(reader, field->name, item))
            list->items[list->count++] = memory_text(item->text);
}

static void read_integer(struct roster_reader *reader, const struct field *field,
                         const struct yaml_node *node, int64_t *place)
{
    int64_t value;
    double number;
    if (yaml_integer(node, &value) && value >= field->least && value <= field->most)
        *place = value;
    else if (!yaml_number(node, &number))
        FAULT(reader, node, "%s must be a whole number, not '%.80s'%s", field->name, shown(node),
              node->kind == YAML_SCALAR && node->quoted ? " in quotes" : "");
    else
        FAULT(reader, node, "%s must be a whole number from %" PRId64 " to %" PRId64 ", not %.80s",
              field->name, field->least, field->most, node->text);
}

static void read_real(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                      double *place)
{
    double value;
    bool positive = field->kind == FIELD_POSITIVE;
    if (!yaml_number(node, &value))
        FAULT(reader, node, "%s must be a number, not '%.80s'", field->name, shown(node));
    else if (value < 0 || (positive && value <= 0))
        FAULT(reader, node, "%s must be %s, not %.80s", field->name,
              positive ? "greater than 0" : "0 or greater", node->text);
    else
        *place = value;
}

static void read_word(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                      void *record)
{
    size_t count;
    const char *const *words = field_words(field->kind, &count);
    if (node->kind == YAML_SCALAR && field_word_set(field, record, node->text))
        return;
    FAULT(reader, node,
          count == 2 ? "%s must be %s or %s%s, not '%.80s'" : "%s must be %s, %s or %s, not '%.80s'",
          field->name, words[0], words[1], count == 2 ? "" : words[2], shown(node));
}

static bool is_cron(struct roster_reader *reader, const char *what, const struct yaml_node *node)
{
    struct fault fault;
    struct cron cron;
    return is_text(reader, what, node) &&
           (cron_parse(&cron, node->text, &fault) || FAULT(reader, node, "cron: %s", fault.text));
}

static void read_text(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                      char **place)
{
    bool good = field->flags & OF_NODE      ? is_node(reader, field->name, node)
                : field->kind == FIELD_NAME ? is_name(reader, field->name, node)
                : field->kind == FIELD_CRON ? is_cron(reader, field->name, node)
                                            : is_text(reader, field->name, node);
    if (!good)
        return;
    free(*place);
    *place = memory_text(node->text);
}

/* Defaults were complained about once, where they stand; here they only fill in. */
static void fill_in(struct roster_reader *reader, struct roster_agent *agent, const struct yaml_node *node)
{
    agent->line = node->line;
    bool silent = reader->silent;
    reader->silent = true;
    if (reader->keep)
        reader_record(reader, &roster_keep_schema, reader->keep, agent);
    if (reader->defaults)
        reader_record(reader, &roster_agent_schema, reader->defaults, agent);
    reader->silent = silent;
}

/* A key of reward_audit as it holds for the agent: its own, else everybody's. */
static const struct yaml_node *audit_node(const struct roster_reader *reader, const struct yaml_node *agent,
                                          const char *key)
{
    const struct yaml_node *own = yaml_get(yaml_get(agent, "reward_audit"), key);
    return own ? own : yaml_get(yaml_get(reader->defaults, "reward_audit"), key);
}

/* Faults that only the merged definition can tell. A method that is named is meant: `enabled` may be left out then. */
static void settle_audit(struct roster_reader *reader, struct roster_agent *agent,
                         const struct yaml_node *node)
{
    const struct yaml_node *method = audit_node(reader, node, "method");
    if (!method || yaml_is_null(method))
        return;
    if (!audit_node(reader, node, "enabled"))
        agent->reward_audit.enabled = true;
    const struct text_list *command = &agent->reward_audit.command;
    const struct yaml_node *place = audit_node(reader, node, "command");
    agent->reward_audit.line = place ? place->line : 0;
    agent->reward_audit.column = place ? place->column : 0;
    if (agent->reward_audit.method == AUDIT_COMMAND && (command->count == 0 || *command->items[0] == '\0'))
        FAULT(reader, method,
              "method 'command' needs a command, such as command: [/data/tools/check, --strict]");
}

/* Room for count records in the place of the field's former records; the record owns them. */
static char *new_records(const struct field *field, size_t count, void *record)
{
    field_list_clear(field, record);
    char *records = memory_new(count, field->schema->size);
    *(void **)((char *)record + field->offset) = records;
    return records;
}

static void *next_record(const struct field *field, char *records, void *record)
{
    size_t *count = (size_t *)((char *)record + field->companion);
    void *place = records + (*count)++ * field->schema->size;
    if (field->schema->start)
        field->schema->start(place);
    return place;
}

static void read_list(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                      void *record)
{
    const struct schema *schema = field->schema;
    if (node->kind != YAML_SEQUENCE) {
        FAULT(reader, node, "%s must be a list, each entry starting with '- '", field->name);
        return;
    }
    char *records = new_records(field, node->count, record);
    for (const struct yaml_node *item = node->child; item; item = item->next) {
        void *place = next_record(field, records, record);
        if (schema == &roster_agent_schema)
            fill_in(reader, place, item);
        reader_record(reader, schema, item, place);
        if (schema == &roster_agent_schema)
            settle_audit(reader, place, item);
    }
}

/* {KEY: {…}, KEY: {…}} */
static void read_map(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                     void *record)
{
    const struct schema *schema = field->schema;
    if (node->kind != YAML_MAPPING) {
        FAULT(reader, node, "%s must be a mapping, a line 'name: {…}' for each", field->name);
        return;
    }
    char *records = new_records(field, node->count, record);
    for (const struct yaml_node *item = node->child; item; item = item->next) {
        void *place = next_record(field, records, record);
        *(char **)place = memory_text(item->key);
        reader_record(reader, schema, item, place);
    }
}

static void read_defaults(struct roster_reader *reader, const struct field *field,
                          const struct yaml_node *node)
{
    struct roster_agent scratch;
    roster_agent_start(&scratch);
    reader_record(reader, field->schema, node, &scratch);
    schema_clear(&roster_agent_schema, &scratch);
}

static void read_field(struct roster_reader *reader, const struct field *field, const struct yaml_node *node,
                       void *record)
{
    void *place = (char *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_NAME:
    case FIELD_CRON:
        read_text(reader, field, node, place);
        break;
    case FIELD_AGENTS:
        if (field->companion)
            *(bool *)((char *)record + field->companion) = false;
        /* fall through */
    case FIELD_TEXTS:
    case FIELD_ARGUMENTS:
        read_texts(reader, field, node, place);
        break;
    case FIELD_INTEGER:
        read_integer(reader, field, node, place);
        break;
    case FIELD_POSITIVE:
    case FIELD_AMOUNT:
        read_real(reader, field, node, place);
        break;
    case FIELD_BOOLEAN:
        if (!yaml_boolean(node, place))
            FAULT(reader, node, "%s must be true or false, not '%.80s'", field->name, shown(node));
        break;
    case FIELD_CLASS:
    case FIELD_METHOD:
    case FIELD_ACTION:
        read_word(reader, field, node, record);
        break;
    case FIELD_GROUP:
        reader_record(reader, field->schema, node, record);
        break;
    case FIELD_LIST:
        read_list(reader, field, node, record);
        break;
    case FIELD_MAP:
        read_map(reader, field, node, record);
        break;
    case FIELD_DEFAULTS:
        read_defaults(reader, field, node);
        break;
    }
}

static const char *field_word(const void *context, size_t i)
{
    return ((const struct schema *)context)->fields[i].name;
}

static void unknown_key(struct roster_reader *reader, const struct schema *schema,
                        const struct yaml_node *node)
{
    static const char no_break[] = "\xc2\xa0";
    if (strncmp(node->key, no_break, strlen(no_break)) == 0) {
        reader_fault(
            reader, node->key_line, node->key_column,
            "this line is indented with no-break spaces (U+00A0), which YAML takes for text: use plain "
            "ones");
        return;
    }
    const char *near = did_you_mean(node->key, field_word, schema, schema->count);
    if (near) {
        reader_fault(reader, node->key_line, node->key_column,
                     "unknown key '%.80s' in %s; did you mean '%s'?", node->key, schema->what, near);
        return;
    }
    OWNED_BUFFER struct buffer known = {0};
    for (size_t i = 0; i < schema->count; i++)
        buffer_print(&known, "%s%s", i ? ", " : "", schema->fields[i].name);
    reader_fault(reader, node->key_line, node->key_column, "unknown key '%.80s' in %s; there are: %s",
                 node->key, schema->what, known.data);
}

static const struct field *find_field(const struct schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return &schema->fields[i];
    return NULL;
}

/* "agent" of "an agent", to stand before a name. */
static const char *bare(const char *what)
{
    const char *blank = strchr(what, ' ');
    return blank ? blank + 1 : what;
}

static void check_required(struct roster_reader *reader, const struct schema *schema,
                           const struct yaml_node *node)
{
    const struct yaml_node *name = yaml_get(node, "name");
    const char *who = name && name->kind == YAML_SCALAR ? name->text : "";
    for (size_t i = 0; i < schema->count; i++) {
        const struct field *field = &schema->fields[i];
        const struct yaml_node *given = yaml_get(node, field->name);
        if ((field->flags & REQUIRED) && (!given || yaml_is_null(given)))
            FAULT(reader, node, "%s%s%.80s%s needs '%s'", *who ? bare(schema->what) : schema->what,
                  *who ? " '" : "", who, *who ? "'" : "", field->name);
    }
}

/* The values of repeated keys are read for their faults alone, before the others: the record is left with the values
 * that yaml_get finds, since the checks after it go through both side by side. */
static void read_values(struct roster_reader *reader, const struct schema *schema,
                        const struct yaml_node *node, bool repeated, void *record)
{
    for (const struct yaml_node *value = node->child; value; value = value->next) {
        if (value->repeated != repeated)
            continue;
        const struct field *field = find_field(schema, value->key);
        if (!field)
            unknown_key(reader, schema, value);
        else if ((field->flags & NOT_FOR_ALL) && schema->size == 0)
            reader_fault(reader, value->key_line, value->key_column, "'%s' belongs to one agent, not in %s",
                         field->name, schema->what);
        else if (!yaml_is_null(value))
            read_field(reader, field, value, record);
    }
}

void reader_record(struct roster_reader *reader, const struct schema *schema, const struct yaml_node *node,
                   void *record)
{
    if (node->kind != YAML_MAPPING) {
        FAULT(reader, node, "%s must be a mapping, lines of 'key: value', not %s", schema->what,
              node->kind == YAML_SEQUENCE ? "a list" : "one text");
        return;
    }
    read_values(reader, schema, node, true, record);
    read_values(reader, schema, node, false, record);
    if (schema->size > 0)
        check_required(reader, schema, node);
}
