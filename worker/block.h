/* queue.md's grammar (contract section 5): text in, blocks out. Pure; no files. */
#ifndef AGENTOS_WORKER_BLOCK_H
#define AGENTOS_WORKER_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/envelope.h" /* enum priority */

struct block {
    char *id;   /* as written, trimmed; valid UTF-8 */
    char *task; /* NULL: the block lacks it */
    enum priority priority;
    int64_t created;     /* epoch seconds; 0: not given or not readable */
    int64_t ttl_seconds; /* 0: none */
    char *lock, *from;   /* NULL: none */
    uint64_t hash; /* of the fields' values (not of line ends, trailing blanks, order of fields, or the id) */
    size_t start, end;   /* bytes [start, end) of the text, the header's line first */
    unsigned line;       /* of the header, from 1 */
    const char *problem; /* NULL: it can be done; else why not, a static sentence */
};

struct block_list {
    struct block *items;
    size_t count;
    size_t preamble; /* bytes before the first block */
};

void block_parse(struct block_list *list, const char *text, size_t length);
void block_list_free(struct block_list *list);
/* A block as text that block_parse reads back as the same: for `agentos task`. Begins with a blank line. */
void block_print(const struct block *block, struct buffer *out);

#endif
