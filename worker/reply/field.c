#include "worker/reply/field.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

struct field *fields_add(struct fields *fields, int key, struct span name, struct span text)
{
    fields->items = memory_grow(fields->items, fields->count + 1, sizeof *fields->items);
    struct field *field = &fields->items[fields->count++];
    name = span_trim(name);
    *field = (struct field){.key = key,
                            .name = key == FIELD_ENTRY ? NULL : memory_slice(name.text, name.length),
                            .text = memory_slice(text.length ? text.text : "", text.length)};
    return field;
}

void fields_free(struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        free(fields->items[i].name);
        free(fields->items[i].text);
    }
    free(fields->items);
    buffer_free(&fields->stray);
    *fields = (struct fields){0};
}

int fields_key(struct span name, const char *const *keys)
{
    for (int key = 0; keys && keys[key]; key++)
        if (span_means(name, keys[key]))
            return key;
    return FIELD_UNKNOWN;
}

const struct field *fields_find(const struct fields *fields, int key)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->items[i].key == key && !field_is_none(&fields->items[i]))
            return &fields->items[i];
    return NULL;
}

/* --- values --- */

/* "|", ">-", "|2" and the like, also with a comment behind. */
bool field_is_header(struct span value)
{
    value = span_trim(value);
    if (!value.length || !strchr("|>", *value.text))
        return false;
    size_t at = 1;
    while (at < value.length && at < 3 && strchr("+-123456789", value.text[at]))
        at++;
    struct span behind = span_from(value, at);
    return behind.length == 0 || (span_blank(behind) && *span_left(behind).text == '#');
}

/* The columns that the lines share; those at the very edge behind the first are no measure, nor is code there. */
static size_t shared_indent(struct span text)
{
    struct fence_memory hopeless = {0};
    struct span line;
    size_t shared = 0;
    for (size_t at = 0, from = 0, column; span_line(text, &at, &line); from = at) {
        size_t code = 0;
        if (span_indent(line, &column) == line.length)
            continue;
        if (column == 0 && !shared)
            return 0;
        if (column == 0)
            code = span_code_end(text, from, &hopeless);
        at = code ? code : at;
        if (column && (!shared || column < shared))
            shared = column;
    }
    return shared;
}

static struct span outdent(struct span line, size_t columns)
{
    size_t cut = 0, deep = 0;
    for (size_t blank; deep < columns && (blank = span_blank(span_from(line, cut))) > 0; cut += blank)
        deep += line.text[cut] == '\t' ? 4 : 1;
    return span_from(line, cut);
}

static void dedent(struct span text, struct buffer *out)
{
    struct fence_memory hopeless = {0};
    struct span line;
    size_t shared = shared_indent(text), column;
    for (size_t at = 0, from = 0; span_line(text, &at, &line); from = at) {
        bool edge = span_indent(line, &column) < line.length && column == 0;
        size_t code = edge ? span_code_end(text, from, &hopeless) : 0;
        if (code) {
            buffer_add(out, text.text + from, code - from);
            at = code;
            continue;
        }
        line = outdent(line, shared);
        buffer_add(out, line.text, line.length);
        buffer_text(out, "\n");
    }
}

/* YAML's ">": lines of one paragraph are one line; what stands deeper, and lists, keep theirs. */
static void fold(struct buffer *text)
{
    OWNED char *lines = buffer_take(text);
    struct span whole = span_of(lines), line;
    bool joins = false;
    for (size_t at = 0; span_line(whole, &at, &line);) {
        bool plain = line.length && !span_blank(line) && !span_bullet(line);
        if (joins && plain)
            text->data[text->length - 1] = ' ';
        buffer_add(text, line.text, line.length);
        buffer_text(text, "\n");
        joins = plain;
    }
}

/* In quotes over several lines: the lines' indentation is not meant. */
static void add_quoted(struct span inner, char open, struct buffer *out)
{
    OWNED_BUFFER struct buffer lines = {0};
    struct span line;
    for (size_t at = 0; span_line(inner, &at, &line);) {
        line = lines.length ? span_left(line) : line;
        buffer_text(&lines, lines.length ? "\n" : "");
        buffer_add(&lines, line.text, line.length);
    }
    span_unescape((struct span){lines.data, lines.length}, open, out);
}

/* A quote that was opened and never closed is no part of the text. */
static struct span without_lone_quote(struct span text)
{
    bool lone =
        text.length > 1 && strchr("\"'", *text.text) && !memchr(text.text + 1, *text.text, text.length - 1);
    return lone ? span_from(text, 1) : text;
}

char *field_text(const struct field *field)
{
    OWNED_BUFFER struct buffer out = {0};
    struct span all = span_of(field->text), first = all, whole = span_trim(all);
    size_t behind = 0, open, close, end;
    if (field->literal)
        return memory_slice(whole.text, whole.length);
    span_line(all, &behind, &first);
    if (field_is_header(first)) {
        dedent(span_from(all, behind), &out);
        if (*span_trim(first).text == '>' && out.length)
            fold(&out);
    } else if ((end = span_quoted(whole, false, &open, &close)) > 0) {
        add_quoted(span_first(span_from(whole, open), end - open), *whole.text, &out);
    } else if (span_empty(first)) {
        dedent(span_from(all, behind), &out);
    } else {
        first = without_lone_quote(whole.length == span_trim(first).length ? whole : span_trim(first));
        buffer_add(&out, first.text, first.length);
        buffer_text(&out, "\n");
        dedent(span_from(all, behind), &out);
    }
    whole = span_trim((struct span){out.data ? out.data : "", out.length});
    return memory_slice(whole.text, whole.length);
}

bool field_is_none(const struct field *field)
{
    static const char words[] =
        "|none|n/a|na|null|nil|nothing|no|false|empty|not applicable|none needed|"
        "not needed|none required|nothing new|no change|no changes|unchanged|no new skill|"
        "no skill|no goals|no new goals|no messages|no handoffs|\xe6\x97\xa0|";
    static const char around[] = "[]{}()<>-~.*_\"'`";
    struct span text = span_trim(span_of(field->text));
    if (text.length > 24)
        return false;
    while (text.length && (strchr(around, *text.text) || span_starts(text, "\xe2\x80")))
        text = span_trim(span_from(text, *text.text & 0x80 ? 3 : 1));
    for (bool wide; text.length &&
                    ((wide = text.length > 3 && span_starts(span_from(text, text.length - 3), "\xe2\x80")) ||
                     strchr(around, text.text[text.length - 1]));)
        text = span_trim(span_first(text, text.length - (wide ? 3 : 1)));
    OWNED char *word = memory_print("|%.*s|", (int)text.length, text.text);
    return text.length == 0 || (strcasestr(words, word) && !memchr(text.text, '|', text.length));
}

bool field_is_bracketed(const struct field *field)
{
    struct span text = span_trim(span_of(field->text));
    char last = text.length ? text.text[text.length - 1] : '\0';
    return !field->literal && text.length > 1 &&
           ((*text.text == '[' && last == ']') || (*text.text == '{' && last == '}'));
}
