/* The lines to the workers: an nng pair socket for each living worker, listening at FOLDER/NAME.sock (mode 0600).
 *
 * A line belongs to one process from line_open to line_close: a connection from any other pid is refused when it
 * comes (the kernel tells its pid), and messages to that process, or late ones from it, reach nobody else. There are
 * as many sockets as workers lived at once: without a worker a socket has no descriptor, and waits for the next
 * line_open. nng's threads only leave messages and wake the loop; the loop's thread does all the rest. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/shared_bytes.h"
#include "supervisor/process/loop.h"

struct switchboard;
struct line;

/* A line's share of a turn of the loop. The rest is for a later turn, after all other lines. */
struct line_turn {
    unsigned messages; /* messages left to hear; one within another counts, too */
    int64_t until_ms;  /* clock_monotonic_ms */
    size_t heard; /* bytes of this message that were heard before, or in this turn; 0: the whole message */
    struct shared_bytes *kept; /* the message's, for a receiver that keeps it */
};
static inline bool line_turn_over(const struct line_turn *turn)
{
    return turn->messages == 0 || clock_monotonic_ms() >= turn->until_ms;
}

struct line_owner {
    /* A message has come, or the rest of one: it begins at turn->heard. When the turn is over before the message,
     * heard is left at the bytes that were heard; 0: all. False: the message may not be sent; the line reads no
     * more. */
    bool (*message)(void *context, const void *bytes, size_t length, struct line_turn *turn);
    void (*lost)(void *context); /* the connection of the expected process has ended */
};

enum { LINE_QUEUE_MAX = 16 * 1024 * 1024 /* bytes that wait for one worker to read */ };

/* folder: absolute path, 0700, exists. NULL and fault. */
struct switchboard *switchboard_open(struct loop *loop, const char *folder, struct fault *fault);
void switchboard_close(struct switchboard *board); /* after its lines */

/* The URL of the line for the worker of that name. The caller frees it. */
char *switchboard_url(const struct switchboard *board, const char *name);

/* Only the process pid is let in. NULL and fault. */
struct line *line_open(struct switchboard *board, const char *name, pid_t pid, const struct line_owner *owner,
                       void *context, struct fault *fault);
/* The process of the line has ended: no connection is let in any more, and the owner is called no more. Waiting
 * messages are dropped. The line's socket is lent to another worker as soon as its connection has ended; where nng
 * loses that end (1.5 can), never. */
void line_close(struct line *line); /* NULL is fine */
/* Reads what has come so far, as a turn of the loop would. True: there may be more. NULL is fine. */
bool line_drain(struct line *line);

/* Sends the message, or queues it until the worker reads. False: more than LINE_QUEUE_MAX would wait; the message is
 * not queued then. */
bool line_send(struct line *line, const struct buffer *message);
bool line_idle(struct line *line); /* nothing waits to be sent */
