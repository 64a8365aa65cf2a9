/* Deferred tasks: the provider refuses each of them as it is (ANSWER_REQUEST), so other tasks go on and a deferred task is
 * tried again after a backoff of its own: 1 s, doubled up to 60 s. The list lives in memory; a new worker tries at once.
 * A task that has left the queue or the mail is forgotten. */
#ifndef AGENTOS_WORKER_CYCLE_DEFERRED_H
#define AGENTOS_WORKER_CYCLE_DEFERRED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "worker/mail/mail.h"
#include "worker/queue/queue.h"

struct deferred;

struct deferred *deferred_new(void);
void deferred_free(struct deferred *deferred); /* NULL is fine */
/* The task is deferred, or deferred for longer than before. Returns the backoff in milliseconds. */
int64_t deferred_add(struct deferred *deferred, const char *id, uint64_t hash, bool by_post, const char *why);
bool deferred_has(const struct deferred *deferred, uint64_t hash); /* the task's backoff is not over */
/* Monotonic: the first backoff that ends after since_ms; 0: none. */
int64_t deferred_next_ms(const struct deferred *deferred, int64_t since_ms);
/* Forgets the tasks that are gone; to be called with a queue that was read whole. True: some task was forgotten. */
bool deferred_reconcile(struct deferred *deferred, const struct queue *queue, const struct mail *mail);
void deferred_print(const struct deferred *deferred, struct buffer *problems); /* a line for each task */

#endif
