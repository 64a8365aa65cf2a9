/* Who is connected, and for how long: a client that is slow, or silent, holds its place for a limited time, however it
 * spreads its bytes. When many have come that time is short, so that those who wait at the door get in.
 *
 * Nobody is closed here: the socket is shut down, and its owner sees its end. */
#ifndef AGENTOS_SUPERVISOR_HTTP_CONNECTIONS_H
#define AGENTOS_SUPERVISOR_HTTP_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    GUESTS_MAX = 128, /* the rest waits in the socket's backlog */
    GUESTS_CROWD = 64,
    /* For a request to come, the head of it whole; for the answer to be read; and both in a crowd. */
    GUESTS_REQUEST_MS = 10 * 1000,
    GUESTS_ANSWER_MS = 30 * 1000,
    GUESTS_CROWD_REQUEST_MS = 1000,
    GUESTS_CROWD_ANSWER_MS = 5000,
};

struct guest {
    int fd;
    bool busy, shown_out; /* busy: a request of it is being answered */
    int64_t since;        /* clock_monotonic_ms */
    TAILQ_ENTRY(guest) link;
};

struct guests { /* guests_begin */
    TAILQ_HEAD(, guest) all;
    size_t count;
};

void guests_begin(struct guests *guests);
struct guest *guests_come(struct guests *guests, int fd, int64_t now);
void guests_ask(struct guest *guest, int64_t now);  /* the head of a request is there */
void guests_rest(struct guest *guest, int64_t now); /* it is answered */
void guests_leave(struct guests *guests, struct guest *guest);

int64_t guests_deadline(const struct guests *guests); /* of the first who must go; -1: nobody */
void guests_expire(struct guests *guests, int64_t now);

#endif
