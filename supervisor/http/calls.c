#include "supervisor/http/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/control.h"
#include "common/log.h"
#include "common/memory.h"

enum { READ_SIZE = 64 * 1024, ANSWER_MAX = 64 * 1024 * 1024 };

static const char kind_bytes[CALL_KINDS] = {
    [CALL_CONTROL] = HTTP_ASKS_CONTROL, [CALL_READER] = HTTP_ASKS_READER};

struct call {
    struct calls *calls;
    enum call_kind kind;
    char *request;            /* a line; owned */
    size_t sent;              /* bytes of it */
    int connection;           /* -1: not come yet */
    struct loop_watch *watch; /* of the connection */
    struct buffer in;         /* of the connection */
    struct timer timer;       /* rings when the call's time is over */
    bool follows;             /* the call has one answer after the other */
    bool telling, dropped;    /* a call that is dropped while it tells is freed after that */
    call_told *told;
    void *context;
    TAILQ_ENTRY(call) link;
};

struct calls {
    int channel;
    struct loop *loop;
    struct loop_watch *watch; /* of the channel */
    void (*ended)(void *context);
    void *context;
    struct {
        size_t owed;    /* connections that were asked for and haven't come */
        size_t waiting; /* calls that have no connection yet */
    } kinds[CALL_KINDS];
    TAILQ_HEAD(, call) all;
};

static void on_channel(void *context, uint32_t events);

struct calls *calls_new(int channel, struct loop *loop, void (*ended)(void *context), void *context)
{
    struct calls *calls = memory_new(1, sizeof *calls);
    *calls = (struct calls){.channel = channel, .loop = loop, .ended = ended, .context = context};
    TAILQ_INIT(&calls->all);
    calls->watch = loop_watch(loop, channel, EPOLLIN, on_channel, calls);
    if (calls->watch)
        return calls;
    free(calls);
    return NULL;
}

void calls_free(struct calls *calls)
{
    struct call *call;
    while ((call = TAILQ_FIRST(&calls->all)))
        call_drop(call);
    loop_forget(calls->loop, calls->watch);
    free(calls);
}

static void is_late(void *context);

/* within_ms -1: the call may take as long as it takes. */
static struct call *begin(struct calls *calls, json_t *request, int64_t within_ms, const struct call *as)
{
    OWNED char *text = json_dumps(request, JSON_COMPACT);
    size_t *owed = &calls->kinds[as->kind].owed, *waiting = &calls->kinds[as->kind].waiting;
    json_decref(request);
    if (!text || (*owed <= *waiting &&
                  send(calls->channel, &kind_bytes[as->kind], 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1))
        return NULL;
    *owed += *owed <= *waiting;
    struct call *call = memory_new(1, sizeof *call);
    *call = *as;
    call->calls = calls;
    call->request = memory_print("%s\n", text);
    call->connection = -1;
    call->timer = (struct timer){.ring = is_late, .context = call};
    if (within_ms >= 0)
        timer_set(calls->loop, &call->timer, within_ms);
    ++*waiting;
    TAILQ_INSERT_TAIL(&calls->all, call, link);
    return call;
}

struct call *call_begin(struct calls *calls, enum call_kind kind, json_t *request, int64_t within_ms,
                        call_told *told, void *context)
{
    return begin(calls, request, within_ms, &(struct call){.kind = kind, .told = told, .context = context});
}

struct call *call_follow(struct calls *calls, json_t *request, call_told *told, void *context)
{
    return begin(calls, request, -1, &(struct call){.follows = true, .told = told, .context = context});
}

void call_drop(struct call *call)
{
    if (!call || call->telling) {
        if (call)
            call->dropped = true;
        return;
    }
    TAILQ_REMOVE(&call->calls->all, call, link);
    timer_clear(call->calls->loop, &call->timer);
    loop_forget(call->calls->loop, call->watch);
    if (call->connection >= 0)
        close(call->connection);
    else
        call->calls->kinds[call->kind].waiting--;
    buffer_free(&call->in);
    free(call->request);
    free(call);
}

/* False: the call is over, and freed. */
static bool tell(struct call *call, const json_t *answer)
{
    call->telling = true;
    call->told(call->context, answer);
    call->telling = false;
    bool goes_on = call->follows && answer && !call->dropped;
    if (!goes_on)
        call_drop(call);
    return goes_on;
}

static void is_late(void *context)
{
    tell(context, NULL);
}

/* --- the channel: a byte, with a connection or without --- */

/* 1: *fd is the connection, or -1, and *byte its kind; 0: nothing has come; -1: the supervisor is gone. */
static int receive(int channel, char *byte, int *fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec bytes = {.iov_base = byte, .iov_len = 1};
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

static struct call *first_waiting(const struct calls *calls, enum call_kind kind)
{
    struct call *call;
    TAILQ_FOREACH(call, &calls->all, link)
    if (call->connection < 0 && call->kind == kind)
        return call;
    return NULL;
}

/* Sends as much as the socket takes now; the rest goes when it can be written to. False: the connection is of no
 * use. */
static bool send_request(struct call *call)
{
    size_t length = strlen(call->request);
    while (call->sent < length) {
        ssize_t count = TEMP_FAILURE_RETRY(send(call->connection, call->request + call->sent,
                                                length - call->sent, MSG_NOSIGNAL | MSG_DONTWAIT));
        if (count < 0)
            return errno == EAGAIN;
        call->sent += (size_t)count;
    }
    return true;
}

static bool is_sent(const struct call *call)
{
    return call->sent == strlen(call->request);
}

static void on_connection(void *context, uint32_t events);

static void ask(struct call *call, int connection)
{
    call->connection = connection;
    call->calls->kinds[call->kind].waiting--;
    if (send_request(call))
        call->watch = loop_watch(call->calls->loop, connection, is_sent(call) ? EPOLLIN : EPOLLIN | EPOLLOUT,
                                 on_connection, call);
    if (!call->watch)
        tell(call, NULL);
}

static bool take_connection(struct calls *calls)
{
    char byte = '\0';
    int fd, got = receive(calls->channel, &byte, &fd);
    if (got <= 0)
        return got == 0;
    enum call_kind kind = byte == kind_bytes[CALL_READER] ? CALL_READER : CALL_CONTROL;
    struct call *call = first_waiting(calls, kind);
    calls->kinds[kind].owed -= calls->kinds[kind].owed > 0;
    if (!call)
        memory_close_at(&fd); /* nobody waits for the connection any more */
    else if (fd < 0)
        tell(call, NULL);
    else
        ask(call, fd);
    return true;
}

static void on_channel(void *context, uint32_t events)
{
    (void)events;
    struct calls *calls = context;
    if (!take_connection(calls))
        calls->ended(calls->context);
}

/* --- the answer --- */

/* NULL: a line that is no answer. Caller frees. */
static json_t *parse(const char *line, size_t length)
{
    json_t *answer = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(answer))
        return answer;
    log_warn("http", NULL, "The supervisor's answer is not understood");
    json_decref(answer);
    return NULL;
}

/* False: the call is over. */
static bool tell_line(struct call *call, size_t length)
{
    json_auto_t *answer = parse(call->in.data, length);
    buffer_drop(&call->in, length + 1);
    return tell(call, answer);
}

static void take_answer(struct call *call)
{
    char *room = buffer_room(&call->in, READ_SIZE), *end;
    ssize_t count = recv(call->connection, room, READ_SIZE, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0 || call->in.length + (size_t)count > ANSWER_MAX) {
        tell(call, NULL);
        return;
    }
    end = memchr(room, '\n', (size_t)count);
    call->in.length += (size_t)count;
    while (end && tell_line(call, (size_t)(end - call->in.data)))
        end = call->in.length ? memchr(call->in.data, '\n', call->in.length) : NULL;
}

static void on_connection(void *context, uint32_t events)
{
    (void)events;
    struct call *call = context;
    if (is_sent(call))
        take_answer(call);
    else if (!send_request(call))
        tell(call, NULL);
    else if (is_sent(call))
        loop_change(call->calls->loop, call->watch, EPOLLIN);
}
