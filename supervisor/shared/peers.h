/* An agent's prompt about the others: the texts for {{peers}} and {{segments}} (contract sections 6, 9). Pure: made
 * from the arguments, each within its cap, whole lines and whole characters. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "supervisor/shared/segments.h"

enum {
    PEERS_LISTED = 160,           /* a line has fifty bytes at least */
    PEERS_MAX = 8 * 1024,         /* bytes; the relay cuts off there (model/relay.h) */
    SEGMENTS_TEXT_MAX = 16 * 1024 /* bytes; the relay cuts off there */
};

struct peer {
    const char *name, *domain, *class_name, *pressure;
    int64_t unfinished, window, deferred, backlog;
    const char *absence; /* "stopped", "paused" …: why the agent does no work now; NULL: it does */
    int64_t since;       /* epoch seconds, of the absence; 0: not known */
};

struct peer_queue {
    const char *name;
    size_t waiting, under_way;
};

/* The agents and queues that the agent may send to, a line each, and the keys of a reply that send to them; when not
 * all fit, a line counts the rest. more: agents beyond the given ones, of which PEERS_LISTED are always enough. */
void peers_print(const struct peer *peers, size_t peer_count, size_t more, const struct peer_queue *queues,
                 size_t queue_count, struct buffer *out);

/* The segments that the agent may read, fenced as data with their versions, and the names and versions of segments
 * that it may only write, with the key of a reply that writes them. A text that doesn't fit is cut, and says so. */
void peers_print_segments(struct segments *segments, const char *agent, struct buffer *out);
