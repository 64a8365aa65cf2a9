#include "common/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work, idle;
    struct buffer waiting; /* lines, the length in front of each */
    uint64_t dropped;      /* not told yet */
    bool started, writing;
    int fd;
    log_writer_tell *tell;
} writer = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

static void add(const struct buffer *line)
{
    buffer_add(&writer.waiting, &line->length, sizeof line->length);
    buffer_add(&writer.waiting, line->data, line->length);
}

static void tell_dropped(void)
{
    OWNED_BUFFER struct buffer line = {0};
    writer.tell(&line, writer.dropped);
    writer.dropped = 0;
    add(&line);
}

/* Another process may have made the description non-blocking. */
static bool may_go_on(void)
{
    if (errno == EAGAIN)
        return poll(&(struct pollfd){.fd = writer.fd, .events = POLLOUT}, 1, -1) >= 0 || errno == EINTR;
    return errno == EINTR;
}

/* A line that can't be written, for want of any reader or of room on a disk, is lost: there is nobody to tell. */
static void write_line(const char *line, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = write(writer.fd, line + done, length - done);
        if (n == 0 || (n < 0 && !may_go_on()))
            return;
        done += n > 0 ? (size_t)n : 0;
    }
}

static void write_lines(const struct buffer *lines)
{
    for (size_t at = 0, length; at < lines->length; at += length) {
        memcpy(&length, lines->data + at, sizeof length);
        at += sizeof length;
        write_line(lines->data + at, length);
    }
}

static void *run(void *nothing)
{
    struct buffer taken = {0};
    (void)nothing;
    pthread_mutex_lock(&writer.mutex);
    for (;;) {
        if (writer.waiting.length == 0 && writer.dropped)
            tell_dropped();
        writer.writing = writer.waiting.length > 0;
        if (!writer.writing) {
            pthread_cond_signal(&writer.idle);
            pthread_cond_wait(&writer.work, &writer.mutex);
            continue;
        }
        struct buffer lines = writer.waiting;
        writer.waiting = taken;
        pthread_mutex_unlock(&writer.mutex);
        write_lines(&lines);
        taken = lines;
        taken.length = 0;
        pthread_mutex_lock(&writer.mutex);
    }
    return NULL;
}

/* Every signal is for the other threads; SIGPIPE, which the kernel sends to the thread that writes, stays pending. */
bool log_writer_start(int fd, log_writer_tell *tell)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    writer.fd = fd;
    writer.tell = tell;
    sigfillset(&all);
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN + 65536);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    writer.started = pthread_create(&thread, &attributes, run, NULL) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return writer.started;
}

/* While lines are dropped, a later one gets in only where the count can stand before it. */
bool log_writer_add(const struct buffer *line)
{
    if (!writer.started)
        return false;
    pthread_mutex_lock(&writer.mutex);
    size_t waiting = writer.waiting.length;
    if (waiting > 0 && (writer.dropped || waiting + line->length > LOG_WRITER_BYTES)) {
        writer.dropped++;
    } else {
        if (writer.dropped)
            tell_dropped();
        add(line);
        pthread_cond_signal(&writer.work);
    }
    pthread_mutex_unlock(&writer.mutex);
    return true;
}

void log_writer_end(int within_ms)
{
    struct timespec until;
    if (!writer.started)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)within_ms % 1000 * 1000000;
    until.tv_sec += within_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&writer.mutex);
    bool in_time = true;
    while (in_time && (writer.writing || writer.waiting.length || writer.dropped))
        in_time = pthread_cond_clockwait(&writer.idle, &writer.mutex, CLOCK_MONOTONIC, &until) == 0;
    pthread_mutex_unlock(&writer.mutex);
}
