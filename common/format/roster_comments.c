#include "common/format/roster_comments.h"

#include <string.h>

static const char *const free_texts[] = {"persona", "domain", "tone", "task"};

/* Where the value of "persona: value" or "- persona: value" begins; NULL: the line has no free text. */
static const char *value_of(const char *line, const char *end, const char **key, size_t *key_length)
{
    while (line < end && (*line == ' ' || *line == '-'))
        line++;
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon || colon + 2 >= end || colon[1] != ' ')
        return NULL;
    for (size_t i = 0; i < sizeof free_texts / sizeof free_texts[0]; i++) {
        *key = free_texts[i];
        *key_length = strlen(*key);
        if ((size_t)(colon - line) == *key_length && memcmp(line, *key, *key_length) == 0)
            return colon + 1 + strspn(colon + 1, " ");
    }
    return NULL;
}

/* The '#' that cuts a plain value off, with one blank before it; NULL: none does. */
static const char *comment_in(const char *value, const char *end)
{
    if (value >= end || strchr("\"'|>[{&*!#", *value))
        return NULL;
    for (const char *c = value + 1; c + 1 < end; c++)
        if (*c == '#' && c[-1] == ' ')
            return c - value > 1 && c[-2] != ' ' ? c : NULL;
    return NULL;
}

void roster_comments(const char *text, size_t length, const char *name, struct buffer *out)
{
    unsigned number = 1;
    for (const char *line = text, *stop = text + length; line < stop; number++) {
        const char *end = memchr(line, '\n', (size_t)(stop - line)), *key;
        size_t key_length;
        if (!end)
            end = stop;
        const char *value = value_of(line, end, &key, &key_length);
        const char *comment = value ? comment_in(value, end) : NULL;
        if (comment)
            buffer_print(out,
                         "%s:%u:%d: '#' behind a blank begins a comment, so the %s is only '%.*s'; in quotes "
                         "the whole line counts\n",
                         name, number, (int)(comment - line) + 1, key, (int)(comment - 1 - value), value);
        line = end + 1;
    }
}
