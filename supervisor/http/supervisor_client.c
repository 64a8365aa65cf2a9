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

struct inquiry {
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

struct inquiry *inquiry_new(int channel, int epoll, void (*settled)(void *context), void *context)
{
    struct inquiry *inquiry = memory_new(1, sizeof *inquiry);
    *inquiry = (struct inquiry){.channel = channel,
                                .epoll = epoll,
                                .settled = settled,
                                .context = context,
                                .connection = -1,
                                .deadline = -1,
                                .settled_at = -INQUIRY_FRESH_MS};
    return inquiry;
}

static void hang_up(struct inquiry *inquiry)
{
    if (inquiry->connection >= 0)
        close(inquiry->connection);
    inquiry->connection = -1;
    buffer_free(&inquiry->in);
    inquiry->in = (struct buffer){0};
}

void inquiry_free(struct inquiry *inquiry)
{
    hang_up(inquiry);
    json_decref(inquiry->answer);
    free(inquiry);
}

/* answer: taken; NULL: there was none. */
static void settle(struct inquiry *inquiry, json_t *answer)
{
    hang_up(inquiry);
    json_decref(inquiry->answer);
    inquiry->answer = answer;
    inquiry->serial++;
    inquiry->deadline = -1;
    inquiry->settled_at = clock_monotonic_ms();
    inquiry->settled(inquiry->context);
}

enum inquiry_state inquiry_look(struct inquiry *inquiry, int64_t now)
{
    if (inquiry->deadline >= 0)
        return INQUIRY_UNDER_WAY;
    if (now - inquiry->settled_at < INQUIRY_FRESH_MS)
        return inquiry->answer ? INQUIRY_KNOWN : INQUIRY_FAILED;
    /* One that is owed from before, by a supervisor that was busy, will do. */
    if (!inquiry->owed && send(inquiry->channel, "c", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return INQUIRY_FAILED;
    log_debug("http", NULL, "The supervisor is asked");
    inquiry->owed = true;
    inquiry->deadline = now + INQUIRY_WAIT_MS;
    return INQUIRY_UNDER_WAY;
}

const json_t *inquiry_metrics(const struct inquiry *inquiry)
{
    return json_object_get(inquiry->answer, "metrics");
}

uint64_t inquiry_serial(const struct inquiry *inquiry)
{
    return inquiry->serial;
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

static void ask(struct inquiry *inquiry, int connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
    ssize_t length = sizeof request - 1;
    inquiry->connection = connection;
    if (epoll_ctl(inquiry->epoll, EPOLL_CTL_ADD, connection, &event) != 0 ||
        send(connection, request, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) != length)
        settle(inquiry, NULL);
}

static bool take_connection(struct inquiry *inquiry)
{
    int fd, got = receive(inquiry->channel, &fd);
    if (got <= 0)
        return got == 0;
    inquiry->owed = false;
    if (inquiry->deadline < 0 || inquiry->connection >= 0)
        memory_close_at(&fd); /* nobody waits any more */
    else if (fd < 0)
        settle(inquiry, NULL);
    else
        ask(inquiry, fd);
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

static void take_answer(struct inquiry *inquiry)
{
    struct buffer *in = &inquiry->in;
    char *room = buffer_room(in, READ_SIZE);
    ssize_t count = recv(inquiry->connection, room, READ_SIZE, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    const char *end = count > 0 ? memchr(room, '\n', (size_t)count) : NULL;
    if (count > 0)
        in->length += (size_t)count;
    if (end)
        settle(inquiry, parse(in->data, (size_t)(end - in->data)));
    else if (count <= 0 || in->length > ANSWER_MAX)
        settle(inquiry, NULL);
}

bool inquiry_event(struct inquiry *inquiry, int fd)
{
    if (fd == inquiry->channel)
        return take_connection(inquiry);
    if (fd == inquiry->connection)
        take_answer(inquiry);
    return true;
}

int64_t inquiry_deadline(const struct inquiry *inquiry)
{
    return inquiry->deadline;
}

void inquiry_expire(struct inquiry *inquiry, int64_t now)
{
    if (inquiry->deadline < 0 || now < inquiry->deadline)
        return;
    log_warn("http", NULL, "The supervisor does not answer within %d s; who asks is told so",
             INQUIRY_WAIT_MS / 1000);
    settle(inquiry, NULL);
}
