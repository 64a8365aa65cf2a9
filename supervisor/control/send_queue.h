/* A queue of whole lines for a reader, at most SEND_QUEUE_MAX bytes. A reader that is too slow loses lines, and is
 * told how many as soon as there is room again; the writer never waits. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

enum { SEND_QUEUE_MAX = 256 * 1024 };

struct send_queue { /* zeroed at first */
    struct buffer bytes;
    size_t done;   /* of bytes: read already */
    uint64_t lost; /* lines, not told yet */
};

void send_queue_line(struct send_queue *queue, const char *line); /* without its newline */
/* The bytes to be read now; NULL: none. Call send_queue_read afterwards. */
const char *send_queue_waiting(struct send_queue *queue, size_t *length);
void send_queue_read(struct send_queue *queue, size_t length);
void send_queue_free(struct send_queue *queue);
