/* The connected clients, and for how long: a client that is slow, or silent, holds its place for a limited time,
 * however it spreads its bytes. When many clients have come that time is short, so that the waiting connections get
 * in.
 *
 * This file closes no socket: the socket is shut down, and its owner sees its end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    CONNECTIONS_MAX = 128, /* the rest waits in the socket's backlog */
    CONNECTIONS_CROWD = 64,
    /* Clients whose answer may take minutes, of each sort: none takes the other's places, and with the streams of
     * events (EVENT_STREAMS_MAX) they leave some for all others, a container's probes among them. Orders leave calls of
     * the supervisor's (CLIENTS_ADOPTED), too. */
    CONNECTIONS_ENDS_MAX = 48,
    CONNECTIONS_ORDERS_MAX = 32,
    /* Times for a request's head to come whole, and for the answer to be read; and both in a crowd. */
    CONNECTIONS_REQUEST_MS = 10 * 1000,
    CONNECTIONS_ANSWER_MS = 30 * 1000,
    CONNECTIONS_CROWD_REQUEST_MS = 1000,
    CONNECTIONS_CROWD_ANSWER_MS = 5000,
};

enum long_wait { WAITS_NOT, WAITS_FOR_END /* of a task */, WAITS_FOR_ORDER /* or for a search */ };

struct connection {
    int fd;
    enum long_wait waits;
    bool busy;   /* a request of the client is being answered */
    bool served; /* the client waits for this process, and not the reverse */
    bool shown_out;
    int64_t since; /* clock_monotonic_ms */
    TAILQ_ENTRY(connection) link;
};

struct connections { /* connections_begin */
    TAILQ_HEAD(, connection) all;
    size_t count;
};

void connections_begin(struct connections *connections);
struct connection *connections_come(struct connections *connections, int fd, int64_t now);
/* The head of a request is there, or the supervisor's reply to it has come and is sent now. */
void connections_ask(struct connection *connection, int64_t now);
/* The answer takes the supervisor's time: until it is ready, the connection has no deadline. */
void connections_serve(struct connection *connection);
/* The answer may take minutes: the connection has a place of that sort until its request is answered, or keeps the place
 * that it has. False: there is none. */
bool connections_let_wait(const struct connections *connections, struct connection *connection,
                          enum long_wait what);
void connections_rest(struct connection *connection, int64_t now); /* the request is answered */
void connections_leave(struct connections *connections, struct connection *connection);

/* The time of the first client whose time ends; -1: none. */
int64_t connections_deadline(const struct connections *connections);
void connections_expire(struct connections *connections, int64_t now);
