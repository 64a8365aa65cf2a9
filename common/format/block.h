/* queue.md's grammar (contract section 5): text in, blocks out. Pure; no files.
 *
 * A block starts at a line `## ID` whose next line with text begins with a known field, at its first column. In a
 * block, a line that begins with a known field that the block doesn't have yet is that field; every other line
 * belongs to the task's text, wherever it stands, so nothing that a person wrote is dropped. Code fences mean
 * nothing here, closed or not. A header that was appended behind a line without newline ("task: x## b") starts a block
 * too when the next line repeats a field. */
#ifndef AGENTOS_COMMON_FORMAT_BLOCK_H
#define AGENTOS_COMMON_FORMAT_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/format/envelope.h" /* enum priority */

struct block {
    char *id;   /* as written, trimmed; valid UTF-8 */
    char *task; /* NULL: the block lacks it; without the indentation, valid UTF-8, NUL became U+FFFD */
    enum priority priority; /* normal when missing or no known word */
    int64_t created;        /* epoch seconds; 0: not given or not readable */
    int64_t ttl_seconds;    /* 0: none, or no whole number above 0 */
    char *lock, *from;      /* NULL: none */
    uint64_t
        hash; /* of the fields' values, `created` as written (not of line ends, trailing blanks, order of fields,
                      or the id): the same block appended again has the same */
    size_t start,
        end; /* bytes [start, end) of the text, the header's line first, blank lines behind it included */
    unsigned line; /* of the header, from 1 */
    const char
        *doubt; /* NULL, or what was written but not understood and is taken as missing: a static text */
    const char
        *problem; /* NULL: it can be done; else why not, a static text that follows on "the block ..., " */
};

struct block_list {
    struct block *items;
    size_t count;
    size_t preamble; /* bytes before the first block */
};

/* list needs no preparation; block_list_free it. Linear in length. */
void block_parse(struct block_list *list, const char *text, size_t length);
/* The same for a list that was parsed from a text with which this one has the first items[keep].start bytes in
 * common: keeps those items and reads the rest anew. keep >= count: everything. */
void block_parse_tail(struct block_list *list, size_t keep, const char *text, size_t length);
void block_list_free(struct block_list *list);
void block_clear(struct block *block); /* frees what it owns, not the block itself */
/* A sentence a line, with name and line in front, on each of the first few places where somebody seems to have meant a
 * block: `### a` or `##a` with a field below, `## a` with `Task: x` or `- task: x`. list is what block_parse made of
 * text; only its first BLOCK_HINTS_SPAN bytes are looked at: what comes later moves up. */
enum { BLOCK_HINTS_SPAN = 256 * 1024 };
void block_hints(const struct block_list *list, const char *text, size_t length, const char *name,
                 struct buffer *out);
/* A block as text that block_parse reads back as the same: for `agentos task`. Begins with a blank line. */
void block_print(const struct block *block, struct buffer *out);

#endif
