/* What waits for one reader: whole lines, at most FEED_MAX bytes. A reader that is too slow loses lines, and is told how
 * many as soon as there is room again; whoever writes never waits. */
#ifndef AGENTOS_SUPERVISOR_CONTROL_SEND_QUEUE_H
#define AGENTOS_SUPERVISOR_CONTROL_SEND_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

enum { FEED_MAX = 256 * 1024 };

struct feed { /* zeroed at first */
    struct buffer bytes;
    size_t done;   /* of bytes: read already */
    uint64_t lost; /* lines, not told yet */
};

void feed_line(struct feed *feed, const char *line); /* without its newline */
/* What is to be read now; NULL: nothing. Call feed_read afterwards. */
const char *feed_waiting(struct feed *feed, size_t *length);
void feed_read(struct feed *feed, size_t length);
void feed_free(struct feed *feed);

#endif
