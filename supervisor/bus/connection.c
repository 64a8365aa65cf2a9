#include "supervisor/bus/connection.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/bus/unreached.h"

enum {
    WRITE_MS = 2000,
    WAITING_BYTES = 64 * 1024 * 1024,
    EACH_TURN = 256,
    SOCKETS_BELOW = 256,
    JITTER_PARTS = 4
};

enum happening { TRIES, IS_UP, IS_DOWN, TROUBLE, DROPPED, MESSAGE };

struct event {
    enum happening what;
    uint64_t serial;  /* of the message's connection */
    natsMsg *message; /* owned */
    char *text;       /* owned */
    STAILQ_ENTRY(event) link;
};

struct connection {
    struct connection_owner owner;
    natsOptions *options;
    int bell; /* eventfd */
    bool paused;
    struct loop_watch *watch;
    struct timer stuck;     /* while an attempt lasts */
    natsConnection *up;     /* NULL: down, for the loop */
    natsSubscription *also; /* connection_listen's; NULL: none */
    char *inbox;            /* owned; of the present connection */
    uint64_t serial;        /* of the present connection */
    pthread_mutex_t lock;   /* over the fields below */
    pthread_cond_t changed;
    STAILQ_HEAD(, event) events;
    size_t waiting;         /* bytes of the queued messages */
    natsConnection *living; /* NULL: none; freed only when the loop has seen that the connection is down */
    char *living_inbox;     /* owned */
    bool closed, seen_down;
    uint64_t attempts;
    unsigned failures;              /* our thread's own, as are the fields below */
    natsSubscription *subscription; /* of the living connection */
};

static void put(struct connection *connection, struct event event)
{
    struct event *copy = memory_new(1, sizeof *copy);
    *copy = event;
    STAILQ_INSERT_TAIL(&connection->events, copy, link);
    (void)eventfd_write(connection->bell, 1);
}

static void tell(struct connection *connection, enum happening what, char *text)
{
    pthread_mutex_lock(&connection->lock);
    put(connection, (struct event){.what = what, .serial = connection->attempts, .text = text});
    pthread_mutex_unlock(&connection->lock);
}

/* --- libnats's threads --- */

static size_t size_of(natsMsg *message)
{
    enum { AROUND = 512 };
    return (size_t)natsMsg_GetDataLength(message) + AROUND;
}

/* The thread waits while the loop has enough messages: libnats queues behind it, and drops past its own limit. */
static void on_message(natsConnection *nc, natsSubscription *subscription, natsMsg *message, void *context)
{
    (void)subscription;
    struct connection *connection = context;
    pthread_mutex_lock(&connection->lock);
    while (connection->waiting >= CONNECTION_WAITING_MAX && nc == connection->living && !connection->closed)
        pthread_cond_wait(&connection->changed, &connection->lock);
    bool living = nc == connection->living;
    if (living) {
        connection->waiting += size_of(message);
        put(connection, (struct event){.what = MESSAGE, .serial = connection->attempts, .message = message});
    }
    pthread_mutex_unlock(&connection->lock);
    if (!living)
        natsMsg_Destroy(message);
}

static void on_closed(natsConnection *nc, void *context)
{
    struct connection *connection = context;
    pthread_mutex_lock(&connection->lock);
    if (nc == connection->living)
        connection->closed = true;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->lock);
}

static void on_error(natsConnection *nc, natsSubscription *subscription, natsStatus status, void *context)
{
    (void)nc;
    (void)subscription;
    if (status == NATS_SLOW_CONSUMER)
        tell(context, DROPPED,
             memory_text("a slow consumer: more messages came than could be taken, and the dropped ones come "
                         "again later"));
    else if (status == NATS_NOT_PERMITTED)
        tell(context, TROUBLE,
             memory_print("the server does not permit it: %s", unreached_text(nats_GetLastError(NULL))));
}

/* --- our thread, which connects --- */

static natsStatus listen_to_inbox(struct connection *connection, natsConnection *nc)
{
    natsInbox *inbox = NULL;
    natsStatus status = natsInbox_Create(&inbox);
    if (status != NATS_OK)
        return status;
    OWNED char *below = memory_print("%s.>", inbox);
    memory_set(&connection->living_inbox, inbox);
    natsInbox_Destroy(inbox);
    status = natsConnection_Subscribe(&connection->subscription, nc, below, on_message, connection);
    return status == NATS_OK ? natsSubscription_SetPendingLimits(connection->subscription, -1, WAITING_BYTES)
                             : status;
}

static void set_living(struct connection *connection, natsConnection *nc)
{
    pthread_mutex_lock(&connection->lock);
    connection->living = nc;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->lock);
}

static void end_living(struct connection *connection)
{
    natsConnection *nc = connection->living;
    set_living(connection, NULL);
    natsSubscription_Destroy(connection->subscription);
    natsConnection_Destroy(nc);
    connection->subscription = NULL;
}

/* False and why: the fault of the server, or of the way to it. */
static bool try_one(struct connection *connection, const struct bus_server *server, struct buffer *why)
{
    natsConnection *nc = NULL;
    pthread_mutex_lock(&connection->lock);
    connection->attempts++;
    connection->closed = connection->seen_down = false;
    pthread_mutex_unlock(&connection->lock);
    tell(connection, TRIES, NULL);
    natsStatus status = natsOptions_SetURL(connection->options, server->url);
    if (status == NATS_OK)
        status = natsConnection_Connect(&nc, connection->options);
    set_living(connection, status == NATS_OK ? nc : NULL);
    if (status == NATS_OK)
        status = listen_to_inbox(connection, nc);
    if (status != NATS_OK) {
        unreached_explain(server, status, nats_GetLastError(NULL),
                          credentials_are_there(connection->owner.credentials), why);
        end_living(connection);
    }
    nats_ReleaseThreadMemory(); /* the next attempt has words of its own */
    return status == NATS_OK;
}

/* The connection stands until it is closed, and is freed once the loop doesn't use it any more. */
static void stand(struct connection *connection, const struct bus_server *server)
{
    OWNED_BUFFER struct buffer why = {0};
    const char *said = NULL;
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    tell(connection, IS_UP, NULL);
    pthread_mutex_lock(&connection->lock);
    /* the connection may have been closed before this thread could notice */
    while (!connection->closed && !natsConnection_IsClosed(connection->living))
        pthread_cond_wait(&connection->changed, &connection->lock);
    pthread_mutex_unlock(&connection->lock);
    natsStatus status = natsConnection_GetLastError(connection->living, &said);
    unreached_explain(server, status, said, credentials_are_there(connection->owner.credentials), &why);
    tell(connection, IS_DOWN, buffer_take(&why));
    pthread_mutex_lock(&connection->lock);
    while (!connection->seen_down)
        pthread_cond_wait(&connection->changed, &connection->lock);
    pthread_mutex_unlock(&connection->lock);
    end_living(connection);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if ((ended.tv_sec - began.tv_sec) * 1000 > CONNECTION_PAUSE_MAX_MS)
        connection->failures = 0;
}

/* The pauses differ, so that nodes which lost the same server don't come back together. */
static void pause_a_while(unsigned failures)
{
    int64_t ms = failures < 8 ? (int64_t)CONNECTION_PAUSE_MS << failures : CONNECTION_PAUSE_MAX_MS;
    if (ms > CONNECTION_PAUSE_MAX_MS)
        ms = CONNECTION_PAUSE_MAX_MS;
    nats_Sleep(ms - (int64_t)arc4random_uniform((uint32_t)(ms / JITTER_PARTS)));
}

static void *keep_connected(void *context)
{
    struct connection *connection = context;
    const struct bus_servers *servers = connection->owner.servers;
    for (;; connection->failures++) {
        OWNED_BUFFER struct buffer why = {0};
        size_t i = 0;
        for (; i < servers->count && !try_one(connection, &servers->list[i], &why); i++)
            buffer_text(&why, i + 1 < servers->count ? "; " : "");
        if (i < servers->count)
            stand(connection, &servers->list[i]);
        else
            tell(connection, IS_DOWN, buffer_take(&why));
        pause_a_while(connection->failures);
    }
    return NULL;
}

/* --- the loop --- */

/* libnats has no deadline for a TLS handshake: the attempt's socket is shut down under it. The process has no other
 * sockets of the network here. */
static void end_attempt(void *context)
{
    (void)context;
    for (int fd = 0; fd < SOCKETS_BELOW; fd++) {
        int domain = 0;
        socklen_t size = sizeof domain;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
            (domain == AF_INET || domain == AF_INET6))
            shutdown(fd, SHUT_RDWR);
    }
}

static void is_up(struct connection *connection, const struct event *event)
{
    timer_clear(connection->owner.loop, &connection->stuck);
    connection->serial = event->serial;
    connection->up = connection->living; /* neither field changes before seen_down */
    memory_set(&connection->inbox, connection->living_inbox);
    connection->owner.up(connection->owner.context);
}

static void is_down(struct connection *connection, const struct event *event)
{
    timer_clear(connection->owner.loop, &connection->stuck);
    connection->up = NULL;
    natsSubscription_Destroy(connection->also);
    connection->also = NULL;
    connection->owner.down(connection->owner.context, event->text);
    pthread_mutex_lock(&connection->lock);
    connection->seen_down = true;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->lock);
}

static void handle(struct connection *connection, const struct event *event)
{
    const struct connection_owner *owner = &connection->owner;
    bool current = connection->up && event->serial == connection->serial;
    if (event->what == TRIES)
        timer_set(owner->loop, &connection->stuck, CONNECTION_STUCK_MS);
    else if (event->what == IS_UP)
        is_up(connection, event);
    else if (event->what == IS_DOWN)
        is_down(connection, event);
    else if (event->what == TROUBLE && current)
        owner->trouble(owner->context, event->text);
    else if (event->what == DROPPED && current)
        owner->dropped(owner->context, event->text);
    else if (event->what == MESSAGE && current)
        owner->message(owner->context, event->message);
}

static struct event *next_event(struct connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    struct event *event = STAILQ_FIRST(&connection->events);
    if (event)
        STAILQ_REMOVE_HEAD(&connection->events, link);
    if (event && event->what == MESSAGE) {
        connection->waiting -= size_of(event->message);
        pthread_cond_broadcast(&connection->changed);
    }
    pthread_mutex_unlock(&connection->lock);
    return event;
}

static void on_bell(void *context, uint32_t events)
{
    (void)events;
    struct connection *connection = context;
    struct event *event = NULL;
    eventfd_t count;
    (void)eventfd_read(connection->bell, &count);
    for (int i = 0; i < EACH_TURN && !connection->paused && (event = next_event(connection)); i++) {
        handle(connection, event);
        natsMsg_Destroy(event->message);
        free(event->text);
        free(event);
    }
    if (event || connection->paused) /* there may be more events, in another turn */
        (void)eventfd_write(connection->bell, 1);
}

void connection_pause(struct connection *connection, bool pause)
{
    connection->paused = pause;
    loop_change(connection->owner.loop, connection->watch, pause ? 0 : EPOLLIN);
}

bool connection_listen(struct connection *connection, const char *subject)
{
    natsSubscription_Destroy(connection->also);
    connection->also = NULL;
    return connection->up &&
           natsConnection_Subscribe(&connection->also, connection->up, subject, on_message, connection) ==
               NATS_OK &&
           natsSubscription_SetPendingLimits(connection->also, -1, WAITING_BYTES) == NATS_OK;
}

const char *connection_inbox(const struct connection *connection)
{
    return connection->inbox;
}

bool connection_send(struct connection *connection, const char *subject, const char *reply,
                     const struct header *headers, size_t header_count, const void *bytes, size_t length,
                     struct fault *fault)
{
    natsMsg *message = NULL;
    if (!connection->up)
        return fault_set(fault, "the bus is away");
    natsStatus status = natsMsg_Create(&message, subject, reply, bytes, (int)length);
    for (size_t i = 0; status == NATS_OK && i < header_count; i++)
        status = natsMsgHeader_Set(message, headers[i].name, headers[i].value);
    if (status == NATS_OK)
        status = natsConnection_PublishMsg(connection->up, message);
    natsMsg_Destroy(message);
    if (status == NATS_MAX_PAYLOAD)
        return fault_set(fault, "it has %zu bytes, and the bus takes %lld (max_payload of its server)",
                         length, (long long)natsConnection_GetMaxPayload(connection->up));
    return status == NATS_OK || fault_set(fault, "it can't be sent: %s", natsStatus_GetText(status));
}

void connection_flush(struct connection *connection)
{
    if (connection->up)
        (void)natsConnection_FlushTimeout(connection->up, CONNECTION_FLUSH_MS);
}

static natsStatus set_options(struct connection *connection, natsOptions *options)
{
    const struct {
        natsStatus status;
    } set[] = {
        {natsOptions_SetAllowReconnect(options, false)},
        {natsOptions_SetIgnoreDiscoveredServers(options, true)},
        {natsOptions_SetSendAsap(options, true)}, /* else each message waits a millisecond for others */
        {natsOptions_SetTimeout(options, CONNECTION_ANSWER_MS)},
        {natsOptions_SetPingInterval(options, CONNECTION_PING_MS)},
        {natsOptions_SetMaxPingsOut(options, 2)},
        {natsOptions_SetWriteDeadline(options, WRITE_MS)},
        {natsOptions_SetErrorHandler(options, on_error, connection)},
        {natsOptions_SetClosedCB(options, on_closed, connection)},
    };
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (set[i].status != NATS_OK)
            return set[i].status;
    return NATS_OK;
}

struct connection *connection_open(const struct connection_owner *owner, struct fault *fault)
{
    struct connection *connection = memory_new(1, sizeof *connection);
    pthread_t thread;
    *connection = (struct connection){
        .owner = *owner, .stuck = {.ring = end_attempt}, .bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    STAILQ_INIT(&connection->events);
    pthread_mutex_init(&connection->lock, NULL);
    pthread_cond_init(&connection->changed, NULL);
    connection->watch =
        connection->bell < 0 ? NULL : loop_watch(owner->loop, connection->bell, EPOLLIN, on_bell, connection);
    if (!connection->watch)
        return fault_errno(fault, "the bus can't be waited for"), NULL;
    natsStatus status = natsOptions_Create(&connection->options);
    if (status == NATS_OK)
        status = set_options(connection, connection->options);
    if (status != NATS_OK)
        return fault_set(fault, "libnats can't be started: %s", natsStatus_GetText(status)), NULL;
    if (!credentials_give(owner->credentials, owner->servers->tls, connection->options, fault))
        return NULL;
    if ((errno = pthread_create(&thread, NULL, keep_connected, connection)) != 0)
        return fault_errno(fault, "no thread can be made"), NULL;
    return connection;
}
