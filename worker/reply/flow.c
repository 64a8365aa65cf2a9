#include "worker/reply/flow.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

/* Texts that open a quote and never close it are looked for to the end each time: so many, and no more is looked. */
enum { MISSES_MAX = 64, DEPTH_MAX = 64, AHEAD = 256 /* bytes that are looked at for what follows a comma */ };

struct flow {
    struct span text;
    size_t at;
    const char *const *keys;
    struct fields *fields;
    unsigned misses;
    size_t list_end; /* of texts without quotes; 0: not looked for */
};

static struct span rest(const struct flow *flow)
{
    return span_from(flow->text, flow->at);
}

static char here(const struct flow *flow)
{
    return flow->at < flow->text.length ? flow->text.text[flow->at] : '\0';
}

/* Behind a comment that begins here: // and "# " to the line's end. */
static size_t comment(struct span text)
{
    if (span_starts(text, "//") || span_starts(text, "# ")) {
        const char *end = memchr(text.text, '\n', text.length);
        return end ? (size_t)(end - text.text) : text.length;
    }
    const char *end = span_starts(text, "/*") ? memmem(text.text, text.length, "*/", 2) : NULL;
    return end ? (size_t)(end - text.text) + 2 : 0;
}

/* Blanks, line ends and comments; commas too when they part something. */
static void skip(struct flow *flow, bool commas)
{
    for (;;) {
        struct span left = span_left(rest(flow));
        flow->at = (size_t)(left.text - flow->text.text);
        size_t more = comment(left);
        if (!more && commas && left.length && *left.text == ',')
            more = 1;
        if (!more)
            return;
        flow->at += more;
    }
}

/* The quoted text here, whole, or 0; *inner without its quotes. */
static size_t quoted(struct flow *flow, struct span *inner)
{
    size_t open, close, at = flow->misses < MISSES_MAX ? span_quoted(rest(flow), true, &open, &close) : 0;
    if (!at) {
        flow->misses += strchr("\"'`", here(flow)) || (here(flow) & 0x80);
        return 0;
    }
    *inner = span_first(span_from(rest(flow), open), at - open);
    return at + close;
}

/* Behind the bracket that closes the one here; 0: none does. Brackets in quoted texts are text. */
static size_t bracketed(struct flow *flow)
{
    char closers[DEPTH_MAX];
    size_t depth = 0, start = flow->at, found = 0;
    bool value = true; /* a value may begin here */
    while (flow->at < flow->text.length && !found) {
        struct span inner;
        char c = here(flow);
        size_t size = value ? quoted(flow, &inner) : 0;
        if (!size && (c == '{' || c == '[')) {
            if (depth == DEPTH_MAX)
                break;
            closers[depth++] = c == '{' ? '}' : ']';
        } else if (!size && depth && c == closers[depth - 1]) {
            found = --depth == 0 ? flow->at + 1 - start : 0;
        }
        value = !size && (strchr("{[,:", c) || (value && isspace((unsigned char)c)));
        flow->at += size ? size : 1;
    }
    flow->at = start;
    return found;
}

/* From behind the comma or line end here. */
static struct flow look_ahead(const struct flow *flow, bool commas)
{
    struct flow ahead = *flow;
    ahead.text = span_first(flow->text, flow->at + AHEAD);
    ahead.at++;
    skip(&ahead, commas);
    return ahead;
}

/* 'deadline', in quotes: a key, also one that nobody knows. 'that', he said: 'x' is none. */
static bool is_set_off(struct span key)
{
    if (key.length < 3 || !strchr("\"'", *key.text) || key.text[key.length - 1] != *key.text)
        return false;
    for (size_t i = 1; i < key.length - 1; i++)
        if (!isalnum((unsigned char)key.text[i]) && !strchr("_- ", key.text[i]) && !(key.text[i] & 0x80))
            return false;
    return !isspace((unsigned char)key.text[1]);
}

static bool member_follows(const struct flow *flow)
{
    struct flow ahead = look_ahead(flow, false);
    struct span key, value;
    if (!span_key(span_first(rest(&ahead), 80), &key, &value) || memchr(key.text, '\n', key.length))
        return false;
    key = span_trim(key);
    return is_set_off(key) || (!memchr(key.text, ',', key.length) && fields_key(key, flow->keys) >= 0);
}

static bool closes(const struct flow *flow, const char *behind)
{
    struct span next = span_from(flow->text, flow->at + 1);
    next = span_from(next, span_indent(next, NULL));
    return next.length == 0 || strchr(behind, *next.text);
}

/* A number, true, false or null with a comment behind it: "1 // good". A word that two slashes follow at once
 * ("true//false") is a text. */
static size_t without_comment(struct span text)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t at = 0;
    while (at < text.length && (isdigit((unsigned char)text.text[at]) || strchr("+-.", text.text[at])))
        at++;
    bool word = at == 0;
    for (size_t i = 0; at == 0 && i < sizeof words / sizeof *words; i++)
        at = span_starts(text, words[i]) ? strlen(words[i]) : 0;
    struct span behind = span_left(span_from(text, at));
    if (at == 0 || (word && at + behind.length == text.length))
        return text.length;
    return span_starts(behind, "//") || span_starts(behind, "/*") ? at : text.length;
}

/* A text without quotes in a mapping: it goes on to the next member or to the bracket that can only be the end, so
 * commas and brackets of its own are taken whole. */
static size_t bare_member(const struct flow *flow)
{
    struct flow ahead = *flow;
    size_t deep = 0, first = 0;
    for (; ahead.at < ahead.text.length; ahead.at++) {
        char c = here(&ahead);
        if ((c == ',' || c == '\n') && member_follows(&ahead))
            return ahead.at;
        if (c == ',') {
            struct flow last = look_ahead(&ahead, true);
            last.text = flow->text;
            if (here(&last) == '}' && closes(&last, ",]}\n\r#`"))
                return ahead.at;
        }
        if (c == '}' && !deep && closes(&ahead, ",]}\n\r#`"))
            return ahead.at;
        if (c == '}' && !deep && !first)
            first = ahead.at;
        deep += c == '{';
        deep -= c == '}' && deep;
    }
    return first ? first : flow->text.length;
}

/* The value here, added as key's; what is in brackets stays as it is. */
static void add_value(struct flow *flow, int key, struct span name, size_t (*bare)(const struct flow *flow))
{
    struct span inner;
    size_t size = quoted(flow, &inner);
    if (size) {
        OWNED_BUFFER struct buffer text = {0};
        span_unescape(inner, here(flow), &text);
        fields_add(flow->fields, key, name, (struct span){text.data, text.length})->literal = true;
        flow->at += size;
        return;
    }
    bool nested = here(flow) == '{' || here(flow) == '[';
    bool entry = key == FIELD_ENTRY; /* a goal or a mapping, so never a number or a word of JSON */
    size_t start = flow->at, end = nested ? start + bracketed(flow) : bare(flow);
    if (end == start && nested) {
        flow->at = flow->text.length; /* where its end is can't be told, so neither where the next begins */
        flow->fields->open = true;
        end = flow->at;
    }
    struct span text = span_first(span_from(flow->text, start), end - start);
    text = nested || entry ? text : span_first(text, without_comment(text));
    fields_add(flow->fields, key, name, span_trim(text));
    flow->at = end;
}

static bool members(struct flow *flow)
{
    for (flow->at = 1;;) {
        struct span key, value;
        skip(flow, true);
        if (here(flow) == '}') {
            flow->at++;
            return true;
        }
        if (flow->at >= flow->text.length) {
            flow->fields->open = true;
            return flow->fields->count > 0;
        }
        if (!span_key(rest(flow), &key, &value) || memchr(key.text, '\n', key.length) ||
            memchr(key.text, '{', key.length))
            return false;
        flow->at = (size_t)(span_left(value).text - flow->text.text);
        add_value(flow, fields_key(key, flow->keys), key, bare_member);
    }
}

/* JSON as it should be; keys that stand twice are left to the tolerant way, which drops neither. */
static bool strict(struct fields *fields, struct span text, const char *const *keys, size_t *end)
{
    json_error_t error;
    json_t *root =
        json_loadb(text.text, text.length, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
    const char *key;
    json_t *value;
    size_t index;
    if (!root)
        return false;
    *end = (size_t)error.position;
    json_object_foreach(root, key, value)
    {
        OWNED char *dump = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        const char *shown = dump ? dump : json_string_value(value);
        fields_add(fields, fields_key(span_of(key), keys), span_of(key), span_of(shown))->literal = !dump;
    }
    json_array_foreach(root, index, value)
    {
        OWNED char *dump = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        const char *shown = dump ? dump : json_string_value(value);
        fields_add(fields, FIELD_ENTRY, span_of(""), span_of(shown))->literal = !dump;
    }
    json_decref(root);
    return true;
}

bool flow_fields(struct fields *fields, struct span text, const char *const *keys, size_t *end)
{
    if (strict(fields, text, keys, end))
        return true;
    struct flow flow = {.text = text, .keys = keys, .fields = fields};
    bool read = members(&flow);
    *end = flow.at;
    if (!read)
        fields_free(fields);
    return read;
}

/* --- lists --- */

/* "learn a, b and c" is one text whatever YAML says, while "learn a, try b" are two. */
static bool enumerates(struct span text)
{
    const char *comma = memrchr(text.text, ',', text.length);
    struct span last = span_from(text, comma ? (size_t)(comma - text.text) : text.length);
    return memmem(last.text, last.length, " and ", 5) || memmem(last.text, last.length, " or ", 4);
}

static bool entry_follows(const struct flow *flow)
{
    struct flow ahead = look_ahead(flow, false);
    struct span key, value;
    if (here(&ahead) == '\0' || strchr("{[]\"'", here(&ahead)) || (here(&ahead) & 0x80))
        return true;
    return span_key(span_first(rest(&ahead), 66), &key, &value) && key.length &&
           !memchr(key.text, ' ', key.length) && !memchr(key.text, '\n', key.length);
}

static size_t list_end(const struct flow *flow)
{
    struct flow ahead = *flow;
    while (ahead.at < flow->text.length && !(here(&ahead) == ']' && closes(&ahead, ",]}\n\r#`")))
        ahead.at++;
    return ahead.at;
}

static size_t bare_entry(const struct flow *flow)
{
    struct flow ahead = *flow;
    bool whole = flow->keys || enumerates(span_first(rest(flow), flow->list_end - flow->at));
    for (; ahead.at < flow->list_end; ahead.at++)
        if (here(&ahead) == ',' && (entry_follows(&ahead) || !whole))
            break;
    return ahead.at;
}

/* A mapping's end by its members, since a bracket in one of its texts may be text. */
static size_t mapping_end(const struct flow *flow)
{
    struct fields fields = {0};
    size_t end = 0;
    bool read = flow_fields(&fields, rest(flow), flow->keys, &end) && !fields.open;
    fields_free(&fields);
    return read ? end : 0;
}

static bool entries(struct flow *flow)
{
    for (flow->at = 1;;) {
        skip(flow, true);
        if (here(flow) == ']') {
            flow->at++;
            return true;
        }
        if (flow->at >= flow->text.length)
            return false;
        size_t size = flow->keys && here(flow) == '{' ? mapping_end(flow) : 0;
        if (flow->list_end < flow->at)
            flow->list_end = list_end(flow);
        if (size)
            fields_add(flow->fields, FIELD_ENTRY, span_of(""), span_first(rest(flow), size));
        else
            add_value(flow, FIELD_ENTRY, span_of(""), bare_entry);
        flow->at += size;
        if (flow->fields->open)
            return false;
    }
}

bool flow_entries(struct fields *fields, struct span text, const char *const *keys, size_t *end)
{
    if (strict(fields, text, keys, end))
        return true;
    struct flow flow = {.text = text, .keys = keys, .fields = fields};
    bool read = entries(&flow);
    *end = flow.at;
    if (!read)
        fields_free(fields);
    return read;
}
