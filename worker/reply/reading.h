/* Shared by the files that read a reply (reply.c, reply_lists.c); nobody else needs it. */
#ifndef AGENTOS_WORKER_REPLY_READING_H
#define AGENTOS_WORKER_REPLY_READING_H

#include <stddef.h>

#include "common/buffer.h"
#include "worker/reply/block.h"
#include "worker/reply/reply.h"

/* A reply while it is read, and what was wrong with it so far. */
struct reading {
    struct reply *reply;
    struct buffer faults;
};

/* One more fault, as half a sentence in one line; many of them are cut off. */
void reading_complain(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes text (may be NULL) and cuts it to limit bytes, with a fault; "" becomes NULL. */
char *reading_limit(struct reading *reading, const char *what, char *text, size_t limit);
/* Line breaks and control characters become blanks, in place. Returns text, which may be NULL. */
char *reading_one_line(char *text);

/* Goals, handoffs, messages, items and segments. */
void reply_lists_read(struct reading *reading, const struct parts *parts);

#endif
