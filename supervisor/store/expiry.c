#include "supervisor/store/expiry.h"

#include <stdlib.h>

#include "common/memory.h"

struct expiry {
    struct expiry_entry **heap; /* from 1 */
    size_t count, capacity;
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
    for (size_t i = 1; i <= expiry->count; i++)
        expiry->heap[i]->place = 0;
    free(expiry->heap);
    free(expiry);
}

static void put(struct expiry *expiry, size_t place, struct expiry_entry *entry)
{
    expiry->heap[place] = entry;
    entry->place = place;
}

static void rise(struct expiry *expiry, struct expiry_entry *entry)
{
    size_t place = entry->place;
    for (; place > 1 && expiry->heap[place / 2]->at > entry->at; place /= 2)
        put(expiry, place, expiry->heap[place / 2]);
    put(expiry, place, entry);
}

static void sink(struct expiry *expiry, struct expiry_entry *entry)
{
    size_t place = entry->place, child;
    while ((child = place * 2) <= expiry->count) {
        if (child < expiry->count && expiry->heap[child + 1]->at < expiry->heap[child]->at)
            child++;
        if (expiry->heap[child]->at >= entry->at)
            break;
        put(expiry, place, expiry->heap[child]);
        place = child;
    }
    put(expiry, place, entry);
}

static void take_out(struct expiry *expiry, struct expiry_entry *entry)
{
    struct expiry_entry *last = expiry->heap[expiry->count--];
    if (last != entry) {
        put(expiry, entry->place, last);
        rise(expiry, last);
        sink(expiry, last);
    }
    entry->place = 0;
}

static void say_if_changed(const struct expiry *expiry, int64_t before)
{
    if (expiry->changed && expiry_next(expiry) != before)
        expiry->changed(expiry->context);
}

void expiry_set(struct expiry *expiry, struct expiry_entry *entry, int64_t at)
{
    int64_t before = expiry_next(expiry);
    if (entry->place)
        take_out(expiry, entry);
    if (expiry->count + 2 > expiry->capacity) {
        expiry->capacity = expiry->capacity ? expiry->capacity * 2 : 64;
        expiry->heap = memory_grow(expiry->heap, expiry->capacity, sizeof *expiry->heap);
    }
    entry->at = at;
    put(expiry, ++expiry->count, entry);
    rise(expiry, entry);
    say_if_changed(expiry, before);
}

void expiry_clear(struct expiry *expiry, struct expiry_entry *entry)
{
    int64_t before = expiry_next(expiry);
    if (!entry->place)
        return;
    take_out(expiry, entry);
    say_if_changed(expiry, before);
}

int64_t expiry_next(const struct expiry *expiry)
{
    return expiry->count ? expiry->heap[1]->at : -1;
}

bool expiry_ring(struct expiry *expiry, int64_t now)
{
    if (!expiry->count || expiry->heap[1]->at > now)
        return false;
    struct expiry_entry *entry = expiry->heap[1];
    take_out(expiry, entry);
    entry->due(entry->context);
    return true;
}

int64_t expiry_of(int64_t created, int64_t ttl_seconds)
{
    if (ttl_seconds <= 0 || (created > 0 && ttl_seconds > INT64_MAX - created))
        return -1;
    int64_t at = created + ttl_seconds;
    return at < 0 ? 0 : at;
}
