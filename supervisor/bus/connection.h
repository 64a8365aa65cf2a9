/* The connection to NATS. libnats does all of its work in threads of its own; a thread of ours connects, for ever,
 * and the news of all threads comes to the loop through a bounded queue and a descriptor. Each connection is a new
 * one of libnats's: its own reconnecting would not say why it fails. */
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
    CONNECTION_PING_MS = 2000,       /* a server that leaves two pings unanswered is gone */
    CONNECTION_ANSWER_MS = 4000,     /* how long a server may take for its first words */
    CONNECTION_STUCK_MS = 20 * 1000, /* how long an attempt may take in all, with the name and TLS */
    CONNECTION_PAUSE_MS = 200,       /* after the first failure, doubling to the most */
    CONNECTION_PAUSE_MAX_MS = 5000,
    CONNECTION_FLUSH_MS = 300, /* at the end */
};

/* The callbacks, all called from the loop. */
struct connection_owner {
    struct loop *loop;
    const struct bus_servers *servers; /* borrowed for good, as credentials are */
    const struct credentials *credentials;
    void (*up)(void *context);
    void (*down)(void *context, const char *why);    /* also when the connection never was up: a new reason */
    void (*trouble)(void *context, const char *why); /* the connection stands, and a request was refused */
    void (*dropped)(void *context,
                    const char *why); /* the connection stands, and messages to it were dropped */
    void (*message)(void *context, natsMsg *message); /* a message to the inbox; borrowed */
    void *context;
};

struct header {
    const char *name, *value;
};

struct connection;

/* NULL and fault: libnats can't be started, or the credentials are none. After the process has its sandbox. */
struct connection *connection_open(const struct connection_owner *owner, struct fault *fault);
/* The inbox, such as "_INBOX.abc": messages to every subject below it come to message. Between up and down. */
const char *connection_inbox(const struct connection *connection);
/* Listens to this subject, too, and no longer to the one before it: a watch is sent only to a subscriber of its very
 * subject. The subject must not lie below the inbox. */
bool connection_listen(struct connection *connection, const char *subject);
/* Sends a message, between up and down only. reply may be NULL. False and fault: the message is not sent. */
bool connection_send(struct connection *connection, const char *subject, const char *reply,
                     const struct header *headers, size_t header_count, const void *bytes, size_t length,
                     struct fault *fault);
/* Waits, not long, until the server has every sent message. */
void connection_flush(struct connection *connection);
/* pause: messages wait in libnats; else they come again. */
void connection_pause(struct connection *connection, bool pause);
