#include "supervisor/control/send_queue.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"

enum { SPARE = 128 /* kept for the line about lost lines */ };

static size_t waiting(const struct send_queue *queue)
{
    return queue->bytes.length - queue->done;
}

/* Told at half the limit: a reader that is just too slow hears of many lost lines at once, not of each. */
static void tell_lost(struct send_queue *queue)
{
    char now[CLOCK_TEXT];
    if (!queue->lost || waiting(queue) > SEND_QUEUE_MAX / 2)
        return;
    buffer_print(&queue->bytes, "{\"time\":\"%s\",\"event\":\"lost\",\"count\":%" PRIu64 "}\n",
                 clock_format(clock_now(), now), queue->lost);
    queue->lost = 0;
}

void send_queue_line(struct send_queue *queue, const char *line)
{
    size_t length = strlen(line);
    tell_lost(queue);
    if (queue->lost || waiting(queue) + length + SPARE > SEND_QUEUE_MAX) {
        queue->lost++;
        return;
    }
    if (queue->done > SEND_QUEUE_MAX) {
        buffer_drop(&queue->bytes, queue->done);
        queue->done = 0;
    }
    buffer_add(&queue->bytes, line, length);
    buffer_add(&queue->bytes, "\n", 1);
}

const char *send_queue_waiting(struct send_queue *queue, size_t *length)
{
    tell_lost(queue);
    *length = waiting(queue);
    return *length ? queue->bytes.data + queue->done : NULL;
}

void send_queue_read(struct send_queue *queue, size_t length)
{
    queue->done += length;
    if (queue->done < queue->bytes.length)
        return;
    queue->bytes.length = 0;
    queue->done = 0;
}

void send_queue_free(struct send_queue *queue)
{
    buffer_free(&queue->bytes);
    *queue = (struct send_queue){0};
}
