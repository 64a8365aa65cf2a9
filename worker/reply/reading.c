#include "worker/reply/reading.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"
#include "worker/reply/example.h"

enum { FAULTS_MAX = 2000 /* bytes */ };

void reading_complain(struct reading *reading, const char *format, ...)
{
    char sentence[400];
    if (reading->faults.length > FAULTS_MAX) {
        reading->unsaid++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    OWNED char *clean = utf8_clean(sentence, strlen(sentence)); /* a character may have been cut */
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    buffer_text(&reading->faults, reading->faults.length ? "; " : "");
    buffer_text(&reading->faults, clean);
}

char *reading_faults(struct reading *reading)
{
    if (reading->unsaid)
        buffer_print(&reading->faults, "; and %zu more", reading->unsaid);
    return reading->faults.length ? buffer_take(&reading->faults) : NULL;
}

char *reading_limit(struct reading *reading, const char *what, char *text, size_t limit)
{
    size_t length = text ? strlen(text) : 0;
    if (length > limit) {
        reading_complain(reading, "%s has %zu bytes and was cut to %zu", what, length, limit);
        text[utf8_cut(text, length, limit)] = '\0';
    }
    if (text && *text == '\0') {
        free(text);
        return NULL;
    }
    return text;
}

/* Line breaks and control characters become blanks, in place. Returns text, which may be NULL. */
static char *reading_one_line(char *text)
{
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return text;
}

/* YAML's comment at each line's end, set off by two blanks at least and with one behind its mark: "#7" and "C # and D"
 * are text. */
static void drop_comments(char *text)
{
    char *to = text;
    for (struct span all = span_of(text), line, rest = all; rest.length > 0;) {
        size_t next = 0;
        span_line(rest, &next, &line);
        rest = span_from(rest, next);
        const char *comment = memmem(line.text, line.length, "  # ", 4);
        while (comment && comment > line.text && comment[-1] == ' ')
            comment--;
        if (comment && comment > line.text)
            line.length = (size_t)(comment - line.text);
        memmove(to, line.text, line.length);
        to += line.length;
        *to = rest.length > 0 ? '\n' : '\0';
        to += rest.length > 0;
    }
}

/* In quotes, or as lines below a "|": nothing in it is a comment. */
static bool is_set_off(const struct field *field)
{
    size_t open, close, at = 0;
    struct span text = span_trim(span_of(field->text)), first = text;
    span_line(text, &at, &first);
    return field->literal || field_is_header(first) || span_quoted(text, false, &open, &close) > 0;
}

char *reading_line(struct reading *reading, const char *what, const struct field *field, size_t limit)
{
    if (!field)
        return NULL;
    if (field_is_bracketed(field)) {
        reading_complain(reading, "%s is no text and was not used", what);
        return NULL;
    }
    char *text = field_text(field);
    if (!is_set_off(field))
        drop_comments(text);
    return reading_limit(reading, what, reading_one_line(text), limit);
}

char *reading_name(char *text)
{
    struct span name = span_trim(span_of(text ? text : ""));
    while (name.length && strchr("@*`\"'", *name.text))
        name = span_from(name, 1);
    while (name.length && strchr("*`\"'.,", name.text[name.length - 1]))
        name.length--;
    char *bare = text ? memory_slice(name.text, name.length) : NULL;
    free(text);
    return bare;
}

/* The first line that is no comment. */
static struct span first_words(struct span text)
{
    struct span line = {0};
    for (size_t at = 0; span_line(text, &at, &line);)
        if (!span_empty(line) && *span_left(line).text != '#')
            return span_trim(line);
    return span_first(line, 0);
}

void reading_tell_rest(struct reading *reading, const char *what, const struct fields *fields)
{
    struct span stray = first_words((struct span){fields->stray.data, fields->stray.length});
    for (size_t i = 0; i < fields->count; i++)
        if (fields->items[i].key == FIELD_UNKNOWN)
            reading_complain(reading, "the key \"%.80s\" is unknown and was not used (in %s)",
                             fields->items[i].name, what);
    if (stray.length)
        reading_complain(reading, "%s has text that belongs to no key and was not used: \"%.*s\"", what,
                         (int)utf8_cut(stray.text, stray.length, 80), stray.text);
}

bool reading_is_example(struct reading *reading, const char *what, const char *text)
{
    if (!example_is(text))
        return false;
    reading->echoed = true;
    reading_complain(reading, "%s only repeats the prompt's example and was not used", what);
    return true;
}
