#include "common/format/yamldoc.h"

#include <errno.h>
#include <math.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "common/memory.h"
#include "common/utf8.h"

/* A tree lives in a few chunks that are freed together: a reply block is parsed in each cycle, and its
 * hundred small pieces would otherwise be a hundred allocations. */
struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

struct document {
    struct yaml_node root; /* first, so that yaml_free finds its document */
    struct chunk *chunks;
};

#define NO_BREAK "\xc2\xa0"

enum { CHUNK_FIRST = 2048, CHUNK_MOST = 256 * 1024, FEW_KEYS = 16 };

struct level {
    struct yaml_node *node;
    struct yaml_node **tail;
    bool has_key; /* mapping: the key was read, its value comes next */
    char *key;
    unsigned key_line, key_column;
};

struct builder {
    yaml_parser_t parser;
    yaml_complaint *complaint;
    void *context;
    struct document *document;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth, nodes;
    bool duplicates, started;
};

static void *take(struct document *document, size_t size)
{
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct chunk *chunk = document->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t next = chunk ? chunk->size * 2 : CHUNK_FIRST;
        if (next > CHUNK_MOST)
            next = CHUNK_MOST;
        if (next < size)
            next = size;
        chunk = memory_grow(NULL, sizeof *chunk + next, 1);
        *chunk = (struct chunk){.next = document->chunks, .size = next};
        document->chunks = chunk;
    }
    void *bytes = chunk->bytes + chunk->used;
    chunk->used += size;
    return bytes;
}

/* One line, whatever was quoted in it. Always false. */
__attribute__((format(printf, 4, 5))) static bool complain(struct builder *builder, size_t line,
                                                           size_t column, const char *format, ...)
{
    struct fault fault;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault.text, sizeof fault.text, format, arguments);
    va_end(arguments);
    OWNED char *sentence = utf8_clean(fault.text, strlen(fault.text)); /* it may have been cut */
    for (char *c = sentence; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    builder->complaint(builder->context, (unsigned)line, (unsigned)column, sentence);
    return false;
}

#define COMPLAIN_AT(builder, mark, ...) complain(builder, (mark).line + 1, (mark).column + 1, __VA_ARGS__)

/* libyaml says what it met; people want to know what to do. */
static const char *advice(const char *problem)
{
    static const struct {
        const char *problem, *advice;
    } table[] = {
        {"mapping values are not allowed", "; a value that contains ': ' needs quotes around it"},
        {"cannot start any token", "; text that starts with @, ` or % needs quotes, and tabs cannot indent"},
        {"did not find expected alphabetic or numeric character",
         "; text that starts with * or & needs quotes, as in cron: \"* * * * *\""},
        {"could not find expected ':'", "; is a ':' or a quote missing here or on the line before?"},
        {"did not find expected key", "; does the indentation match the lines before?"},
        {"did not find expected '-' indicator", "; does the indentation match the lines before?"},
        {"did not find expected ',' or", "; is a bracket, a comma or a quote missing?"},
        {"found unexpected end of stream", "; a quote or bracket that was opened is not closed"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strstr(problem, table[i].problem))
            return table[i].advice;
    return "";
}

static void position(const char *text, size_t offset, size_t *line, size_t *column)
{
    *line = 1, *column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

/* The first line whose indentation holds a no-break space; 0: none does. */
static size_t no_break_indent(const char *text, size_t length)
{
    bool indent = true;
    size_t line = 1;
    for (size_t i = 0; i + 1 < length; i++) {
        if (indent && memcmp(text + i, NO_BREAK, strlen(NO_BREAK)) == 0)
            return line;
        indent = text[i] == '\n' || (indent && (text[i] == ' ' || text[i] == '-'));
        line += text[i] == '\n';
    }
    return 0;
}

static bool complain_parser(struct builder *builder, const char *text, size_t length)
{
    yaml_parser_t *parser = &builder->parser;
    const char *problem = parser->problem ? parser->problem : "it cannot be read as YAML";
    size_t no_break = no_break_indent(text, length);
    OWNED char *hint = no_break
                           ? memory_print("; line %zu is indented with no-break spaces (U+00A0), which YAML "
                                          "takes for text: use plain ones",
                                          no_break)
                           : memory_text(advice(problem));
    if (parser->error == YAML_READER_ERROR) {
        size_t line, column;
        position(text, parser->problem_offset < length ? parser->problem_offset : length, &line, &column);
        return complain(builder, line, column, "%s", problem);
    }
    return COMPLAIN_AT(builder, parser->problem_mark, "%s%s%s%s", parser->context ? parser->context : "",
                       parser->context ? ": " : "", problem, hint);
}

static char *scalar_text(struct builder *builder, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    OWNED char *clean = memchr(value, '\0', length) ? utf8_clean(value, length) : NULL;
    if (clean)
        length = strlen(clean);
    char *text = take(builder->document, length + 1);
    memcpy(text, clean ? clean : value, length + 1);
    return text;
}

/* The place of the next node: the root, an item, or a key's value. NULL: too many. */
static struct yaml_node *add_node(struct builder *builder, const yaml_event_t *event, enum yaml_kind kind)
{
    if (++builder->nodes > YAML_NODES_MAX) {
        COMPLAIN_AT(builder, event->start_mark, "more than 500000 values in one document");
        return NULL;
    }
    struct yaml_node *node = &builder->document->root;
    if (builder->depth > 0) {
        struct level *level = &builder->levels[builder->depth - 1];
        node = take(builder->document, sizeof *node);
        *node = (struct yaml_node){
            .key = level->key, .key_line = level->key_line, .key_column = level->key_column};
        *level->tail = node;
        level->tail = &node->next;
        level->node->count++;
        level->has_key = false;
        level->key = NULL;
    }
    node->kind = kind;
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    return node;
}

static bool key_expected(const struct builder *builder)
{
    const struct level *level = builder->depth ? &builder->levels[builder->depth - 1] : NULL;
    return level && level->node->kind == YAML_MAPPING && !level->has_key;
}

static bool on_scalar(struct builder *builder, const yaml_event_t *event)
{
    if (key_expected(builder)) {
        struct level *level = &builder->levels[builder->depth - 1];
        level->key = scalar_text(builder, event);
        level->key_line = (unsigned)event->start_mark.line + 1;
        level->key_column = (unsigned)event->start_mark.column + 1;
        level->has_key = true;
        return true;
    }
    struct yaml_node *node = add_node(builder, event, YAML_SCALAR);
    if (!node)
        return false;
    node->text = scalar_text(builder, event);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || event->data.scalar.tag;
    return true;
}

static bool on_open(struct builder *builder, const yaml_event_t *event, enum yaml_kind kind)
{
    if (key_expected(builder))
        return COMPLAIN_AT(builder, event->start_mark, "a key must be text, not a list or a mapping");
    if (builder->depth == YAML_DEPTH_MAX)
        return COMPLAIN_AT(builder, event->start_mark, "nested more than 64 deep");
    struct yaml_node *node = add_node(builder, event, kind);
    if (!node)
        return false;
    builder->levels[builder->depth++] = (struct level){.node = node, .tail = &node->child};
    return true;
}

static void complain_duplicate(struct builder *builder, const struct yaml_node *first,
                               struct yaml_node *again)
{
    again->repeated = true;
    complain(builder, again->key_line, again->key_column, "key '%.80s' stands here again; first in line %u",
             again->key, first->key_line);
    builder->duplicates = true;
}

static int compare_keys(const void *a, const void *b)
{
    const struct yaml_node *left = *(struct yaml_node *const *)a;
    const struct yaml_node *right = *(struct yaml_node *const *)b;
    int order = strcmp(left->key, right->key);
    if (order == 0)
        order = (left->key_line > right->key_line) - (left->key_line < right->key_line);
    if (order == 0)
        order = (left->key_column > right->key_column) - (left->key_column < right->key_column);
    return order;
}

/* Sorting keeps a hostile mapping of a hundred thousand keys from costing their square. */
static void check_many_keys(struct builder *builder, const struct yaml_node *mapping)
{
    OWNED struct yaml_node **sorted = memory_new(mapping->count, sizeof *sorted);
    size_t count = 0;
    for (struct yaml_node *node = mapping->child; node; node = node->next)
        sorted[count++] = node;
    qsort(sorted, count, sizeof *sorted, compare_keys);
    for (size_t i = 1; i < count; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            complain_duplicate(builder, sorted[i - 1], sorted[i]);
}

static void check_keys(struct builder *builder, const struct yaml_node *mapping)
{
    if (mapping->count > FEW_KEYS) {
        check_many_keys(builder, mapping);
        return;
    }
    for (struct yaml_node *node = mapping->child; node; node = node->next)
        for (const struct yaml_node *before = mapping->child; before != node; before = before->next)
            if (strcmp(before->key, node->key) == 0) {
                complain_duplicate(builder, before, node);
                break;
            }
}

static bool on_close(struct builder *builder)
{
    const struct yaml_node *node = builder->levels[--builder->depth].node;
    if (node->kind == YAML_MAPPING)
        check_keys(builder, node);
    return true;
}

/* Anchors and aliases could make a small text a huge tree; foreign tags ask for meanings that nobody here has. */
static bool allowed(struct builder *builder, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT)
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    else if (event->type == YAML_MAPPING_START_EVENT)
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    if (anchor)
        return COMPLAIN_AT(builder, event->start_mark, "anchors ('&%.80s') are not allowed",
                           (const char *)anchor);
    bool text = event->type == YAML_SCALAR_EVENT && tag &&
                (strcmp((const char *)tag, YAML_STR_TAG) == 0 || strcmp((const char *)tag, "!") == 0);
    if (tag && !text)
        return COMPLAIN_AT(builder, event->start_mark, "the tag '%.80s' is not allowed", (const char *)tag);
    return true;
}

static bool on_event(struct builder *builder, const yaml_event_t *event)
{
    if (!allowed(builder, event))
        return false;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->started)
            return COMPLAIN_AT(builder, event->start_mark, "a second document starts here; only one is read");
        builder->started = true;
        return true;
    case YAML_ALIAS_EVENT:
        return COMPLAIN_AT(builder, event->start_mark, "aliases ('*%.80s') are not allowed",
                           (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        return on_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(builder, event, YAML_SEQUENCE);
    case YAML_MAPPING_START_EVENT:
        return on_open(builder, event, YAML_MAPPING);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(builder);
    default:
        return true;
    }
}

static bool read_events(struct builder *builder, const char *text, size_t length)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&builder->parser, &event))
            return complain_parser(builder, text, length);
        more = event.type != YAML_STREAM_END_EVENT;
        bool good = on_event(builder, &event);
        yaml_event_delete(&event);
        if (!good)
            return false;
    }
    return true;
}

/* The four hex digits at text, of which as many bytes may be read; 0: they are none. */
static unsigned hex4(const char *text)
{
    char digits[5] = {text[0], text[1], text[2], text[3]};
    return strspn(digits, "0123456789abcdefABCDEF") == 4 ? (unsigned)strtoul(digits, NULL, 16) : 0;
}

/* JSON writes characters beyond the first plane as two escapes, "\ud83d\ude00", which YAML does not know: they
 * become one, "\U0001f600", and half a pair becomes U+FFFD. NULL: nothing to change. */
static char *join_surrogates(const char *text, size_t *length)
{
    size_t start = strspn(text, " \t\r\n");
    if ((text[start] != '{' && text[start] != '[') || (!strstr(text, "\\ud") && !strstr(text, "\\uD")))
        return NULL;
    struct buffer joined = {0};
    for (size_t i = 0; i < *length;) {
        unsigned high = text[i] == '\\' && text[i + 1] == 'u' && i + 6 <= *length ? hex4(text + i + 2) : 0;
        bool pair = high >= 0xd800 && high <= 0xdbff && text[i + 6] == '\\' && text[i + 7] == 'u' &&
                    i + 12 <= *length;
        unsigned low = pair ? hex4(text + i + 8) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) {
            buffer_print(&joined, "\\U%08x", 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            i += 12;
        } else if (high >= 0xd800 && high <= 0xdfff) {
            buffer_text(&joined, "\\ufffd");
            i += 6;
        } else {
            size_t step = text[i] == '\\' && i + 2 <= *length ? 2 : 1;
            buffer_add(&joined, text + i, step);
            i += step;
        }
    }
    *length = joined.length;
    return buffer_take(&joined);
}

static bool check_text(struct builder *builder, const char *text, size_t length)
{
    if (length > YAML_TEXT_MAX)
        return complain(builder, 1, 1, "%zu bytes are too many; at most %d are read", length, YAML_TEXT_MAX);
    if (utf8_valid(text, length))
        return true;
    size_t good = 0; /* where the first bad byte is: a character is at most four bytes */
    for (size_t size = 1; good < length && size <= 4;) {
        bool whole = good + size <= length && utf8_valid(text + good, size);
        good += whole ? size : 0;
        size = whole ? 1 : size + 1;
    }
    size_t line, column;
    position(text, good, &line, &column);
    bool wide = length > 1 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
    return complain(builder, line, column, "byte 0x%02x is not UTF-8%s; save the file as UTF-8",
                    (unsigned char)text[good], wide ? " (it looks like UTF-16)" : "");
}

static bool build(struct builder *builder, const char *text, size_t length)
{
    if (!check_text(builder, text, length))
        return false;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3, length -= 3;
    OWNED char *terminated = memchr(text, '\\', length) ? memory_slice(text, length) : NULL;
    OWNED char *joined = terminated ? join_surrogates(terminated, &length) : NULL;
    if (joined)
        text = joined;
    if (!yaml_parser_initialize(&builder->parser))
        return complain(builder, 1, 1, "out of memory");
    yaml_parser_set_input_string(&builder->parser, (const unsigned char *)text, length);
    yaml_parser_set_encoding(&builder->parser, YAML_UTF8_ENCODING);
    bool good = read_events(builder, text, length);
    yaml_parser_delete(&builder->parser);
    return good;
}

static struct yaml_node *parse(const char *text, size_t length, yaml_complaint *complaint, void *context,
                               bool tolerate_duplicates)
{
    struct document *document = memory_new(1, sizeof *document);
    document->root = (struct yaml_node){.kind = YAML_MAPPING, .line = 1, .column = 1};
    struct builder builder = {.complaint = complaint, .context = context, .document = document};
    if (!build(&builder, text, length) || (builder.duplicates && !tolerate_duplicates)) {
        yaml_free(&document->root);
        return NULL;
    }
    struct yaml_node *root = &document->root;
    if (root->kind == YAML_SCALAR && !root->quoted && root->text[0] == '\0')
        *root = (struct yaml_node){.kind = YAML_MAPPING, .line = root->line, .column = root->column};
    return root;
}

struct yaml_node *yaml_parse_all(const char *text, size_t length, yaml_complaint *complaint, void *context)
{
    return parse(text, length, complaint, context, true);
}

struct first_fault {
    const char *name;
    struct fault *fault;
    bool set;
};

static void keep_first(void *context, unsigned line, unsigned column, const char *sentence)
{
    struct first_fault *first = context;
    if (!first->set)
        fault_set(first->fault, "%s:%u:%u: %s", first->name, line, column, sentence);
    first->set = true;
}

struct yaml_node *yaml_parse(const char *text, size_t length, const char *name, struct fault *fault)
{
    struct first_fault first = {.name = name, .fault = fault};
    return parse(text, length, keep_first, &first, false);
}

void yaml_free(struct yaml_node *node)
{
    struct document *document = (struct document *)node;
    if (!document)
        return;
    for (struct chunk *chunk = document->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(document);
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    if (!mapping || mapping->kind != YAML_MAPPING)
        return NULL;
    for (const struct yaml_node *node = mapping->child; node; node = node->next)
        if (strcmp(node->key, key) == 0)
            return node;
    return NULL;
}

static const char *plain(const struct yaml_node *node)
{
    return node && node->kind == YAML_SCALAR && !node->quoted ? node->text : NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    const char *text = plain(node);
    return text && (text[0] == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

bool yaml_integer(const struct yaml_node *node, int64_t *value)
{
    const char *text = plain(node);
    if (!text)
        return false;
    const char *digits = text + (*text == '-' || *text == '+');
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || digits[length] != '\0')
        return false;
    errno = 0;
    long long parsed = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *value = parsed;
    return true;
}

bool yaml_number(const struct yaml_node *node, double *value)
{
    const char *text = plain(node);
    if (!text || !strpbrk(text, "0123456789") || text[strspn(text, "+-0123456789.eE")] != '\0')
        return false;
    char *end;
    double parsed = strtod(text, &end);
    if (*end != '\0' || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool yaml_boolean(const struct yaml_node *node, bool *value)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};
    const char *text = plain(node);
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        for (int truth = 0; truth < 2; truth++)
            if (strcasecmp(text, words[i][truth]) == 0) {
                *value = truth;
                return true;
            }
    return false;
}
