/* The locks that this agent's tasks ask for (contract section 9); the supervisor gives them out.
 *
 * A task asks when it would be begun, and others go on while it waits. A task whose lock was granted begins before
 * everything else, since its lease runs and others wait for it. A task holds one lock and asks for no other while it
 * runs, so there can be no cycle of waiters. A lease that ends is marked in the task in hand, which the next step puts
 * down: the block stays in the queue and asks again. A lease that was granted while another task was in hand is asked to
 * run from when its task begins. The worker's own clock ends it too, since the supervisor's word may be on its way while
 * a commit is made. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/cycle/worker.h"

enum { ANSWER_MS = 1000 /* the supervisor answers at once; after that the lock counts as taken by others */ };

struct lock_wait {
    char *task, *name;
    uint64_t hash;  /* of the block */
    uint64_t token; /* 0: waits */
    int64_t
        /* epoch seconds; of a waiting task: when it asks again, since it has no place; 0: it has a place */
        lease_until;
    int64_t asked_ms;
    bool answered;
};

static struct lock_wait *find(const struct worker *worker, const char *task)
{
    for (size_t i = 0; i < worker->leases.count; i++)
        if (strcmp(worker->leases.items[i].task, task) == 0)
            return &worker->leases.items[i];
    return NULL;
}

static void drop(struct worker *worker, struct lock_wait *lock)
{
    free(lock->task);
    free(lock->name);
    *lock = worker->leases.items[--worker->leases.count];
}

/* By another task of this agent: one lock at a time does, since a worker does one task at a time. */
static bool is_asked_for(const struct worker *worker, const char *name)
{
    for (size_t i = 0; i < worker->leases.count; i++)
        if (strcmp(worker->leases.items[i].name, name) == 0)
            return true;
    return false;
}

enum lease_state leases_state(struct worker *worker, const struct block *block)
{
    if (!block->lock)
        return LEASE_NEEDLESS;
    struct lock_wait *lock = find(worker, block->id);
    if (lock && lock->lease_until && lock->lease_until <= clock_now()) {
        leases_release(worker, block->id);
        lock = NULL;
    }
    if (!lock)
        return is_asked_for(worker, block->lock) ? LEASE_WAITS : LEASE_UNASKED;
    if (lock->hash != block->hash)
        return LEASE_WAITS; /* another block of that id has asked */
    if (lock->token)
        return LEASE_HELD;
    return !lock->answered && clock_monotonic_ms() - lock->asked_ms < ANSWER_MS ? LEASE_ASKED : LEASE_WAITS;
}

bool leases_name(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return length > 0 && length <= NAME_LENGTH_MAX && utf8_valid(name, length);
}

void leases_ask(struct worker *worker, const struct block *block)
{
    if (find(worker, block->id))
        return;
    *MEMORY_ADD(worker->leases.items, worker->leases.count) =
        (struct lock_wait){.task = memory_text(block->id),
                           .name = memory_text(block->lock),
                           .hash = block->hash,
                           .asked_ms = clock_monotonic_ms()};
    worker_say(worker, MESSAGE_LOCK, block->id, block->lock);
}

void leases_take(struct worker *worker, const struct block *block)
{
    const struct lock_wait *lock = block->lock ? find(worker, block->id) : NULL;
    if (!lock)
        return;
    worker->task.lock = memory_text(lock->name);
    worker->task.token = lock->token;
    if (lock->lease_until < clock_now() + worker->start->agent->limits.task_seconds - 1)
        worker_say(worker, MESSAGE_LOCK, lock->task, lock->name);
}

void leases_release(struct worker *worker, const char *task)
{
    struct lock_wait *lock = find(worker, task);
    if (!lock)
        return;
    worker_say(worker, MESSAGE_UNLOCK, lock->task, lock->name);
    drop(worker, lock);
}

static bool in_queue(const struct worker *worker, const struct lock_wait *lock)
{
    const struct block_list *blocks = queue_blocks(worker->queue);
    for (size_t i = 0; i < blocks->count; i++)
        if (blocks->items[i].hash == lock->hash && strcmp(blocks->items[i].id, lock->task) == 0)
            return true;
    return false;
}

void leases_reconcile(struct worker *worker)
{
    for (size_t i = worker->leases.count; i-- > 0;) {
        struct lock_wait *lock = &worker->leases.items[i];
        bool in_hand = worker->phase != PHASE_NONE && strcmp(worker->task.id, lock->task) == 0;
        if (!in_hand && !in_queue(worker, lock))
            leases_release(worker, lock->task);
    }
}

void leases_release_others(struct worker *worker)
{
    for (size_t i = worker->leases.count; i-- > 0;)
        if (worker->phase == PHASE_NONE || strcmp(worker->task.id, worker->leases.items[i].task) != 0)
            leases_release(worker, worker->leases.items[i].task);
}

bool leases_lost(const struct worker *worker)
{
    if (worker->phase == PHASE_NONE || !worker->task.lock)
        return false;
    const struct lock_wait *lock = find(worker, worker->task.id);
    return !lock || lock->token != worker->task.token || lock->lease_until <= clock_now();
}

const char *leases_waited_for(const struct worker *worker)
{
    for (size_t i = 0; i < worker->leases.count; i++)
        if (worker->leases.items[i].token == 0)
            return worker->leases.items[i].name;
    return NULL;
}

int64_t leases_look_at_ms(const struct worker *worker, int64_t since_ms)
{
    int64_t at = 0;
    for (size_t i = 0; i < worker->leases.count; i++) {
        int64_t due = worker->leases.items[i].asked_ms + ANSWER_MS;
        if (!worker->leases.items[i].answered && due > since_ms && (at == 0 || due < at))
            at = due;
        int64_t again = worker->leases.items[i].token == 0 ? worker->leases.items[i].lease_until : 0;
        due = again ? clock_monotonic_ms() + (again - clock_now()) * 1000 : 0;
        if (due > since_ms && (at == 0 || due < at))
            at = due;
    }
    return at;
}

void leases_said(struct worker *worker, const char *task, const char *name, uint64_t token,
                 int64_t lease_until, const char *holder)
{
    struct lock_wait *lock = find(worker, task);
    if (!lock || strcmp(lock->name, name) != 0) {
        if (token) /* not wanted any more: the task that asked for the lock is over */
            worker_say(worker, MESSAGE_UNLOCK, task, name);
        return;
    }
    bool had = lock->token != 0;
    lock->answered = true;
    lock->token = token;
    lock->lease_until = lease_until;
    if (token || !had) {
        if (!token)
            log_info("agent", worker->name, "Task %s waits for the lock %s%s%s", task, name,
                     *holder ? ", held by " : "", holder);
        return;
    }
    log_warn("agent", worker->name, "The lease of the lock %s is over; task %s asks for it again.", name,
             task);
    if (leases_lost(worker) && strcmp(worker->task.id, task) == 0)
        worker->task.lease_lost = true;
    else
        drop(worker, lock);
}

void leases_free(struct worker *worker)
{
    for (size_t i = 0; i < worker->leases.count; i++) {
        free(worker->leases.items[i].task);
        free(worker->leases.items[i].name);
    }
    free(worker->leases.items);
}
