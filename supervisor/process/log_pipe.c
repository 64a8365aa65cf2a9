#include "supervisor/process/log_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/log_record.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/process/log_fold.h"

enum {
    BLOCK = 64 * 1024,
    LAST_BLOCKS = 16, /* a pipe holds no more than this, unless somebody still writes */
    REST_MS = 100,
    TELL_MS = 10 * 1000,
    UNFOLD_MS = 5 * 1000,
};

/* A writer's allowance: it grows by `second` up to `most`. */
struct allowance {
    int64_t left, most, second;
};

struct log_pipe {
    struct loop *loop;
    int fd;
    struct loop_watch *watch; /* NULL while the pipe rests, and at its end */
    struct timer rest, tell, unfold;
    const char *component;
    char *agent, *tree; /* NULL: none */
    struct buffer line; /* the present line, at most LOG_PIPE_LINE_MAX bytes of it */
    size_t cut;         /* bytes of that line that are left out */
    struct allowance lines, bytes;
    int64_t refilled_at;
    uint64_t dropped; /* lines, not told yet */
    struct log_fold fold;
};

/* --- a line --- */

static void tell_dropped(void *context)
{
    struct log_pipe *pipe = context;
    if (pipe->dropped)
        log_warn(pipe->component, pipe->agent, "%llu line(s) of its log were dropped: it writes too many",
                 (unsigned long long)pipe->dropped);
    pipe->dropped = 0;
}

static bool afford(struct log_pipe *pipe)
{
    bool can = pipe->lines.left > 0 && pipe->bytes.left > 0;
    if (can) {
        pipe->lines.left--;
        pipe->bytes.left -= (int64_t)pipe->line.length;
        return true;
    }
    if (pipe->dropped++ == 0)
        timer_set(pipe->loop, &pipe->tell, TELL_MS);
    return false;
}

/* Whether the record is the one line of a worker's log without the agent's name (contract section 13), to the letter:
 * it names the agent's own directory. */
static bool is_of_bootstrap(const struct log_pipe *pipe, const struct log_record *record)
{
    static const char start[] = "Initialised git repo at ";
    return pipe->tree && strcmp(record->component, "bootstrap") == 0 &&
           strncmp(record->message, start, sizeof start - 1) == 0 &&
           strcmp(record->message + sizeof start - 1, pipe->tree) == 0;
}

static void tell(struct log_pipe *pipe, enum log_level level, const char *agent, const char *message)
{
    log_fold_add(&pipe->fold, level, pipe->component, agent, message);
    if (pipe->fold.count && pipe->unfold.place == 0)
        timer_set(pipe->loop, &pipe->unfold, LOG_FOLD_MS);
}

static void unfold(void *context)
{
    struct log_pipe *pipe = context;
    log_fold_tell(&pipe->fold, false);
    if (pipe->fold.count)
        timer_set(pipe->loop, &pipe->unfold, UNFOLD_MS);
}

static void tell_record(struct log_pipe *pipe, const struct log_record *record)
{
    bool bootstrap = is_of_bootstrap(pipe, record);
    const char *agent = pipe->agent ? pipe->agent : names_agent(record->agent) ? record->agent : NULL;
    if (strcmp(record->component, "bootstrap") == 0 && pipe->tree)
        log_event(record->level, "bootstrap", bootstrap ? NULL : agent, "%s", record->message);
    else
        tell(pipe, record->level, agent, record->message);
}

static void end_of_line(struct log_pipe *pipe)
{
    struct log_record record;
    if (pipe->cut)
        buffer_print(&pipe->line, "… (%zu bytes more)", pipe->cut);
    if (pipe->line.length && afford(pipe)) {
        if (log_record_read(pipe->line.data, &record))
            tell_record(pipe, &record);
        else
            tell(pipe, LOG_LEVEL_WARN, pipe->agent, pipe->line.data);
    }
    pipe->line.length = 0;
    pipe->cut = 0;
}

static void add(struct log_pipe *pipe, const char *bytes, size_t length)
{
    size_t room = LOG_PIPE_LINE_MAX - pipe->line.length, kept = length < room ? length : room;
    buffer_add(&pipe->line, bytes, kept);
    pipe->cut += length - kept;
}

static void take(struct log_pipe *pipe, const char *bytes, size_t length)
{
    for (const char *end; length > 0 && (end = memchr(bytes, '\n', length));) {
        size_t line = (size_t)(end - bytes);
        add(pipe, bytes, line);
        end_of_line(pipe);
        bytes += line + 1;
        length -= line + 1;
    }
    add(pipe, bytes, length);
}

/* --- the pipe --- */

static void refill(struct log_pipe *pipe)
{
    struct allowance *const both[] = {&pipe->lines, &pipe->bytes};
    int64_t now = clock_monotonic_ms(), past = now - pipe->refilled_at;
    if (past < REST_MS)
        return;
    for (size_t i = 0; i < 2; i++) {
        int64_t left = both[i]->left + both[i]->second * past / 1000;
        both[i]->left = left < both[i]->most ? left : both[i]->most;
    }
    pipe->refilled_at = now;
}

/* 1: bytes came, 0: none are there now, -1: none will come any more. */
static int take_in(struct log_pipe *pipe)
{
    static char block[BLOCK];
    ssize_t n = read(pipe->fd, block, sizeof block);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    refill(pipe);
    take(pipe, block, (size_t)n);
    return 1;
}

static void on_pipe(void *context, uint32_t events);

static void rested(void *context)
{
    struct log_pipe *pipe = context;
    if (!pipe->watch)
        pipe->watch = loop_watch(pipe->loop, pipe->fd, EPOLLIN, on_pipe, pipe);
    if (!pipe->watch)
        timer_set(pipe->loop, &pipe->rest, REST_MS);
}

static void leave(struct log_pipe *pipe)
{
    loop_forget(pipe->loop, pipe->watch);
    pipe->watch = NULL;
}

static void on_pipe(void *context, uint32_t events)
{
    struct log_pipe *pipe = context;
    (void)events;
    if (take_in(pipe) < 0) {
        leave(pipe); /* the process's reaper tells its end */
    } else if (pipe->lines.left <= 0 || pipe->bytes.left <= 0) {
        leave(pipe);
        timer_set(pipe->loop, &pipe->rest, REST_MS);
    }
}

struct log_pipe *log_pipe_open(struct loop *loop, int fd, const struct log_pipe_label *label)
{
    struct log_pipe *pipe = memory_new(1, sizeof *pipe);
    *pipe = (struct log_pipe){
        .loop = loop,
        .fd = fd,
        .component = label->component,
        .agent = label->agent ? memory_text(label->agent) : NULL,
        .tree = label->tree ? memory_text(label->tree) : NULL,
        .lines = {LOG_PIPE_LINES, LOG_PIPE_LINES, LOG_PIPE_LINES_SECOND},
        .bytes = {LOG_PIPE_BYTES, LOG_PIPE_BYTES, LOG_PIPE_BYTES_SECOND},
        .refilled_at = clock_monotonic_ms(),
    };
    pipe->rest = (struct timer){.ring = rested, .context = pipe};
    pipe->tell = (struct timer){.ring = tell_dropped, .context = pipe};
    pipe->unfold = (struct timer){.ring = unfold, .context = pipe};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    rested(pipe);
    return pipe;
}

/* Tells the lines that have come so far, as the loop would. */
static void log_pipe_drain(struct log_pipe *pipe)
{
    for (int i = 0; pipe && i < LAST_BLOCKS && take_in(pipe) > 0; i++)
        ;
}

void log_pipe_close(struct log_pipe *pipe)
{
    if (!pipe)
        return;
    log_pipe_drain(pipe);
    end_of_line(pipe);
    log_fold_tell(&pipe->fold, true);
    tell_dropped(pipe);
    leave(pipe);
    timer_clear(pipe->loop, &pipe->rest);
    timer_clear(pipe->loop, &pipe->tell);
    timer_clear(pipe->loop, &pipe->unfold);
    close(pipe->fd);
    buffer_free(&pipe->line);
    free(pipe->agent);
    free(pipe->tree);
    free(pipe);
}

/* --- from the zygote --- */

/* One message with a descriptor: a worker's pid, or the rest of a zygote that has died. -1: there is none now. */
static int receive(int socket, pid_t *pid)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec content = {.iov_base = pid, .iov_len = sizeof *pid};
    struct msghdr message = {
        .msg_iov = &content, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof *pid)
        return -1;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

int log_pipe_receive(int socket, pid_t pid)
{
    pid_t whose = 0;
    for (int fd; (fd = receive(socket, &whose)) >= 0; close(fd))
        if (whose == pid)
            return fd;
    return -1;
}
