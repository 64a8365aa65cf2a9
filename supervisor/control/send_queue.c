#include "supervisor/control/send_queue.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"

enum { SPARE = 128 /* kept for the word about what was lost */ };

static size_t waiting(const struct feed *feed)
{
    return feed->bytes.length - feed->done;
}

/* At half the limit: a reader that is just too slow hears of many at once, not of each. */
static void tell_lost(struct feed *feed)
{
    char now[CLOCK_TEXT];
    if (!feed->lost || waiting(feed) > FEED_MAX / 2)
        return;
    buffer_print(&feed->bytes, "{\"time\":\"%s\",\"event\":\"lost\",\"count\":%" PRIu64 "}\n",
                 clock_format(clock_now(), now), feed->lost);
    feed->lost = 0;
}

void feed_line(struct feed *feed, const char *line)
{
    size_t length = strlen(line);
    tell_lost(feed);
    if (feed->lost || waiting(feed) + length + SPARE > FEED_MAX) {
        feed->lost++;
        return;
    }
    if (feed->done > FEED_MAX) {
        buffer_drop(&feed->bytes, feed->done);
        feed->done = 0;
    }
    buffer_add(&feed->bytes, line, length);
    buffer_add(&feed->bytes, "\n", 1);
}

const char *feed_waiting(struct feed *feed, size_t *length)
{
    tell_lost(feed);
    *length = waiting(feed);
    return *length ? feed->bytes.data + feed->done : NULL;
}

void feed_read(struct feed *feed, size_t length)
{
    feed->done += length;
    if (feed->done < feed->bytes.length)
        return;
    feed->bytes.length = 0;
    feed->done = 0;
}

void feed_free(struct feed *feed)
{
    buffer_free(&feed->bytes);
    *feed = (struct feed){0};
}
