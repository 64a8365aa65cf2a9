#include "supervisor/http/connections.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "common/memory.h"

void connections_begin(struct connections *connections)
{
    *connections = (struct connections){.count = 0};
    TAILQ_INIT(&connections->all);
}

struct connection *connections_come(struct connections *connections, int fd, int64_t now)
{
    struct connection *connection = memory_new(1, sizeof *connection);
    *connection = (struct connection){.fd = fd, .since = now};
    TAILQ_INSERT_TAIL(&connections->all, connection, link);
    connections->count++;
    return connection;
}

void connections_ask(struct connection *connection, int64_t now)
{
    connection->busy = true;
    connection->served = false;
    connection->since = now;
}

void connections_serve(struct connection *connection)
{
    connection->served = true;
}

bool connections_let_wait(const struct connections *connections, struct connection *connection,
                          enum long_wait what)
{
    static const int most[] = {
        [WAITS_FOR_END] = CONNECTIONS_ENDS_MAX, [WAITS_FOR_ORDER] = CONNECTIONS_ORDERS_MAX};
    const struct connection *other;
    int others = 0;
    TAILQ_FOREACH(other, &connections->all, link)
    others += other->waits == what;
    if (connection->waits == WAITS_NOT && others < most[what])
        connection->waits = what;
    return connection->waits != WAITS_NOT;
}

void connections_rest(struct connection *connection, int64_t now)
{
    connection->busy = connection->served = false;
    connection->waits = WAITS_NOT;
    connection->since = now;
}

void connections_leave(struct connections *connections, struct connection *connection)
{
    TAILQ_REMOVE(&connections->all, connection, link);
    connections->count--;
    free(connection);
}

static int64_t deadline_of(const struct connections *connections, const struct connection *connection)
{
    static const int patience[2][2] = {{CONNECTIONS_REQUEST_MS, CONNECTIONS_CROWD_REQUEST_MS},
                                       {CONNECTIONS_ANSWER_MS, CONNECTIONS_CROWD_ANSWER_MS}};
    return connection->since + patience[connection->busy][connections->count >= CONNECTIONS_CROWD];
}

int64_t connections_deadline(const struct connections *connections)
{
    const struct connection *connection;
    int64_t first = -1;
    TAILQ_FOREACH(connection, &connections->all, link)
    {
        int64_t deadline =
            connection->shown_out || connection->served ? -1 : deadline_of(connections, connection);
        if (deadline >= 0 && (first < 0 || deadline < first))
            first = deadline;
    }
    return first;
}

void connections_expire(struct connections *connections, int64_t now)
{
    struct connection *connection;
    TAILQ_FOREACH(connection, &connections->all, link)
    if (!connection->shown_out && !connection->served && deadline_of(connections, connection) <= now) {
        shutdown(connection->fd, SHUT_RDWR);
        connection->shown_out = true;
    }
}
