#include "supervisor/process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/process/backoff.h"
#include "supervisor/process/log_pipe.h"

enum { ABOVE_ALL_PLACES = 10, STANDSTILL_MS = 500 };

static LIST_HEAD(, child) children = LIST_HEAD_INITIALIZER(children); /* every child that was begun */

char *child_status_text(int status)
{
    if (WIFSIGNALED(status))
        return memory_print("signal %d", WTERMSIG(status));
    return memory_print("exit %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void close_channel(struct child *child)
{
    loop_forget(child->loop, child->watch);
    child->watch = NULL;
    channel_close(&child->channel);
}

static void update_interest(struct child *child)
{
    bool writing = channel_pending(&child->channel);
    if (child->watch && writing != child->writing)
        loop_change(child->loop, child->watch, EPOLLIN | (writing ? EPOLLOUT : 0u));
    child->writing = writing;
}

static void kill_it(const struct child *child)
{
    if (child->pid > 0)
        kill(child->pid, SIGKILL);
}

void child_drain(struct child *child)
{
    if (child->channel.fd < 0)
        return;
    bool open = child->plan.readable ? child->plan.readable(child->plan.context, child->channel.fd)
                                     : channel_fill(&child->channel);
    const void *bytes;
    size_t length;
    while (child->channel.fd >= 0 && channel_next(&child->channel, &bytes, &length))
        if (!child->plan.message(child->plan.context, bytes, length)) {
            log_error("agentos", NULL, "The %s said something that isn't in the protocol; it is started anew",
                      child->plan.name);
            open = false;
            break;
        }
    if (!open && child->channel.fd >= 0) {
        close_channel(child);
        kill_it(child);
    }
}

static void on_channel(void *context, uint32_t events)
{
    struct child *child = context;
    if (events & EPOLLOUT)
        channel_flush(&child->channel);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        child_drain(child);
    update_interest(child);
}

bool child_send_pieces(struct child *child, const struct channel_piece *pieces, size_t count)
{
    if (child->channel.fd < 0)
        return false;
    bool sent = channel_send_pieces(&child->channel, pieces, count);
    update_interest(child);
    return sent;
}

bool child_send(struct child *child, const struct buffer *message)
{
    return child_send_pieces(child,
                             &(struct channel_piece){.bytes = message->data, .length = message->length}, 1);
}

bool child_say(struct child *child, enum message_type type, ...)
{
    OWNED_BUFFER struct buffer message = {0};
    va_list fields;
    va_start(fields, type);
    message_make_list(&message, type, fields);
    va_end(fields);
    return child_send(child, &message);
}

int child_spawn(const char *program, char *const *arguments, char *const *environment,
                const int descriptors[], int count, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < count; i++)
        if (descriptors[i] >= 0)
            posix_spawn_file_actions_adddup2(&actions, descriptors[i], i);
        else
            posix_spawn_file_actions_addopen(&actions, i, "/dev/null", i == 0 ? O_RDONLY : O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, count);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    int error = posix_spawn(pid, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int launch(struct child *child, int channel, int log, const int extras[CHILD_EXTRAS])
{
    int descriptors[CHILD_EXTRA + CHILD_EXTRAS] = {-1, log, log, channel}, count = 0;
    for (; count < CHILD_EXTRAS && extras[count] >= 0; count++)
        descriptors[CHILD_EXTRA + count] = extras[count];
    return child_spawn(child->program, child->plan.arguments, child->plan.environment, descriptors,
                       CHILD_EXTRA + count, &child->pid);
}

/* A descriptor above the places of the child's own, so that putting one there can't overwrite another;
 * -1 and errno. */
static int out_of_the_way(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_ALL_PLACES);
}

static void retry_later(struct child *child)
{
    if (child->stopping)
        return;
    if (child->started_at && clock_monotonic_ms() - child->started_at >= BACKOFF_HEALTHY_MS)
        child->failures = 0;
    timer_set(child->loop, &child->timer, backoff_ms(child->failures));
    child->failures++;
}

/* Makes the supervisor's ends of both pipes, and the child's; false and errno. */
static bool make_ends(int channel[2], int log[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0)
        return false;
    if (pipe2(log, O_CLOEXEC) == 0)
        return true;
    int error = errno;
    memory_close_at(&channel[0]);
    memory_close_at(&channel[1]);
    errno = error;
    return false;
}

static int launch_out_of_the_way(struct child *child, int channel, int log)
{
    OWNED_FD int their_channel = out_of_the_way(channel);
    OWNED_FD int their_log = out_of_the_way(log);
    int error = their_channel < 0 || their_log < 0 ? errno : 0, extras[CHILD_EXTRAS];
    size_t count = 0;
    for (; count < CHILD_EXTRAS && child->plan.extras[count] >= 0; count++) {
        extras[count] = out_of_the_way(child->plan.extras[count]);
        if (extras[count] < 0)
            error = errno;
    }
    if (count < CHILD_EXTRAS)
        extras[count] = -1;
    if (!error) /* without its channel or its log the child would run on /dev/null */
        error = launch(child, their_channel, their_log, extras);
    for (size_t i = 0; i < count; i++)
        memory_close_at(&extras[i]);
    return error;
}

static void start(void *context)
{
    struct child *child = context;
    int pair[2], log[2];
    if (!make_ends(pair, log)) {
        log_error("agentos", NULL, "Cannot start the %s: %s", child->plan.name, strerror(errno));
        retry_later(child);
        return;
    }
    child->started_at = clock_monotonic_ms();
    int error = launch_out_of_the_way(child, pair[1], log[1]);
    close(pair[1]);
    close(log[1]);
    if (error) {
        log_error("agentos", NULL, "Cannot start the %s, %s: %s", child->plan.name, child->program,
                  strerror(error));
        child->pid = 0;
        close(pair[0]);
        close(log[0]);
        retry_later(child);
        return;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    channel_open(&child->channel, pair[0]);
    child->log =
        log_pipe_open(child->loop, log[0], &(struct log_pipe_label){.component = child->plan.component});
    child->watch = loop_watch(child->loop, pair[0], EPOLLIN, on_channel, child);
    child->writing = false;
    child->plan.started(child->plan.context);
}

static int64_t patience_ms(const struct child *child)
{
    return child->plan.patience_ms ? child->plan.patience_ms(child->plan.context) : CHILD_PATIENCE_MS;
}

static void give_up(void *context)
{
    struct child *child = context;
    if (loop_stood_still_ms(child->loop) > STANDSTILL_MS) {
        /* This process was stopped as well, and may be the first that goes on. */
        timer_set(child->loop, &child->stopped, patience_ms(child));
        return;
    }
    log_warn("agentos", NULL, "The %s (pid %d) doesn't go on: it is ended", child->plan.name,
             (int)child->pid);
    kill_it(child);
}

bool child_begin(struct child *child, struct loop *loop, const struct child_plan *plan)
{
    *child = (struct child){.plan = *plan, .loop = loop, .channel = {.fd = -1}};
    child->program = memory_print("%s/%s", plan->folder, plan->file ? plan->file : plan->arguments[0]);
    child->timer = (struct timer){.ring = start, .context = child};
    child->stopped = (struct timer){.ring = give_up, .context = child};
    LIST_INSERT_HEAD(&children, child, link);
    start(child);
    if (child->pid > 0)
        return true;
    child_end(child, 0);
    return false;
}

static struct child *find(pid_t pid)
{
    struct child *child = LIST_FIRST(&children);
    while (child && child->pid != pid)
        child = LIST_NEXT(child, link);
    return child;
}

void child_stopped(pid_t pid, int number)
{
    struct child *child = find(pid);
    if (!child || child->stopping)
        return;
    if (number == 0) {
        timer_clear(child->loop, &child->stopped);
        return;
    }
    int64_t patience = patience_ms(child);
    log_warn("agentos", NULL,
             "The %s (pid %d) was stopped by signal %d; it is ended when it doesn't go on within %lld s",
             child->plan.name, (int)pid, number, (long long)patience / 1000);
    timer_set(child->loop, &child->stopped, patience);
}

bool child_reap(pid_t pid, int status)
{
    struct child *child = find(pid);
    if (!child)
        return false;
    timer_clear(child->loop, &child->stopped);
    /* The number may be another process's by now, which no fault in the child's last words may end. */
    child->pid = 0;
    child_drain(child);
    if (child->channel.fd >= 0)
        close_channel(child);
    log_pipe_close(child->log); /* the child's last words */
    child->log = NULL;
    OWNED char *text = child_status_text(status);
    if (!child->stopping)
        log_warn("agentos", NULL, "The %s (pid %d) has ended: %s; it is started again", child->plan.name,
                 (int)pid, text);
    if (child->plan.ended)
        child->plan.ended(child->plan.context);
    retry_later(child);
    return true;
}

void child_stop(struct child *child)
{
    child->stopping = true;
    timer_clear(child->loop, &child->timer);
    timer_clear(child->loop, &child->stopped);
    if (child->channel.fd >= 0)
        close_channel(child);
    log_pipe_close(child->log);
    child->log = NULL;
}

void child_end(struct child *child, int patience_ms)
{
    if (!child->loop)
        return;
    child_stop(child);
    while (child->pid > 0 && patience_ms-- > 0)
        if (waitpid(child->pid, NULL, WNOHANG) == child->pid)
            child->pid = 0;
        else
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    kill_it(child);
    if (child->pid > 0)
        (void)TEMP_FAILURE_RETRY(waitpid(child->pid, NULL, 0));
    LIST_REMOVE(child, link);
    free(child->program);
    child->loop = NULL;
}
