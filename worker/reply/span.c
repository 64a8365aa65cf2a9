#include "worker/reply/span.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

struct span span_from(struct span span, size_t at)
{
    at = at < span.length ? at : span.length;
    return (struct span){span.text + at, span.length - at};
}

struct span span_first(struct span span, size_t length)
{
    return (struct span){span.text, length < span.length ? length : span.length};
}

bool span_starts(struct span span, const char *with)
{
    size_t length = strlen(with);
    return length <= span.length && memcmp(span.text, with, length) == 0;
}

size_t span_blank(struct span span)
{
    static const char *const wide[] = {"\xc2\xa0",     "\xe2\x80\xaf", "\xe2\x81\x9f",
                                       "\xe2\x81\xa0", "\xe3\x80\x80", "\xef\xbb\xbf"};
    if (span.length == 0)
        return 0;
    if (*span.text == ' ' || *span.text == '\t')
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (span_starts(span, wide[i]))
            return strlen(wide[i]);
    bool spaces = span_starts(span, "\xe2\x80") && span.length > 2 && (unsigned char)span.text[2] <= 0x8b;
    return spaces ? 3 : 0;
}

static size_t blank_or_end(struct span span)
{
    return span.length && (*span.text == '\n' || *span.text == '\r') ? 1 : span_blank(span);
}

struct span span_left(struct span span)
{
    for (size_t blank; (blank = blank_or_end(span)) > 0;)
        span = span_from(span, blank);
    return span;
}

struct span span_trim(struct span span)
{
    span = span_left(span);
    for (size_t size = 1; size <= 3 && size <= span.length; size++)
        if (blank_or_end(span_from(span, span.length - size)) == size) {
            span.length -= size;
            size = 0;
        }
    return span;
}

bool span_empty(struct span span)
{
    return span_left(span).length == 0;
}

size_t span_indent(struct span line, size_t *columns)
{
    size_t at = 0, deep = 0;
    for (size_t blank; (blank = span_blank(span_from(line, at))) > 0; at += blank)
        deep += line.text[at] == '\t' ? 4 : 1;
    if (columns)
        *columns = deep;
    return at;
}

bool span_line(struct span text, size_t *at, struct span *line)
{
    size_t start = *at, end;
    if (start >= text.length)
        return false;
    *at = markdown_line(text.text, text.length, start, &end);
    *line = (struct span){text.text + start, end - start};
    return true;
}

size_t span_bullet(struct span span)
{
    static const char *const marks[] = {"-",
                                        "*",
                                        "+",
                                        "\xe2\x80\xa2",
                                        "\xe2\x80\xa3",
                                        "\xe2\x97\xa6",
                                        "\xe2\x97\x8f",
                                        "\xe2\x96\xaa",
                                        "\xe2\x80\x93",
                                        "\xc2\xb7"};
    size_t size = 0;
    for (size_t i = 0; !size && i < sizeof marks / sizeof *marks; i++)
        size = span_starts(span, marks[i]) ? strlen(marks[i]) : 0;
    if (!size) {
        while (size < span.length && size < 3 && isdigit((unsigned char)span.text[size]))
            size++;
        size = size && size < span.length && strchr(".)", span.text[size]) ? size + 1 : 0;
    }
    size_t blanks = size ? span_indent(span_from(span, size), NULL) : 0;
    bool alone = size == span.length || strchr("\r\n", span.text[size]);
    return size && (blanks || alone) ? size + blanks : 0;
}

bool span_fence(struct span line, struct fence *fence, size_t *levels)
{
    size_t columns, quotes = 0, at = span_indent(line, &columns);
    for (; at < line.length && line.text[at] == '>'; quotes++) {
        size_t more;
        at += 1 + span_indent(span_from(line, at + 1), &more);
        columns += more + 1;
    }
    struct span rest = span_from(line, at);
    size_t bullet = span_bullet(rest);
    rest = span_from(rest, bullet);
    bool found = markdown_fence(rest.text, rest.length, fence);
    fence->indent = quotes ? 0 : columns;
    if (levels)
        *levels = quotes;
    return found;
}

size_t span_code_end(struct span text, size_t at, struct fence_memory *hopeless)
{
    struct span line;
    struct fence open, fence;
    if (!span_line(text, &at, &line) || !span_fence(line, &open, NULL))
        return 0;
    size_t *never = open.mark == '`' ? &hopeless->backtick : &hopeless->tilde;
    if (*never && open.count >= *never)
        return 0;
    while (span_line(text, &at, &line))
        if (span_fence(line, &fence, NULL) && markdown_closes(&open, &fence))
            return at;
    *never = open.count;
    return 0;
}

/* --- keys --- */

static bool letter(char c)
{
    return isalnum((unsigned char)c);
}

static bool same_words(struct span given, struct span name)
{
    size_t at = 0;
    for (size_t i = 0; i < given.length; i++) {
        if (strchr("_- ", given.text[i]))
            continue;
        while (at < name.length && name.text[at] == '_')
            at++;
        if (at == name.length || tolower((unsigned char)given.text[i]) != name.text[at++])
            return false;
    }
    return at == name.length;
}

bool span_means(struct span span, const char *names)
{
    while (span.length && !letter(*span.text))
        span = span_from(span, 1);
    while (span.length && !letter(span.text[span.length - 1]))
        span.length--;
    for (const char *name = names; span.length && *name;) {
        size_t length = strcspn(name, "|");
        if (same_words(span, (struct span){name, length}))
            return true;
        name += length + (name[length] == '|');
    }
    return false;
}

bool span_key(struct span line, struct span *key, struct span *value)
{
    enum { LONGEST = 80 };
    for (size_t at = 0; at < line.length && at < LONGEST; at++) {
        bool wide = span_starts(span_from(line, at), "\xef\xbc\x9a");
        if (line.text[at] != ':' && !wide)
            continue;
        *key = span_first(line, at);
        *value = span_from(line, at + (wide ? 3 : 1));
        struct span bare = span_trim(*key);
        for (size_t mark = 0; mark < bare.length && strchr("*_`", bare.text[mark]); mark++)
            if (value->length && *value->text == bare.text[mark])
                *value = span_from(*value, 1);
        return true;
    }
    return false;
}

/* --- quotes --- */

static const struct quotes {
    const char *open, *closers[2];
} quotes[] = {
    {"\"", {"\"", NULL}},
    {"'", {"'", NULL}},
    {"\xe2\x80\x9c", {"\xe2\x80\x9d", "\xe2\x80\x9c"}},
    {"\xe2\x80\x9d", {"\xe2\x80\x9d", NULL}},
    {"\xe2\x80\x9e", {"\xe2\x80\x9c", "\xe2\x80\x9d"}},
    {"\xe2\x80\x98", {"\xe2\x80\x99", NULL}},
    {"\xe2\x80\x9a", {"\xe2\x80\x98", "\xe2\x80\x99"}},
    {"\xc2\xab", {"\xc2\xbb", NULL}},
    {"\xc2\xbb", {"\xc2\xab", NULL}},
    {"\xe2\x80\xb9", {"\xe2\x80\xba", NULL}},
    {"\xe3\x80\x8c", {"\xe3\x80\x8d", NULL}},
    {"\xe3\x80\x8e", {"\xe3\x80\x8f", NULL}},
    {"\xef\xbc\x82", {"\xef\xbc\x82", NULL}},
};

static size_t closer(struct span span, const struct quotes *kind)
{
    for (size_t i = 0; i < 2 && kind->closers[i]; i++)
        if (span_starts(span, kind->closers[i]))
            return strlen(kind->closers[i]);
    return 0;
}

/* Does what stands behind a quote show that the quoted text is over? */
enum over { NO, MAYBE, YES };

static enum over over(struct span rest, bool within)
{
    struct span next = span_left(rest), key, value;
    size_t blanks = (size_t)(next.text - rest.text);
    if (next.length == 0)
        return YES;
    struct span behind = span_left(span_from(next, 1));
    if (!within)
        return (blanks && *next.text == '#') || (*next.text == ',' && behind.length == 0) ? YES : NO;
    if (strchr("}]:", *next.text) || span_starts(next, "//") || span_starts(next, "/*"))
        return YES;
    if (*next.text != ',') /* a comma was forgotten at a line's end */
        return memchr(rest.text, '\n', blanks) && strchr("\"'", *next.text) ? YES : NO;
    if (behind.length == 0 || strchr("\"'{[}]-/0123456789", *behind.text) || (*behind.text & 0x80) ||
        memchr(next.text, '\n', (size_t)(behind.text - next.text)))
        return YES;
    bool keyed = span_key(span_first(behind, 40), &key, &value) && !memchr(key.text, ' ', key.length);
    return keyed ? YES : MAYBE;
}

/* A quote that ends a word in the text's middle, as in '"a" and "b"' or '"a": b': the text only begins with a quoted word. */
static bool ends_word(struct span span, size_t at, size_t size)
{
    struct span behind = span_from(span, at + size);
    return at > size && !span_blank(span_from(span, at - 1)) &&
           (span_blank(behind) || span_starts(behind, ":"));
}

size_t span_quoted(struct span span, bool within, size_t *open, size_t *close)
{
    const struct quotes *kind = NULL;
    for (size_t i = 0; !kind && i < sizeof quotes / sizeof *quotes; i++)
        kind = span_starts(span, quotes[i].open) ? &quotes[i] : NULL;
    if (!kind)
        return 0;
    *open = strlen(kind->open);
    bool first = true;
    size_t maybe = 0, size = 0; /* a closing one in front of a comma that may be the text's own */
    for (size_t at = *open; at < span.length; at++) {
        if (span.text[at] == '\\' && *kind->open == '"') {
            at++;
            continue;
        }
        *close = closer(span_from(span, at), kind);
        if (!*close)
            continue;
        if (*kind->open == '\'' && *close && span_starts(span_from(span, at + 1), "'")) {
            at++; /* '' is a quote in YAML's single quotes */
            continue;
        }
        enum over found = over(span_from(span, at + *close), within);
        if (found == YES)
            return at;
        if (found == MAYBE && !maybe) {
            maybe = at;
            size = *close;
        }
        if (first && ends_word(span, at, *close))
            return 0;
        first = false;
    }
    *close = size;
    return maybe;
}

static void add_character(unsigned long code, struct buffer *out)
{
    char utf8[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        code = 0xfffd, size = 3;
    for (size_t i = size; i-- > 1; code >>= 6)
        utf8[i] = (char)(0x80 | (code & 0x3f));
    utf8[0] = (char)(heads[size == 1 ? 0 : size] | code);
    buffer_add(out, utf8, size);
}

static bool hex(struct span digits, size_t count, unsigned long *code)
{
    char text[9];
    if (digits.length < count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!isxdigit((unsigned char)digits.text[i]))
            return false;
    memcpy(text, digits.text, count);
    text[count] = '\0';
    *code = strtoul(text, NULL, 16);
    return true;
}

/* The escape behind a backslash; how many bytes it takes, 0: it is none and both stay as they are. */
static size_t escape(struct span rest, struct buffer *out)
{
    static const char letters[] = "ntrbfe0\"\\/'", meant[] = "\n\t\r\b\f\x1b\0\"\\/'";
    unsigned long code, low;
    const char *known = rest.length ? memchr(letters, *rest.text, sizeof letters - 1) : NULL;
    if (known) {
        add_character((unsigned char)meant[known - letters], out);
        return 1;
    }
    if (!rest.length || !strchr("uxU", *rest.text))
        return 0;
    size_t count = *rest.text == 'u' ? 4 : *rest.text == 'x' ? 2 : 8;
    if (!hex(span_from(rest, 1), count, &code))
        return 0;
    struct span pair = span_from(rest, 1 + count);
    if (code >= 0xd800 && code < 0xdc00 && span_starts(pair, "\\u") && hex(span_from(pair, 2), 4, &low) &&
        low >= 0xdc00 && low < 0xe000) {
        add_character(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), out);
        return 11;
    }
    add_character(code, out);
    return 1 + count;
}

void span_unescape(struct span inner, char open, struct buffer *out)
{
    for (size_t at = 0; at < inner.length; at++) {
        size_t taken = 0;
        if (open == '"' && inner.text[at] == '\\')
            taken = escape(span_from(inner, at + 1), out);
        else if (open == '\'' && span_starts(span_from(inner, at), "''"))
            buffer_add(out, inner.text + at, taken = 1);
        if (taken)
            at += taken;
        else
            buffer_add(out, inner.text + at, 1);
    }
}
