/* Deadlines by the wall clock, in epoch seconds (common/timer_heap.h). Pure; the owner of a timer asks when the next
 * entry is due. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/timer_heap.h"

struct expiry;

struct expiry *expiry_new(void (*changed)(void *context),
                          void *context); /* changed: the next entry is another */
void expiry_free(struct expiry *expiry);  /* entries that are still set are simply forgotten */

void expiry_set(struct expiry *expiry, struct timer *entry, int64_t at); /* a set entry is moved */
/* For an entry that isn't set: nothing. */
void expiry_clear(struct expiry *expiry, struct timer *entry);
/* When the first entry is due, epoch seconds; -1: none is set. */
int64_t expiry_next(const struct expiry *expiry);
/* Calls ring() of the first entry that is due at `now`, cleared before. False: none is. */
bool expiry_ring(struct expiry *expiry, int64_t now);
/* created + ttl_seconds; -1: never (ttl 0, or beyond every clock). */
int64_t expiry_of(int64_t created, int64_t ttl_seconds);
