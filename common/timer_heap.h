/* Timers, or whatever else is due at a time, the earliest first: a min-heap of entries that live in their owners. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct timer { /* zeroed but for the first two */
    void (*ring)(void *context);
    void *context;
    int64_t at;   /* by the clock that the heap's owner goes by */
    size_t place; /* in the heap, from 1; 0: not set */
};

struct timer_heap {        /* zeroed to begin with */
    struct timer **timers; /* timers[0] is unused: a timer's place is never 0 while it is set */
    size_t count;
};

void timer_heap_set(struct timer_heap *heap, struct timer *timer, int64_t at); /* a set one is moved */
void timer_heap_clear(struct timer_heap *heap, struct timer *timer); /* a timer that isn't set stays so */
struct timer *timer_heap_first(const struct timer_heap *heap);       /* NULL: none is set */
void timer_heap_free(struct timer_heap *heap); /* timers that are still set are simply forgotten */
