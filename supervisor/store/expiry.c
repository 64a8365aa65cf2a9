#include "supervisor/store/expiry.h"

#include <stdlib.h>

#include "common/memory.h"

struct expiry {
    struct timer_heap heap;
    void (*changed)(void *context);
    void *context;
};

struct expiry *expiry_new(void (*changed)(void *context), void *context)
{
    struct expiry *expiry = memory_new(1, sizeof *expiry);
    *expiry = (struct expiry){.changed = changed, .context = context};
    return expiry;
}

void expiry_free(struct expiry *expiry)
{
    if (!expiry)
        return;
    free(expiry->heap.timers); /* the entries may be freed by now */
    free(expiry);
}

static void say_if_changed(const struct expiry *expiry, int64_t before)
{
    if (expiry->changed && expiry_next(expiry) != before)
        expiry->changed(expiry->context);
}

void expiry_set(struct expiry *expiry, struct timer *entry, int64_t at)
{
    int64_t before = expiry_next(expiry);
    timer_heap_set(&expiry->heap, entry, at);
    say_if_changed(expiry, before);
}

void expiry_clear(struct expiry *expiry, struct timer *entry)
{
    int64_t before = expiry_next(expiry);
    timer_heap_clear(&expiry->heap, entry);
    say_if_changed(expiry, before);
}

int64_t expiry_next(const struct expiry *expiry)
{
    const struct timer *first = timer_heap_first(&expiry->heap);
    return first ? first->at : -1;
}

bool expiry_ring(struct expiry *expiry, int64_t now)
{
    struct timer *first = timer_heap_first(&expiry->heap);
    if (!first || first->at > now)
        return false;
    timer_heap_clear(&expiry->heap, first);
    first->ring(first->context);
    return true;
}

int64_t expiry_of(int64_t created, int64_t ttl_seconds)
{
    if (ttl_seconds <= 0 || (created > 0 && ttl_seconds > INT64_MAX - created))
        return -1;
    int64_t at = created + ttl_seconds;
    return at < 0 ? 0 : at;
}
