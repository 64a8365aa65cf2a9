/* A Markdown file of entries under headings, as a person may edit it: skills.md (###), rewards.md (##),
 * reflections.md (##). What stands before the first heading and lines that nobody knows are kept as they are. */
#ifndef AGENTOS_WORKER_ENTRIES_H
#define AGENTOS_WORKER_ENTRIES_H

#include <stddef.h>

#include "common/buffer.h"

struct entry {
    char *heading; /* without the #s */
    char *lines;   /* all below it, with "- key: value" fields among them; ends with one newline */
};

struct entries {
    int level; /* number of #s: 2 or 3 */
    char *preamble;
    struct entry *items;
    size_t count;
};

/* CRLF becomes LF; headings inside code fences count as text. Two entries may have the same heading. */
void entries_parse(struct entries *entries, int level, const char *text, size_t length);
void entries_print(const struct entries *entries, struct buffer *out);
void entries_free(struct entries *entries);

struct entry *entries_find(struct entries *entries, const char *heading); /* the first */
struct entry *entries_append(struct entries *entries, const char *heading);
void entries_remove(struct entries *entries, size_t index);

/* The value behind "- key:", trimmed; NULL: there is none. Caller frees. */
char *entry_get(const struct entry *entry, const char *key);
/* Replace or add the line; line breaks in value become blanks. */
void entry_set(struct entry *entry, const char *key, const char *value);

#endif
