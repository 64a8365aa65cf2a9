/* A Markdown file of entries under headings, as a person may edit it: skills.md (###), rewards.md (##),
 * reflections.md (##). What stands before the first heading and lines that nobody knows are kept as they are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct entry {
    char *heading; /* without the #s; one line, trimmed */
    char *lines;   /* all below it, with "- key: value" fields among them; "" or ends with one newline */
};

struct entries {
    int level;      /* number of #s: 2 or 3 */
    char *preamble; /* "" or ends with one newline */
    struct entry *items;
    size_t count;
};

/* CRLF becomes LF, a byte-order mark goes; headings inside code fences count as text, unless the fence is never
 * closed. Two entries may have the same heading. Printing what was parsed and parsing it again gives the same. */
void entries_parse(struct entries *entries, int level, const char *text, size_t length);
void entries_print(const struct entries *entries, struct buffer *out);
void entries_free(struct entries *entries);

struct entry *entries_find(struct entries *entries, const char *heading);   /* the first; NULL: none */
struct entry *entries_append(struct entries *entries, const char *heading); /* line breaks become blanks */
void entries_remove(struct entries *entries, size_t index);
/* Only [first, first + count) stay; what of each and of the preamble goes past limit bytes is cut off behind a line. */
void entries_shorten(struct entries *entries, size_t first, size_t count, size_t limit);

/* The value behind "- key:" (a blank before, and * for -, are fine), trimmed; NULL: there is none. Borrowed. */
const char *entry_value(const struct entry *entry, const char *key, size_t *length);
/* The same as a copy. Caller frees. */
char *entry_get(const struct entry *entry, const char *key);
/* As a whole decimal number with an optional sign. False: not there or no such number. */
bool entry_integer(const struct entry *entry, const char *key, int64_t *value);
/* As a point in time. */
bool entry_time(const struct entry *entry, const char *key, int64_t *seconds);
/* Replace or add the line; line breaks in value become blanks. */
void entry_set(struct entry *entry, const char *key, const char *value);
void entry_drop(struct entry *entry, const char *key); /* the line, if there is one */
