#include "supervisor/http_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/address.h"
#include "common/control.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/secrets.h"
#include "common/settings.h"
#include "supervisor/control/control.h"
#include "supervisor/process/file_readers.h"
#include "supervisor/supervisor.h"

enum {
    BACKLOG = 128,
    RETRY_MS = 1000,
    RETRY_MAX_MS = 60 * 1000,
    /* Connections in one turn: the rest is for the next turn, so that no other part of the supervisor waits for them. */
    ASKED_AT_ONCE = 8
};

struct http_listener {
    struct supervisor *supervisor;
    const char *where; /* AGENTOS_LISTEN */
    struct address address;
    int listener, token; /* descriptors; -1: not yet */
    int64_t pause_ms;
    struct timer retry;
    struct child child;
    struct file_readers *readers;
};

/* --- connections to the control server, and to readers of files --- */

/* NULL or a descriptor goes with the byte. */
static bool hand_over(int channel, char byte, const int *fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec bytes = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (fd) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(header), fd, sizeof *fd);
    }
    return sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* False: the process doesn't read the descriptors that it asked for. */
static bool connect_it(struct http_listener *http, int channel)
{
    int pair[2];
    struct control *control = http->supervisor->control;
    if (!control || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return hand_over(channel, HTTP_ASKS_CONTROL, NULL);
    OWNED_FD int theirs = pair[1];
    bool adopted = control_adopt(control, pair[0]);
    return hand_over(channel, HTTP_ASKS_CONTROL, adopted ? &theirs : NULL);
}

static bool connect_reader(const struct http_listener *http, int channel)
{
    OWNED_FD int theirs = file_readers_begin(http->readers);
    return hand_over(channel, HTTP_ASKS_READER, theirs >= 0 ? &theirs : NULL);
}

static bool is_asked(void *context, int channel)
{
    struct http_listener *http = context;
    char bytes[ASKED_AT_ONCE];
    ssize_t count = recv(channel, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    for (ssize_t i = 0; i < count; i++)
        if (bytes[i] == HTTP_ASKS_READER ? !connect_reader(http, channel) : !connect_it(http, channel))
            return false;
    return count > 0;
}

static void has_started(void *context)
{
    const struct http_listener *http = context;
    control_event(http->supervisor->control, NULL, "http_started", DETAIL_NUMBER("pid", http->child.pid));
}

static void begin_process(struct http_listener *http)
{
    static char *arguments[] = {"agentos-http", "3", "4", "5", "6", NULL};
    if (child_begin(&http->child, http->supervisor->loop,
                    &(struct child_plan){.name = "HTTP process",
                                         .component = "http",
                                         .folder = http->supervisor->options->programs,
                                         .arguments = arguments,
                                         .environment = environ,
                                         .extras = {http->listener, http->token, http->supervisor->data},
                                         .readable = is_asked,
                                         .started = has_started,
                                         .context = http}))
        return;
    log_warn("agentos", NULL, "There is no HTTP interface; all else goes on");
    memory_close_at(&http->listener); /* nobody would answer those connections */
    http->listener = -1;
}

/* --- listening --- */

static bool listen_there(struct http_listener *http)
{
    char text[ADDRESS_TEXT];
    struct address bound = {.length = sizeof bound.socket};
    OWNED_FD int fd = socket(http->address.socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, (const struct sockaddr *)&http->address.socket, http->address.length) != 0 ||
        listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&bound.socket, &bound.length) != 0)
        return false;
    http->listener = fd;
    fd = -1;
    log_info("agentos", NULL, "HTTP interface at http://%s", address_text(&bound, text));
    return true;
}

static void try_to_listen(void *context)
{
    struct http_listener *http = context;
    if (listen_there(http)) {
        begin_process(http);
        return;
    }
    log_event(http->pause_ms ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "agentos", NULL,
              "Cannot listen at %s (AGENTOS_LISTEN): %s. The agents go on, and the supervisor tries again "
              "until it succeeds",
              http->where, strerror(errno));
    http->pause_ms = http->pause_ms ? http->pause_ms * 2 : RETRY_MS;
    if (http->pause_ms > RETRY_MAX_MS)
        http->pause_ms = RETRY_MAX_MS;
    timer_set(http->supervisor->loop, &http->retry, http->pause_ms);
}

/* A token of the environment goes to the HTTP process by a file of memory that holds nothing else; of a token file,
 * only its name is in the environment, and the process reads it. */
static bool take_token(struct http_listener *http, struct fault *fault)
{
    const char *file = setting_text(SET_AGENTOS_TOKEN_FILE, NULL);
    bool any = file || secrets_taken(setting_name(SET_AGENTOS_TOKEN));
    if (!any && !address_is_loopback(&http->address))
        return fault_set(fault, "other machines can reach it, and there is no AGENTOS_TOKEN for them to "
                                "show; set one, or listen at 127.0.0.1");
    http->token = secrets_pick(http->supervisor->options->secrets, setting_name(SET_AGENTOS_TOKEN), fault);
    return http->token >= 0;
}

struct http_listener *http_listener_open(struct supervisor *supervisor)
{
    struct fault fault;
    const char *where = setting_text(SET_AGENTOS_LISTEN, NULL);
    if (!*where)
        return NULL;
    struct http_listener *http = memory_new(1, sizeof *http);
    *http = (struct http_listener){.supervisor = supervisor, .where = where, .listener = -1, .token = -1};
    http->retry = (struct timer){.ring = try_to_listen, .context = http};
    http->readers = file_readers_new(supervisor->loop, supervisor->options->programs, supervisor->data);
    if (address_parse(where, &http->address, &fault) && take_token(http, &fault)) {
        try_to_listen(http);
        return http;
    }
    log_error("agentos", NULL,
              "The HTTP interface does not listen at %s (AGENTOS_LISTEN): %s. The agents go on.", where,
              fault.text);
    http_listener_close(http);
    return NULL;
}

void http_listener_close(struct http_listener *http)
{
    if (!http)
        return;
    timer_clear(http->supervisor->loop, &http->retry);
    child_end(&http->child, 0);
    file_readers_free(http->readers);
    memory_close_at(&http->listener);
    memory_close_at(&http->token);
    free(http);
}

bool http_listener_reap(struct http_listener *http, pid_t pid, int status)
{
    return http && file_readers_reap(http->readers, pid, status);
}
