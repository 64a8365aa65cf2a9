/* queue.md's grammar (contract section 5): text in, blocks out. Pure; no files.
 *
 * A block starts at a line `## ID` whose next line with text begins with a known field, at its first column. In a
 * block, a line that begins with a known field that the block doesn't have yet is that field; every other line
 * belongs to the task's text, wherever it stands, so nothing that a person wrote is dropped. Code fences mean
 * nothing here, closed or not. A header that was appended behind a line without newline ("task: x## b") starts a block
 * too when the next line repeats a field. A CR alone ends a line as LF and CRLF do.
 *
 * A stray is what looks like the start of a block and is none: `### b` or `##b` with a field below, `## b` with `Task: x`
 * or `- task: x`. It is an item of the list too: it ends the block before it, has a problem, and is nobody's text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/format/envelope.h" /* enum priority */

struct block {
    char *id;   /* as written, trimmed; valid UTF-8; of a stray: its first line */
    char *task; /* NULL: the block lacks it; without the indentation, valid UTF-8, NUL became U+FFFD */
    bool stray;
    enum priority priority; /* normal when missing or no known word */
    int64_t created;        /* epoch seconds; 0: not given or not readable */
    int64_t ttl_seconds;    /* 0: none, or no whole number above 0 */
    char *lock, *from;      /* NULL: none */
    uint64_t
        hash; /* of the fields' values, `created` as written (not of line ends, trailing blanks, order of fields,
                      or the id): the same block appended again has the same. Of a stray: of its whole text */
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
/* A sentence a line, with name and line in front, on each of the first BLOCK_HINTS_MAX strays, and the number of the
 * others. list is what block_parse made of text. */
enum { BLOCK_HINTS_MAX = 20 };
void block_hints(const struct block_list *list, const char *text, const char *name, struct buffer *out);
