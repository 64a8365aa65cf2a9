#include "worker/cycle/supervisor_link.h"

#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"

enum {
    OPEN_MS = 10000,
    RETRY_MS = 10,
    SEND_MS = 5000,
    LAST_WORDS_MS = 20, /* the messages that nng has taken are on their way, but the end would drop them */
    PATH_SAFE = 96,
};

struct link {
    nng_socket socket;
    nng_msg *held; /* the message that the caller has borrowed */
    int both;      /* epoll of the two below: readable when either is */
    int receive_fd;
    int ended_fd; /* eventfd, written by nng's thread */
    _Atomic bool ended;
};

static void pause_ms(long milliseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}

static void note_end(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)pipe;
    (void)event;
    struct link *link = context;
    atomic_store(&link->ended, true);
    eventfd_write(link->ended_fd, 1);
}

/* nng gives up on paths over about 100 bytes; through the folder's descriptor every path is short. */
static char *short_url(const char *url, int *folder)
{
    static const char scheme[] = "ipc://";
    const char *path = url + strlen(scheme), *slash = strrchr(url, '/');
    *folder = -1;
    if (strncmp(url, scheme, strlen(scheme)) != 0 || strlen(path) <= PATH_SAFE || slash <= path)
        return memory_text(url);
    OWNED char *parent = memory_slice(path, (size_t)(slash - path));
    *folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *folder < 0 ? memory_text(url) : memory_print("ipc:///proc/self/fd/%d%s", *folder, slash);
}

static int dial(struct link *link, const char *url)
{
    OWNED_FD int folder = -1;
    OWNED char *target = short_url(url, &folder);
    int64_t deadline = clock_monotonic_ms() + OPEN_MS;
    for (;;) {
        int error = nng_dial(link->socket, target, NULL, 0);
        if (error == 0 || clock_monotonic_ms() >= deadline)
            return error;
        pause_ms(RETRY_MS);
    }
}

static int set_up(struct link *link, const char *url)
{
    nng_socket socket = link->socket;
    int error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, MESSAGE_MAX + 1024);
    error = error ? error : nng_socket_set_int(socket, NNG_OPT_SENDBUF, 0);
    error = error ? error : nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, SEND_MS);
    error = error ? error : nng_socket_get_int(socket, NNG_OPT_RECVFD, &link->receive_fd);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, note_end, link);
    return error ? error : dial(link, url);
}

static bool join(struct link *link)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(link->both, EPOLL_CTL_ADD, link->receive_fd, &event) == 0 &&
           epoll_ctl(link->both, EPOLL_CTL_ADD, link->ended_fd, &event) == 0;
}

struct link *link_open(const char *url, struct fault *fault)
{
    struct link *link = memory_new(1, sizeof *link);
    link->both = epoll_create1(EPOLL_CLOEXEC);
    link->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = nng_pair0_open(&link->socket);
    if (error == 0) {
        error = set_up(link, url);
        if (error == 0 && join(link))
            return link;
        nng_close(link->socket);
    }
    fault_set(fault, "cannot connect to %s: %s", url, error ? nng_strerror(error) : strerror(errno));
    close(link->both);
    close(link->ended_fd);
    free(link);
    return NULL;
}

int link_fd(const struct link *link)
{
    return link->both;
}

bool link_send(struct link *link, const struct buffer *message)
{
    nng_msg *copy;
    if (atomic_load(&link->ended) || nng_msg_alloc(&copy, 0) != 0)
        return false;
    if (nng_msg_append(copy, message->data, message->length) == 0 && nng_sendmsg(link->socket, copy, 0) == 0)
        return true;
    nng_msg_free(copy);
    return false;
}

bool link_has(const struct link *link)
{
    struct pollfd fd = {.fd = link->both, .events = POLLIN};
    return poll(&fd, 1, 0) != 0;
}

int link_receive(struct link *link, const void **bytes, size_t *length)
{
    if (link->held)
        nng_msg_free(link->held);
    link->held = NULL;
    int error = nng_recvmsg(link->socket, &link->held, NNG_FLAG_NONBLOCK);
    if (error == 0) {
        *bytes = nng_msg_body(link->held);
        *length = nng_msg_len(link->held);
        return 1;
    }
    link->held = NULL;
    return error == NNG_EAGAIN && !atomic_load(&link->ended) ? 0 : -1;
}

void link_leave(const struct link *link)
{
    if (!atomic_load(&link->ended))
        pause_ms(LAST_WORDS_MS);
}

void link_close(struct link *link)
{
    if (!link)
        return;
    link_leave(link);
    if (link->held)
        nng_msg_free(link->held);
    nng_close(link->socket);
    close(link->both);
    close(link->ended_fd);
    free(link);
}
