#include "supervisor/http/supervisor_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

enum { READ_SIZE = 64 * 1024, ANSWER_MAX = 64 * 1024 * 1024 };

static const char request[] = "{\"verb\":\"metrics\"}\n";

struct supervisor_client {
    int channel, epoll;
    void (*settled)(void *context);
    void *context;
    bool owed;        /* a connection was asked for and hasn't come */
    int connection;   /* -1: none */
    struct buffer in; /* of it */
    int64_t deadline; /* of what is under way; -1: nothing is */
    int64_t settled_at;
    uint64_t serial;
    json_t *answer; /* NULL: the last time there was none */
};

struct supervisor_client *supervisor_client_new(int channel, int epoll, void (*settled)(void *context),
                                                void *context)
{
    struct supervisor_client *client = memory_new(1, sizeof *client);
    *client = (struct supervisor_client){.channel = channel,
                                         .epoll = epoll,
                                         .settled = settled,
                                         .context = context,
                                         .connection = -1,
                                         .deadline = -1,
                                         .settled_at = -SUPERVISOR_CLIENT_FRESH_MS};
    return client;
}

static void hang_up(struct supervisor_client *client)
{
    if (client->connection >= 0)
        close(client->connection);
    client->connection = -1;
    buffer_free(&client->in);
    client->in = (struct buffer){0};
}

void supervisor_client_free(struct supervisor_client *client)
{
    hang_up(client);
    json_decref(client->answer);
    free(client);
}

/* answer: taken; NULL: there was none. */
static void settle(struct supervisor_client *client, json_t *answer)
{
    hang_up(client);
    json_decref(client->answer);
    client->answer = answer;
    client->serial++;
    client->deadline = -1;
    client->settled_at = clock_monotonic_ms();
    client->settled(client->context);
}

enum supervisor_client_state supervisor_client_look(struct supervisor_client *client, int64_t now)
{
    if (client->deadline >= 0)
        return SUPERVISOR_CLIENT_UNDER_WAY;
    if (now - client->settled_at < SUPERVISOR_CLIENT_FRESH_MS)
        return client->answer ? SUPERVISOR_CLIENT_KNOWN : SUPERVISOR_CLIENT_FAILED;
    /* One that is owed from before, by a supervisor that was busy, will do. */
    if (!client->owed && send(client->channel, "c", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return SUPERVISOR_CLIENT_FAILED;
    log_debug("http", NULL, "The supervisor is asked");
    client->owed = true;
    client->deadline = now + SUPERVISOR_CLIENT_WAIT_MS;
    return SUPERVISOR_CLIENT_UNDER_WAY;
}

const json_t *supervisor_client_metrics(const struct supervisor_client *client)
{
    return json_object_get(client->answer, "metrics");
}

uint64_t supervisor_client_serial(const struct supervisor_client *client)
{
    return client->serial;
}

/* --- the channel: a byte, with a connection or without --- */

/* 1: *fd is the connection, or -1; 0: nothing has come; -1: the supervisor is gone. */
static int receive(int channel, int *fd)
{
    char byte;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec bytes = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t count = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *fd = -1;
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (count == 0)
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    return 1;
}

static void ask(struct supervisor_client *client, int connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
    ssize_t length = sizeof request - 1;
    client->connection = connection;
    if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection, &event) != 0 ||
        send(connection, request, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) != length)
        settle(client, NULL);
}

static bool take_connection(struct supervisor_client *client)
{
    int fd, got = receive(client->channel, &fd);
    if (got <= 0)
        return got == 0;
    client->owed = false;
    if (client->deadline < 0 || client->connection >= 0)
        memory_close_at(&fd); /* nobody waits any more */
    else if (fd < 0)
        settle(client, NULL);
    else
        ask(client, fd);
    return true;
}

/* --- the answer --- */

static json_t *parse(const char *line, size_t length)
{
    json_t *answer = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json_object_get(answer, "metrics")))
        return answer;
    log_warn("http", NULL, "The supervisor's answer is not understood");
    json_decref(answer);
    return NULL;
}

static void take_answer(struct supervisor_client *client)
{
    struct buffer *in = &client->in;
    char *room = buffer_room(in, READ_SIZE);
    ssize_t count = recv(client->connection, room, READ_SIZE, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    const char *end = count > 0 ? memchr(room, '\n', (size_t)count) : NULL;
    if (count > 0)
        in->length += (size_t)count;
    if (end)
        settle(client, parse(in->data, (size_t)(end - in->data)));
    else if (count <= 0 || in->length > ANSWER_MAX)
        settle(client, NULL);
}

bool supervisor_client_event(struct supervisor_client *client, int fd)
{
    if (fd == client->channel)
        return take_connection(client);
    if (fd == client->connection)
        take_answer(client);
    return true;
}

int64_t supervisor_client_deadline(const struct supervisor_client *client)
{
    return client->deadline;
}

void supervisor_client_expire(struct supervisor_client *client, int64_t now)
{
    if (client->deadline < 0 || now < client->deadline)
        return;
    log_warn("http", NULL, "The supervisor does not answer within %d s; who asks is told so",
             SUPERVISOR_CLIENT_WAIT_MS / 1000);
    settle(client, NULL);
}
