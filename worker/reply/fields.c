#include "worker/reply/fields.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "worker/reply/flow.h"
#include "worker/reply/keys.h"

/* --- code in texts --- */

/* The search for the ends of code; zeroed. */
struct code {
    size_t limit; /* the key or bullet behind the text in hand */
    struct fence_memory within, beyond;
};

/* Does a key (one of keys) or, where there are no keys, a bullet stand no deeper than level? */
static bool parts(struct span line, size_t level, const char *const *keys)
{
    struct span key, value;
    size_t column, indent = span_indent(line, &column);
    struct span rest = span_from(line, indent);
    size_t bullet = span_bullet(rest);
    if (rest.length == 0 || column > level)
        return false;
    return keys ? span_key(span_from(rest, bullet), &key, &value) && fields_key(key, keys) >= 0 : bullet > 0;
}

/* Where the code that the line at `from` opens ends; 0: that line opens none. A fence that stands deeper than level
 * belongs to the text in hand, so it can't end behind the next key or bullet: one that is never closed takes nothing
 * along. The text is searched for that limit once, however many fences stand before it. */
static size_t code_end(struct code *code, struct span text, size_t from, size_t level,
                       const char *const *keys)
{
    struct fence fence;
    struct span line;
    size_t at = from, column;
    if (!span_line(text, &at, &line) || !span_fence(line, &fence, NULL))
        return 0;
    span_indent(line, &column);
    if (column <= level)
        return span_code_end(text, from, &code->beyond);
    if (code->limit <= from) {
        code->within = (struct fence_memory){0};
        code->limit = text.length;
        for (size_t start = at; span_line(text, &at, &line) && code->limit == text.length; start = at)
            code->limit = parts(line, level, keys) ? start : code->limit;
    }
    return span_code_end(span_first(text, code->limit), from, &code->within);
}

/* --- lines --- */

/* What a mapping's lines have been so far. Columns count from 0. */
struct lines {
    struct fields *fields;
    const char *const *keys;
    struct buffer value;   /* of the field in hand */
    bool started;          /* there is one */
    size_t level, pending; /* where keys stand; the column of a "|" whose first line comes next */
    bool awaits, flat;     /* pending counts; the field's lines stand no deeper than its key */
    bool direct, gap;      /* the value began on the key's line; a blank line was met since */
    bool bulleted, nested; /* keys are behind bullets; lines of the field are deeper than its key */
    bool headed;           /* keys are headings, else "# key: …" is a comment */
};

static void finish(struct lines *lines)
{
    if (!lines->started)
        return;
    struct field *field = &lines->fields->items[lines->fields->count - 1];
    free(field->text);
    field->text = buffer_take(&lines->value);
}

static void start(struct lines *lines, int key, struct span name, struct span value, size_t column,
                  bool bullet)
{
    finish(lines);
    lines->level = lines->started && lines->level < column ? lines->level : column;
    lines->bulleted = lines->started ? lines->bulleted : bullet;
    lines->started = true;
    lines->awaits = field_is_header(value);
    lines->pending = column;
    lines->direct = !lines->awaits && !span_empty(value);
    lines->flat = lines->gap = lines->nested = false;
    fields_add(lines->fields, key, name, span_of(""));
    buffer_add(&lines->value, value.text, value.length);
    buffer_text(&lines->value, "\n");
}

static void append(struct lines *lines, struct span line)
{
    struct buffer *out = lines->started ? &lines->value : &lines->fields->stray;
    buffer_add(out, line.text, line.length);
    buffer_text(out, "\n");
}

/* "word: …" or "word:": likely a key that nobody knows. */
static bool looks_like_key(struct span key, struct span value)
{
    key = span_trim(key);
    while (key.length && strchr("*_\"'`@", *key.text))
        key = span_from(key, 1);
    while (key.length && strchr("*_\"'`", key.text[key.length - 1]))
        key.length--;
    size_t at = 0;
    while (at < key.length && (isalnum((unsigned char)key.text[at]) || strchr("_-", key.text[at])))
        at++;
    return at && at == key.length && isalpha((unsigned char)*key.text) &&
           (value.length == 0 || span_blank(value) || strchr("\"'", *value.text));
}

static bool is_key(const struct lines *lines, int key, size_t column, bool bullet)
{
    if (key < 0)
        return false;
    if (!lines->started)
        return true;
    bool in_list = bullet && !lines->bulleted && !lines->direct;
    return (column <= lines->level && !in_list) || (column > lines->level && lines->direct && !lines->gap);
}

static bool is_stranger(const struct lines *lines, struct span key, struct span value, size_t column,
                        bool bullet)
{
    return looks_like_key(key, value) && !lines->flat && !lines->awaits && (!bullet || lines->bulleted) &&
           (!lines->started || (column <= lines->level && (lines->direct || lines->nested)));
}

/* Before a line that is no key joins the value: where the value's lines stand. */
static void settle(struct lines *lines, size_t column, struct span line)
{
    struct span key, value;
    if (lines->awaits)
        lines->flat = column <= lines->pending;
    else if (!lines->direct && !lines->nested && column <= lines->level)
        lines->flat = true;
    lines->nested = lines->nested || column > lines->level;
    lines->awaits = span_key(line, &key, &value) && field_is_header(value);
    lines->pending = column;
}

static bool is_rule(struct span line)
{
    line = span_trim(line);
    return line.length == 3 && (span_starts(line, "---") || span_starts(line, "..."));
}

static void take_line(struct lines *lines, struct span line)
{
    size_t column, indent = span_indent(line, &column);
    struct span rest = span_from(line, indent), key = {0}, value = {0};
    size_t bullet = span_bullet(rest);
    if (rest.length == 0 || (!lines->started && is_rule(rest))) {
        lines->gap = true;
        append(lines, span_first(rest, 0));
        return;
    }
    lines->headed =
        lines->started ? lines->headed : span_starts(rest, lines->keys == report_keys ? "#" : "##");
    bool keyed = (*rest.text != '#' || lines->headed) && span_key(span_from(rest, bullet), &key, &value);
    int known = keyed ? fields_key(key, lines->keys) : FIELD_UNKNOWN;
    if (is_key(lines, known, column, bullet > 0)) {
        start(lines, known, key, value, column, bullet > 0);
    } else if (keyed && is_stranger(lines, key, value, column, bullet > 0)) {
        start(lines, FIELD_UNKNOWN, key, value, column, bullet > 0);
    } else if (lines->started && lines->direct && column <= lines->level &&
               (*rest.text == '#' || is_rule(rest))) {
        return; /* a comment, or the end of a YAML document */
    } else if (lines->started && lines->direct && lines->gap && column <= lines->level && !bullet) {
        buffer_add(&lines->fields->stray, line.text, line.length);
        buffer_text(&lines->fields->stray, "\n");
    } else {
        settle(lines, column, span_from(rest, bullet));
        append(lines, line);
    }
}

static void read_lines(struct fields *fields, struct span text, const char *const *keys)
{
    struct lines lines = {.fields = fields, .keys = keys};
    struct code code = {0};
    struct span line;
    for (size_t at = 0, from = 0; span_line(text, &at, &line); from = at) {
        size_t end = lines.started && !lines.direct ? code_end(&code, text, from, lines.level, keys) : 0;
        if (!end) {
            take_line(&lines, line);
            continue;
        }
        size_t column;
        span_indent(line, &column);
        settle(&lines, column, span_of(""));
        append(&lines, span_first(span_from(text, from), end - from - (text.text[end - 1] == '\n')));
        at = end;
    }
    finish(&lines);
    buffer_free(&lines.value);
}

void fields_read(struct fields *fields, struct span text, const char *const *keys)
{
    *fields = (struct fields){0};
    struct span whole = span_trim(text);
    size_t end;
    if (whole.length && *whole.text == '{' && flow_fields(fields, whole, keys, &end)) {
        struct span behind = span_trim(span_from(whole, end));
        buffer_add(&fields->stray, behind.text, behind.length);
        return;
    }
    read_lines(fields, text, keys);
}

/* --- lists --- */

/* Each bullet that stands no deeper than the first begins an entry. False: the text has none. */
static bool read_bullets(struct fields *fields, struct span text)
{
    struct span line;
    struct code code = {0};
    size_t level = 0, start = 0, inset = 0;
    for (size_t at = 0, from = 0; span_line(text, &at, &line); from = at) {
        size_t column, indent = span_indent(line, &column), bullet = span_bullet(span_from(line, indent));
        size_t end = inset ? code_end(&code, text, from, level, NULL) : 0;
        if (end) {
            at = end;
        } else if (inset ? bullet && column <= level : bullet > 0) {
            if (inset)
                fields_add(fields, FIELD_ENTRY, span_of(""),
                           span_first(span_from(text, start), from - start));
            level = column;
            start = from;
            inset = indent + bullet;
        } else if (!inset && indent < line.length && line.text[indent] != '#') {
            return false;
        }
    }
    if (inset)
        fields_add(fields, FIELD_ENTRY, span_of(""), span_from(text, start));
    return inset > 0;
}

/* The bullet becomes blanks, so that the entry's lines stand as they stood to each other. */
static void blank_bullet(struct field *entry)
{
    struct span text = span_of(entry->text);
    size_t indent = span_indent(text, NULL), size = span_bullet(span_from(text, indent));
    memset(entry->text + indent, ' ', size);
}

void fields_entries(struct fields *fields, struct span text, const char *const *keys)
{
    *fields = (struct fields){0};
    struct span whole = span_trim(text);
    size_t end;
    if (whole.length && *whole.text == '[' && flow_entries(fields, whole, keys, &end)) {
        struct span behind = span_trim(span_from(whole, end));
        if (behind.length && *behind.text != '#')
            buffer_add(&fields->stray, behind.text, behind.length);
        return;
    }
    if (whole.length && *whole.text == '[') {
        fields->open = true;
        return;
    }
    if (!read_bullets(fields, text)) {
        if (whole.length)
            fields_add(fields, FIELD_ENTRY, span_of(""), text);
        return;
    }
    for (size_t i = 0; i < fields->count; i++)
        blank_bullet(&fields->items[i]);
}
