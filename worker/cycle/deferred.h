/* Deferred tasks: the provider refuses each of them as it is, or fails for it while others are answered. Other tasks go
 * on, and a deferred task is tried again after a pause of its own: 1 s, then three times as long each time, up to 5
 * minutes (one minute while the provider may fail for every task). So eight tries take eleven minutes.
 *
 * A failed try counts against the task when its base URL and model has answered another request since the try before:
 * under a mistyped name of a model no task is ever given up. The usage of a task's failed requests is kept with the
 * task, and counts in the commit of its end. A task that has left the queue or the mail is forgotten.
 *
 * The crash: the list is written to .agentos/deferred once after each failed try (deferred_keep) and when a task is
 * forgotten, so a new worker goes on counting; only the pauses are over then. The file outlives a kill and is never
 * flushed: a power cut takes back tries, and a task is tried more often. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/usage.h"
#include "worker/mail/mail.h"
#include "worker/queue/queue.h"

enum { DEFERRED_TRIES = 8, DEFERRED_LEAST_MS = 10 * 60 * 1000 };

struct deferred;

/* A try that failed. */
struct deferred_try {
    const char *id;
    uint64_t hash;
    bool by_post;
    const char *why;     /* the provider's own sentence */
    int64_t answered_ms; /* monotonic: when the base URL and model last answered any request; 0: never */
    bool hopeless;       /* no further try can end otherwise: the task is spent at once */
};

/* tree: descriptor of the agent's folder; borrowed. A file that can't be read counts as none. Never NULL. */
struct deferred *deferred_open(int tree);
void deferred_close(struct deferred *deferred); /* NULL is fine */
/* The task is deferred, or deferred for longer than before. Returns the pause in milliseconds; 0: the task is spent. */
int64_t deferred_add(struct deferred *deferred, const struct deferred_try *failed);
/* Adds the usage of a failed question about the task, which alone does not defer the task. */
void deferred_paid(struct deferred *deferred, const char *id, uint64_t hash, bool by_post,
                   const struct question_usage *usage);
/* Writes the list where deferred_add or deferred_paid has changed it since it was written. */
void deferred_keep(struct deferred *deferred);
struct question_usage deferred_usage(const struct deferred *deferred, const char *id, uint64_t hash);
/* The task's pause is not over. */
bool deferred_has(const struct deferred *deferred, const char *id, uint64_t hash);
/* The task's last try failed, pause or no pause. */
bool deferred_knows(const struct deferred *deferred, const char *id, uint64_t hash);
/* DEFERRED_TRIES counted tries over at least DEFERRED_LEAST_MS: the provider's last sentence, borrowed; else NULL. */
const char *deferred_spent(const struct deferred *deferred, const char *id, uint64_t hash);
void deferred_retry(struct deferred *deferred); /* every pause is over now; the counts stay */
/* Monotonic: the first pause that ends after since_ms; 0: none. */
int64_t deferred_next_ms(const struct deferred *deferred, int64_t since_ms);
/* Epoch seconds: the end of the first pause that is not over; 0: none. */
int64_t deferred_until(const struct deferred *deferred);
/* Forgets the tasks that are gone; to be called when queue and mail were looked at, the queue read whole. True: some task
 * was forgotten. */
bool deferred_reconcile(struct deferred *deferred, const struct queue *queue, const struct mail *mail);
void deferred_print(const struct deferred *deferred, struct buffer *problems); /* a line for each task */
