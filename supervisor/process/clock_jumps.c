#include "supervisor/process/clock_jumps.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"

struct wallclock {
    struct loop *loop;
    int fd;
    struct loop_watch *watch;
    void (*changed)(void *context);
    void *context;
};

/* A timer that never rings, but is cancelled when the clock is set. */
static bool arm(int fd)
{
    const struct itimerspec never = {.it_value.tv_sec = INT64_C(1) << 40};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

static void on_timer(void *context, uint32_t events)
{
    (void)events;
    struct wallclock *wallclock = context;
    uint64_t rings;
    if (read(wallclock->fd, &rings, sizeof rings) < 0 && errno == EAGAIN)
        return;
    if (!arm(wallclock->fd))
        loop_change(wallclock->loop, wallclock->watch, 0);
    log_info("agentos", NULL, "The clock was set: what expires is looked at again");
    wallclock->changed(wallclock->context);
}

struct wallclock *wallclock_open(struct loop *loop, void (*changed)(void *context), void *context)
{
    struct wallclock *wallclock = memory_new(1, sizeof *wallclock);
    *wallclock = (struct wallclock){.loop = loop, .changed = changed, .context = context};
    wallclock->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (wallclock->fd >= 0 && arm(wallclock->fd))
        wallclock->watch = loop_watch(loop, wallclock->fd, EPOLLIN, on_timer, wallclock);
    return wallclock;
}

void wallclock_close(struct wallclock *wallclock)
{
    if (!wallclock)
        return;
    loop_forget(wallclock->loop, wallclock->watch);
    if (wallclock->fd >= 0)
        close(wallclock->fd);
    free(wallclock);
}
