#include "common/timer_heap.h"

#include <stdlib.h>

#include "common/memory.h"

static void put(struct timer_heap *heap, size_t place, struct timer *timer)
{
    heap->timers[place] = timer;
    timer->place = place;
}

static void sift_up(struct timer_heap *heap, struct timer *timer)
{
    size_t place = timer->place;
    for (; place > 1 && heap->timers[place / 2]->at > timer->at; place /= 2)
        put(heap, place, heap->timers[place / 2]);
    put(heap, place, timer);
}

static void sift_down(struct timer_heap *heap, struct timer *timer)
{
    size_t place = timer->place, child;
    while ((child = place * 2) <= heap->count) {
        if (child < heap->count && heap->timers[child + 1]->at < heap->timers[child]->at)
            child++;
        if (heap->timers[child]->at >= timer->at)
            break;
        put(heap, place, heap->timers[child]);
        place = child;
    }
    put(heap, place, timer);
}

void timer_heap_set(struct timer_heap *heap, struct timer *timer, int64_t at)
{
    timer_heap_clear(heap, timer);
    heap->count++;
    MEMORY_MORE(heap->timers, heap->count); /* timers[0] is unused */
    timer->at = at;
    put(heap, heap->count, timer);
    sift_up(heap, timer);
}

void timer_heap_clear(struct timer_heap *heap, struct timer *timer)
{
    if (!timer->place)
        return;
    struct timer *last = heap->timers[heap->count--];
    if (last != timer) {
        put(heap, timer->place, last);
        sift_up(heap, last);
        sift_down(heap, last);
    }
    timer->place = 0;
}

struct timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count ? heap->timers[1] : NULL;
}

void timer_heap_free(struct timer_heap *heap)
{
    while (heap->count > 0)
        heap->timers[heap->count--]->place = 0;
    free(heap->timers);
}
