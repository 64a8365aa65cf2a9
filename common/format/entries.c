#include "common/format/entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/markdown.h"
#include "common/memory.h"
#include "common/utf8.h"

/* The heading of this level in the line, trimmed; false: it is none. */
static bool heading(int level, const char *line, size_t length, const char **text, size_t *text_length)
{
    size_t marks = (size_t)level;
    if (length <= marks + 1 || strspn(line, "#") != marks || (line[marks] != ' ' && line[marks] != '\t'))
        return false;
    *text = line + marks;
    *text_length = length - marks;
    markdown_trim(text, text_length);
    return *text_length > 0;
}

static struct entry *room(struct entries *entries)
{
    MEMORY_MORE(entries->items, entries->count);
    return &entries->items[entries->count++];
}

/* A copy without blank lines behind it, ending with one newline. */
static char *section(const char *text, size_t length)
{
    while (length && strchr("\r\n \t", text[length - 1]) && text[length - 1])
        length--;
    if (length == 0)
        return memory_text("");
    char *copy = memory_slice(text, length + 1);
    copy[length] = '\n';
    return copy;
}

static char *without_returns(const char *text, size_t *length)
{
    char *copy = memory_slice(text, *length);
    size_t to = 0;
    for (size_t from = 0; from < *length; from++) {
        while (copy[from] == '\n' && to && copy[to - 1] == '\r')
            to--;
        copy[to++] = copy[from];
    }
    copy[to] = '\0';
    *length = to;
    return copy;
}

static void parse(struct entries *entries, const char *text, size_t length)
{
    struct fence_walk walk = {0};
    size_t start = 0;
    for (size_t at = 0, end, next; at < length; at = next) {
        next = markdown_line(text, length, at, &end);
        const char *title;
        size_t title_length;
        if (markdown_is_code(&walk, text, length, at, end, next) ||
            !heading(entries->level, text + at, end - at, &title, &title_length))
            continue;
        char *above = section(text + start, at - start);
        if (entries->count)
            entries->items[entries->count - 1].lines = above;
        else
            entries->preamble = above;
        *room(entries) = (struct entry){.heading = memory_slice(title, title_length)};
        start = next;
    }
    char *rest = section(text + start, length - start);
    if (entries->count)
        entries->items[entries->count - 1].lines = rest;
    else
        entries->preamble = rest;
}

void entries_parse(struct entries *entries, int level, const char *text, size_t length)
{
    *entries = (struct entries){.level = level};
    OWNED char *copy = NULL;
    while (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        length -= 3;
    }
    if (length && memchr(text, '\r', length))
        text = copy = without_returns(text, &length);
    parse(entries, text, length);
}

void entries_print(const struct entries *entries, struct buffer *out)
{
    buffer_text(out, entries->preamble);
    for (size_t i = 0; i < entries->count; i++) {
        if (i || *entries->preamble)
            buffer_add(out, "\n", 1);
        buffer_add(out, "###", (size_t)entries->level);
        buffer_add(out, " ", 1);
        buffer_text(out, entries->items[i].heading);
        buffer_add(out, "\n", 1);
        buffer_text(out, entries->items[i].lines);
    }
}

static void entry_free(struct entry *entry)
{
    free(entry->heading);
    free(entry->lines);
}

void entries_free(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        entry_free(&entries->items[i]);
    free(entries->items);
    free(entries->preamble);
    *entries = (struct entries){0};
}

struct entry *entries_find(struct entries *entries, const char *title)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].heading, title) == 0)
            return &entries->items[i];
    return NULL;
}

/* One line of it: control characters and line breaks are blanks, none around it. */
static char *one_line(const char *text)
{
    size_t length = strlen(text);
    markdown_trim(&text, &length);
    char *line = memory_slice(text, length);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return line;
}

struct entry *entries_append(struct entries *entries, const char *title)
{
    struct entry *entry = room(entries);
    *entry = (struct entry){.heading = one_line(title), .lines = memory_text("")};
    return entry;
}

void entries_remove(struct entries *entries, size_t index)
{
    entry_free(&entries->items[index]);
    entries->count--;
    memmove(&entries->items[index], &entries->items[index + 1],
            (entries->count - index) * sizeof *entries->items);
}

static void cut(char *text, size_t limit)
{
    size_t length = strlen(text);
    if (length <= limit)
        return;
    const char *feed = memrchr(text, '\n', limit);
    length = feed ? (size_t)(feed - text) + 1 : utf8_cut(text, length, limit - 1);
    if (!feed)
        text[length++] = '\n';
    text[length] = '\0';
}

void entries_shorten(struct entries *entries, size_t first, size_t count, size_t limit)
{
    enum { HEADING_MAX = 256 };
    size_t kept = 0;
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *entry = &entries->items[i];
        if (i < first || i - first >= count) {
            entry_free(entry);
            continue;
        }
        entry->heading[utf8_cut(entry->heading, strlen(entry->heading), HEADING_MAX)] = '\0';
        cut(entry->lines, limit);
        entries->items[kept++] = *entry;
    }
    entries->count = kept;
    cut(entries->preamble, limit);
}

static const char *behind_blanks(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

/* The line with this field: [start, end) of lines, without the newline. NULL: none. */
static const char *field(const char *lines, const char *key, size_t *line_length, const char **value)
{
    size_t key_length = strlen(key);
    for (const char *line = lines, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        const char *at = behind_blanks(line);
        if (*at == '-' || *at == '*') {
            at = behind_blanks(at + 1);
            if ((*at | 0x20) != *key || strncasecmp(at, key, key_length) != 0)
                at = "";
            else
                at = behind_blanks(at + key_length);
            if (*at == ':') {
                *line_length = next ? (size_t)(next - line) : strlen(line);
                *value = at + 1;
                return line;
            }
        }
        next = next ? next + 1 : NULL;
    }
    return NULL;
}

const char *entry_value(const struct entry *entry, const char *key, size_t *length)
{
    const char *value;
    const char *line = field(entry->lines, key, length, &value);
    if (!line)
        return NULL;
    *length -= (size_t)(value - line);
    markdown_trim(&value, length);
    return value;
}

char *entry_get(const struct entry *entry, const char *key)
{
    size_t length;
    const char *value = entry_value(entry, key, &length);
    return value ? memory_slice(value, length) : NULL;
}

/* The value as a short text; false: none, or too long to be a number or a time. */
static bool short_value(const struct entry *entry, const char *key, char *text, size_t size)
{
    size_t length;
    const char *value = entry_value(entry, key, &length);
    if (!value || length == 0 || length >= size)
        return false;
    memcpy(text, value, length);
    text[length] = '\0';
    return true;
}

bool entry_integer(const struct entry *entry, const char *key, int64_t *value)
{
    char text[32], *end;
    if (!short_value(entry, key, text, sizeof text))
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end || end == text)
        return false;
    *value = number;
    return true;
}

bool entry_time(const struct entry *entry, const char *key, int64_t *seconds)
{
    char text[64];
    return short_value(entry, key, text, sizeof text) && clock_parse(text, seconds);
}

/* A new field goes behind the last line that is one, so that text below the fields stays below them. */
static size_t behind_fields(const char *lines)
{
    size_t at = 0, behind = 0;
    while (lines[at]) {
        size_t length = strcspn(lines + at, "\n");
        const char *line = lines + at;
        at += length + (line[length] == '\n');
        if ((line[0] == '-' || line[0] == '*') && memchr(line, ':', length))
            behind = at;
    }
    return behind;
}

void entry_drop(struct entry *entry, const char *key)
{
    size_t length;
    const char *value, *line = field(entry->lines, key, &length, &value);
    if (!line)
        return;
    char *start = entry->lines + (line - entry->lines), *rest = start + length + (start[length] == '\n');
    memmove(start, rest, strlen(rest) + 1);
}

void entry_set(struct entry *entry, const char *key, const char *value)
{
    OWNED char *text = one_line(value);
    size_t length = 0;
    const char *old;
    const char *line = field(entry->lines, key, &length, &old);
    size_t start = line ? (size_t)(line - entry->lines) : behind_fields(entry->lines);
    struct buffer lines = {0};
    buffer_add(&lines, entry->lines, start);
    buffer_text(&lines, "- ");
    buffer_text(&lines, key);
    buffer_text(&lines, *text ? ": " : ":");
    buffer_text(&lines, text);
    buffer_add(&lines, "\n", 1);
    const char *rest = entry->lines + start + length;
    if (line && *rest == '\n')
        rest++;
    buffer_text(&lines, rest);
    free(entry->lines);
    entry->lines = buffer_take(&lines);
}
