/* Pieces of a reply's text, and the characters that models put around what they mean: blanks of every kind, bullets,
 * quotes, bold. Pure; a span borrows its text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/format/markdown.h"

struct span {
    const char *text;
    size_t length;
};

struct span span_of(const char *text);              /* up to its NUL */
struct span span_from(struct span span, size_t at); /* without its first `at` bytes; at may be past its end */
struct span span_first(struct span span, size_t length);
bool span_starts(struct span span, const char *with);

/* Bytes of the blank that the span begins with, no-break, full-width and zero-width ones included; 0: none. Line ends
 * are no blanks. */
size_t span_blank(struct span span);
struct span span_left(struct span span); /* without blanks and line ends in front */
struct span span_trim(struct span span); /* without blanks and line ends around it */
bool span_empty(struct span span);       /* nothing but blanks and line ends */
/* Bytes of the blanks in front; *columns: how deep that is, a tab counting four. columns may be NULL. */
size_t span_indent(struct span line, size_t *columns);
/* The next line without its end; *at moves behind it. False: there is none. */
bool span_line(struct span text, size_t *at, struct span *line);

/* Bytes of "- ", "* ", "• ", "1. ", "1) " and the like with the blanks behind it; 0: none. */
size_t span_bullet(struct span span);
/* A fence at any depth, also behind `> `; levels (may be NULL): how many of those. */
bool span_fence(struct span line, struct fence *fence, size_t *levels);
/* Where the code that the fence line at `at` opens ends, its closing line included; 0: no fence, or never closed.
 * hopeless remembers what was not found (zero-initialise): a text of nothing but fences must not take forever. */
struct fence_memory {
    size_t backtick, tilde;
};
size_t span_code_end(struct span text, size_t at, struct fence_memory *hopeless);

/* Does it mean one of the names ("skill|skills"), whatever its case, with '_', '-' or nothing between its words, and
 * whatever stands around it (bold, quotes, a heading's mark)? */
bool span_means(struct span span, const char *names);
/* The colon (also a full-width one) of "key: value" within the line's first bytes: *key in front of it as written,
 * *value behind it, where **key:** may end. False: it is no such line. */
bool span_key(struct span line, struct span *key, struct span *value);

/* In quotes of some kind as a whole: where the closing one begins. within: text goes on behind it, as in JSON and in
 * YAML's brackets. 0: it isn't quoted, or not as a whole. */
size_t span_quoted(struct span span, bool within, size_t *open, size_t *close);
/* The text of what stands in quotes of the kind that `open` begins with, escapes resolved. */
void span_unescape(struct span inner, char open, struct buffer *out);
