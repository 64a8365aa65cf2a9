/* The lines to the workers: an nng pair socket for each agent, listening at FOLDER/NAME.sock (mode 0600).
 *
 * A line belongs to one process at a time: a connection from any other pid is refused when it comes (the kernel
 * says whose it is). A worker that is not connected gets nothing: what was to be sent to one never reaches the next.
 * nng's threads only set flags and wake the loop; everything else happens in the loop's thread. */
#ifndef AGENTOS_SUPERVISOR_PROCESS_SWITCHBOARD_H
#define AGENTOS_SUPERVISOR_PROCESS_SWITCHBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/fault.h"
#include "supervisor/process/loop.h"

struct switchboard;
struct line;

/* How much of one line one turn of the loop hears. The rest is for a later turn, after everybody else's. */
struct line_turn {
    unsigned messages; /* that it may still hear; one within another counts, too */
    int64_t until_ms;  /* clock_monotonic_ms */
    size_t heard; /* bytes of this message that were heard before, or in this turn; 0: the whole message */
};
static inline bool line_turn_over(const struct line_turn *turn)
{
    return turn->messages == 0 || clock_monotonic_ms() >= turn->until_ms;
}

struct line_owner {
    /* A message has come, or the rest of one: it begins at turn->heard. When the turn is over before the message, heard is
     * left at what was heard of it; 0: all. False: it isn't one that may be sent; the line stops reading until line_leave. */
    bool (*message)(void *context, const void *bytes, size_t length, struct line_turn *turn);
    void (*lost)(void *context); /* the connection of the expected process has ended */
    void (*free)(void *context); /* the line is free for the next process, as line_await_free asked */
};

enum { LINE_QUEUE_MAX = 64 * 1024 * 1024 /* bytes that wait for one worker to read */ };

/* folder: absolute path, 0700, exists. NULL and fault. */
struct switchboard *switchboard_open(struct loop *loop, const char *folder, struct fault *fault);
void switchboard_close(struct switchboard *board);            /* after its lines */
bool switchboard_distrusted(const struct switchboard *board); /* a line of it was abandoned: nng loses ends */

struct line *line_open(struct switchboard *board, const char *name, const struct line_owner *owner,
                       void *context, struct fault *fault);
/* Nobody comes in any more, and its owner is called no more. What is open for it is closed some seconds later, when nng can
 * close it without losing any of it; at the end of the board it is left open. */
void line_close(struct line *line);
/* The line's former connection doesn't end, though its process is gone (nng 1.5 can lose the end of a pipe): give the
 * whole socket up, without touching nng again, which might hang. A new line_open takes its place at the same path.
 * What is given up stays in memory for the process's life: nng may still call into it. */
void line_abandon(struct line *line);
const char *line_url(const struct line *line);

/* Whose line it is from now on, after line_await_free: only this process is let in. False and fault: nobody is. */
bool line_expect(struct line *line, pid_t pid, struct fault *fault);
/* In these two a line that is NULL counts for nothing. */
/* It is nobody's, for its process has ended: what waited to be sent is dropped, and so is what still comes. */
void line_leave(struct line *line);
/* Read what has come so far, as a turn of the loop would. True: there may be more. */
bool line_drain(struct line *line);
/* owner.free is called as soon as no connection is left: in the call itself or later. */
void line_await_free(struct line *line);

/* Sends, or queues until the worker reads. False: more than LINE_QUEUE_MAX would wait; nothing is queued then. */
bool line_send(struct line *line, const struct buffer *message);
bool line_idle(const struct line *line); /* nothing waits to be sent */

#endif
