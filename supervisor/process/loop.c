#include "supervisor/process/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"

enum { EVENTS_PER_TURN = 64, FIRST_US = 1000 /* between two looks at the first descriptors */ };

struct loop_watch {
    int fd;
    bool first;        /* the watch is in the loop's epoll of that name */
    loop_ready *ready; /* NULL: forgotten */
    void *context;
    struct loop_watch *next_dead;
};

struct loop {
    int epoll;
    int first;        /* another epoll, within fd: its descriptors come first */
    int64_t first_us; /* clock_kernel_monotonic_us: of the last look at first, in this turn */
    bool ended;
    void (*begin)(void *context); /* loop_begin_turns_with */
    void *begin_context;
    int64_t turned_at,
        stood_still; /* when the last wait ended, by the kernel's clock, and how late that was; ms */
    struct timer_heap heap;
    struct loop_watch *dead; /* forgotten watches: events of this turn may still point to them */
};

struct loop *loop_new(void)
{
    OWNED_FD int epoll = epoll_create1(EPOLL_CLOEXEC), first = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || first < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, first, &event) != 0)
        return NULL;
    struct loop *loop = memory_new(1, sizeof *loop);
    *loop = (struct loop){.epoll = epoll, .first = first};
    epoll = first = -1;
    return loop;
}

static void bury(struct loop *loop)
{
    while (loop->dead) {
        struct loop_watch *watch = loop->dead;
        loop->dead = watch->next_dead;
        free(watch);
    }
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    bury(loop);
    close(loop->first);
    close(loop->epoll);
    timer_heap_free(&loop->heap);
    free(loop);
}

static int epoll_of(const struct loop *loop, const struct loop_watch *watch)
{
    return watch->first ? loop->first : loop->epoll;
}

static struct loop_watch *watch_in(struct loop *loop, bool first, int fd, uint32_t events, loop_ready *ready,
                                   void *context)
{
    struct loop_watch *watch = memory_new(1, sizeof *watch);
    *watch = (struct loop_watch){.fd = fd, .first = first, .ready = ready, .context = context};
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(epoll_of(loop, watch), EPOLL_CTL_ADD, fd, &event) != 0) {
        free(watch);
        return NULL;
    }
    return watch;
}

struct loop_watch *loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready *ready, void *context)
{
    return watch_in(loop, false, fd, events, ready, context);
}

struct loop_watch *loop_watch_first(struct loop *loop, int fd, uint32_t events, loop_ready *ready,
                                    void *context)
{
    return watch_in(loop, true, fd, events, ready, context);
}

void loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    epoll_ctl(epoll_of(loop, watch), EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_forget(struct loop *loop, struct loop_watch *watch)
{
    if (!watch || !watch->ready)
        return;
    epoll_ctl(epoll_of(loop, watch), EPOLL_CTL_DEL, watch->fd, NULL);
    watch->ready = NULL;
    watch->next_dead = loop->dead;
    loop->dead = watch;
}

void timer_set(struct loop *loop, struct timer *timer, int64_t in_ms)
{
    timer_heap_set(&loop->heap, timer, clock_monotonic_ms() + (in_ms > 0 ? in_ms : 0));
}

void timer_clear(struct loop *loop, struct timer *timer)
{
    timer_heap_clear(&loop->heap, timer);
}

static int until_next_timer(const struct loop *loop, int wait_ms)
{
    const struct timer *first = timer_heap_first(&loop->heap);
    if (!first)
        return wait_ms;
    int64_t left = first->at - clock_monotonic_ms();
    if (left < 0)
        left = 0;
    if (wait_ms >= 0 && wait_ms < left)
        return wait_ms;
    return left > INT_MAX ? INT_MAX : (int)left;
}

static void call(const struct epoll_event *event)
{
    struct loop_watch *watch = event->data.ptr;
    if (watch->ready)
        watch->ready(watch->context, event->events);
}

static void look_first(struct loop *loop)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(loop->first, events, EVENTS_PER_TURN, 0);
    for (int i = 0; i < count; i++)
        call(&events[i]);
    loop->first_us = clock_kernel_monotonic_us();
}

/* Looks between two callbacks: a descriptor that comes first waits for one callback, not for all that are due. */
static void look_first_again(struct loop *loop)
{
    if (clock_kernel_monotonic_us() - loop->first_us >= FIRST_US)
        look_first(loop);
}

static void ring_due(struct loop *loop)
{
    /* A timer that is set for "at once" is for the next turn: no chain of timers can starve the descriptors. */
    int64_t now = clock_monotonic_ms();
    struct timer *timer;
    for (size_t most = loop->heap.count;
         most > 0 && (timer = timer_heap_first(&loop->heap)) && timer->at <= now; most--) {
        timer_clear(loop, timer);
        timer->ring(timer->context);
        look_first_again(loop);
    }
}

static void notice_standstill(struct loop *loop, int waited_ms)
{
    loop->first_us = clock_kernel_monotonic_us();
    int64_t now = loop->first_us / 1000, late = now - loop->turned_at - waited_ms;
    loop->stood_still = loop->turned_at && waited_ms >= 0 && late > 0 ? late : 0;
    loop->turned_at = now;
}

int64_t loop_stood_still_ms(const struct loop *loop)
{
    return loop->stood_still;
}

void loop_begin_turns_with(struct loop *loop, void (*begin)(void *context), void *context)
{
    loop->begin = begin;
    loop->begin_context = context;
}

void loop_turn(struct loop *loop, int wait_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    wait_ms = clock_wait_ms(until_next_timer(loop, wait_ms));
    int count = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, wait_ms);
    notice_standstill(loop, wait_ms);
    if (loop->begin)
        loop->begin(loop->begin_context);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            call(&events[i]);
        else
            look_first(loop);
        look_first_again(loop);
    }
    ring_due(loop);
    bury(loop);
}

void loop_run(struct loop *loop)
{
    loop->ended = false;
    while (!loop->ended)
        loop_turn(loop, -1);
}

void loop_end(struct loop *loop)
{
    loop->ended = true;
}
