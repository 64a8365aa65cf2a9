#include "supervisor/process/clock_jumps.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

struct wallclock {
    struct loop *loop;
    int fd;
    struct loop_watch *watch;
    void (*changed)(void *context);
    void *context;
};

static void on_timer(void *context, uint32_t events)
{
    (void)events;
    struct wallclock *wallclock = context;
    enum clock_set set = clock_set_read(wallclock->fd);
    if (set == CLOCK_NOT_SET)
        return;
    if (set == CLOCK_SET_AND_BLIND)
        loop_change(wallclock->loop, wallclock->watch, 0);
    log_info("agentos", NULL, "The clock was set: all times to live are looked at again");
    wallclock->changed(wallclock->context);
}

struct wallclock *wallclock_open(struct loop *loop, void (*changed)(void *context), void *context)
{
    struct wallclock *wallclock = memory_new(1, sizeof *wallclock);
    *wallclock = (struct wallclock){.loop = loop, .changed = changed, .context = context};
    wallclock->fd = clock_set_open();
    if (wallclock->fd >= 0)
        wallclock->watch = loop_watch(loop, wallclock->fd, EPOLLIN, on_timer, wallclock);
    return wallclock;
}

void wallclock_close(struct wallclock *wallclock)
{
    if (!wallclock)
        return;
    loop_forget(wallclock->loop, wallclock->watch);
    memory_close_at(&wallclock->fd);
    free(wallclock);
}
