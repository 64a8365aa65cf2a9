/* The connection to NATS. libnats does all of its work in threads of its own; a thread of ours connects, for ever, and what all of
 * them have to say comes to the loop through a bounded queue and a descriptor. Each connection is a new one of libnats's: its own
 * reconnecting would not say why it fails. */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/format/bus_address.h"
#include "supervisor/bus/credentials.h"
#include "supervisor/process/loop.h"

enum {
    CONNECTION_WAITING_MAX =
        32 * 1024 * 1024,            /* bytes that wait for the loop; libnats's own queue is behind */
    CONNECTION_PING_MS = 2000,       /* a server that leaves two unanswered is gone */
    CONNECTION_ANSWER_MS = 4000,     /* that a server has for the first words */
    CONNECTION_STUCK_MS = 20 * 1000, /* that an attempt may take in all, its name and TLS included */
    CONNECTION_PAUSE_MS = 200,       /* after the first failure, doubling to the most */
    CONNECTION_PAUSE_MAX_MS = 5000,
    CONNECTION_FLUSH_MS = 300, /* at the end */
};

/* All are called from the loop. */
struct connection_owner {
    struct loop *loop;
    const struct bus_servers *servers; /* borrowed for good, as credentials are */
    const struct credentials *credentials;
    void (*up)(void *context);
    void (*down)(void *context, const char *why); /* also when it never was up: a new reason */
    void (*trouble)(void *context,
                    const char *why); /* the connection stands, and something was refused or lost */
    void (*message)(void *context, natsMsg *message); /* to the inbox; borrowed */
    void *context;
};

struct header {
    const char *name, *value;
};

struct connection;

/* NULL and fault: libnats can't be started, or the credentials are none. After the process has its sandbox. */
struct connection *connection_open(const struct connection_owner *owner, struct fault *fault);
/* Everything that is sent to a subject below it comes to message: "_INBOX.abc". Between up and down. */
const char *connection_inbox(const struct connection *connection);
/* Also what is sent to this subject, and no longer to the one before it: a watch is sent only to who subscribes its very
 * subject. It must not lie below the inbox. */
bool connection_listen(struct connection *connection, const char *subject);
/* Between up and down, else nothing is sent. reply may be NULL. False and fault: it is not sent. */
bool connection_send(struct connection *connection, const char *subject, const char *reply,
                     const struct header *headers, size_t header_count, const void *bytes, size_t length,
                     struct fault *fault);
/* Waits, not long, until the server has all that was sent. */
void connection_flush(struct connection *connection);
/* Messages wait, or come again. */
void connection_pause(struct connection *connection, bool pause);
