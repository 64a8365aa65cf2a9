/* The supervisor's event loop: descriptors (epoll) and timers (a heap). The loop sleeps until something happens, so
 * an idle system costs nothing. One thread; every callback runs to its end before the next. */
#pragma once

#include <stdint.h>

#include "common/timer_heap.h"

struct loop;

typedef void loop_ready(void *context, uint32_t events); /* events as of epoll */

struct loop *loop_new(void); /* NULL and errno */
void loop_free(struct loop *loop);

/* Watches a descriptor (borrowed). loop_forget frees the handle, and is allowed in any callback, its own too. NULL
 * and errno: the descriptor can't be watched. */
struct loop_watch *loop_watch(struct loop *loop, int fd, uint32_t events, loop_ready *ready, void *context);
/* As loop_watch, for a descriptor that comes first: between any two callbacks that take a millisecond the loop looks
 * at it again. */
struct loop_watch *loop_watch_first(struct loop *loop, int fd, uint32_t events, loop_ready *ready,
                                    void *context);
void loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events);
void loop_forget(struct loop *loop,
                 struct loop_watch *watch); /* NULL is fine; before the descriptor is closed */

/* By clock_monotonic_ms; a timer lives in its owner. Setting a set one moves it. */
void timer_set(struct loop *loop, struct timer *timer, int64_t in_ms);
void timer_clear(struct loop *loop, struct timer *timer);

/* Runs until loop_end. */
void loop_run(struct loop *loop);
/* One turn: waits at most wait_ms (-1: without a limit) and calls the due callbacks. */
void loop_turn(struct loop *loop, int wait_ms);
void loop_end(struct loop *loop);
/* begin is called first in each turn, before any descriptor and any timer; NULL: nothing is. */
void loop_begin_turns_with(struct loop *loop, void (*begin)(void *context), void *context);
/* How much longer this turn's wait took than was asked for, by the kernel's clock: for that time this process did not
 * run. */
int64_t loop_stood_still_ms(const struct loop *loop);
