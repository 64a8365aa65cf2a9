#include "worker/cycle/deferred.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"

enum {
    PAUSE_FIRST_MS = 1000,
    PAUSE_GROWS = 3,
    PAUSE_MAX_MS = 5 * 60 * 1000,
    PAUSE_ALL_MS = 60 * 1000,
    PRINTED = 8
};

struct deferred_task {
    char *id, *why;
    uint64_t hash;
    bool by_post, spent;
    unsigned counted;          /* tries that count */
    int64_t first_ms, last_ms; /* monotonic: the tries */
    int64_t until_ms, until;   /* monotonic; the same in epoch seconds */
    int64_t pause_ms;
};

struct deferred {
    struct deferred_task *tasks;
    size_t count;
};

struct deferred *deferred_new(void)
{
    return memory_new(1, sizeof(struct deferred));
}

static void drop(struct deferred *deferred, size_t i)
{
    free(deferred->tasks[i].id);
    free(deferred->tasks[i].why);
    memmove(&deferred->tasks[i], &deferred->tasks[i + 1], (--deferred->count - i) * sizeof *deferred->tasks);
}

void deferred_free(struct deferred *deferred)
{
    if (!deferred)
        return;
    while (deferred->count > 0)
        drop(deferred, deferred->count - 1);
    free(deferred->tasks);
    free(deferred);
}

static struct deferred_task *find(const struct deferred *deferred, uint64_t hash)
{
    for (size_t i = 0; i < deferred->count; i++)
        if (deferred->tasks[i].hash == hash)
            return &deferred->tasks[i];
    return NULL;
}

static struct deferred_task *find_or_add(struct deferred *deferred, const struct deferred_try *failed,
                                         int64_t now)
{
    struct deferred_task *task = find(deferred, failed->hash);
    if (task)
        return task;
    deferred->tasks = memory_grow(deferred->tasks, deferred->count + 1, sizeof *deferred->tasks);
    task = &deferred->tasks[deferred->count++];
    *task = (struct deferred_task){
        .id = memory_text(failed->id), .hash = failed->hash, .by_post = failed->by_post, .first_ms = now};
    return task;
}

int64_t deferred_add(struct deferred *deferred, const struct deferred_try *failed)
{
    int64_t now = clock_monotonic_ms();
    struct deferred_task *task = find_or_add(deferred, failed, now);
    bool counts = failed->answered_ms > task->last_ms;
    task->counted += counts;
    task->last_ms = now;
    task->spent =
        failed->hopeless || (task->counted >= DEFERRED_TRIES && now - task->first_ms >= DEFERRED_LEAST_MS);
    task->pause_ms = task->pause_ms == 0 ? PAUSE_FIRST_MS : task->pause_ms * PAUSE_GROWS;
    int64_t most = counts ? PAUSE_MAX_MS : PAUSE_ALL_MS;
    task->pause_ms = task->pause_ms > most ? most : task->pause_ms;
    task->until_ms = task->spent ? 0 : now + task->pause_ms;
    task->until = (clock_now_ms() + task->pause_ms + 999) / 1000;
    free(task->why);
    task->why = memory_text(failed->why);
    return task->spent ? 0 : task->pause_ms;
}

bool deferred_knows(const struct deferred *deferred, uint64_t hash)
{
    return find(deferred, hash) != NULL;
}

const char *deferred_spent(const struct deferred *deferred, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, hash);
    return task && task->spent ? task->why : NULL;
}

void deferred_retry(struct deferred *deferred)
{
    for (size_t i = 0; i < deferred->count; i++)
        deferred->tasks[i].until_ms = 0;
}

bool deferred_has(const struct deferred *deferred, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, hash);
    return task && task->until_ms > clock_monotonic_ms();
}

int64_t deferred_until(const struct deferred *deferred)
{
    int64_t until = 0, now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < deferred->count; i++) {
        const struct deferred_task *task = &deferred->tasks[i];
        if (task->until_ms > now_ms && (until == 0 || task->until < until))
            until = task->until;
    }
    return until;
}

/* A task whose pause is over stays in the list for its next pause, but no timer waits for it. */
int64_t deferred_next_ms(const struct deferred *deferred, int64_t since_ms)
{
    int64_t next = 0;
    for (size_t i = 0; i < deferred->count; i++) {
        int64_t until = deferred->tasks[i].until_ms;
        if (until > since_ms && (next == 0 || until < next))
            next = until;
    }
    return next;
}

static bool is_there(const struct deferred_task *task, const struct queue *queue, const struct mail *mail)
{
    if (task->by_post)
        return mail_find(mail, task->id) != NULL;
    const struct block_list *blocks = queue_blocks(queue);
    for (size_t i = 0; i < blocks->count; i++)
        if (blocks->items[i].hash == task->hash && strcmp(blocks->items[i].id, task->id) == 0)
            return true;
    return false;
}

bool deferred_reconcile(struct deferred *deferred, const struct queue *queue, const struct mail *mail)
{
    size_t before = deferred->count;
    for (size_t i = deferred->count; i-- > 0;)
        if (!is_there(&deferred->tasks[i], queue, mail))
            drop(deferred, i);
    return deferred->count < before;
}

void deferred_print(const struct deferred *deferred, struct buffer *problems)
{
    size_t shown = deferred->count > PRINTED ? PRINTED : deferred->count;
    for (size_t i = 0; i < shown; i++)
        buffer_print(problems, "task %s: %s\n", deferred->tasks[i].id, deferred->tasks[i].why);
    if (shown < deferred->count)
        buffer_print(problems, "%zu more tasks are not answered by the provider as they are\n",
                     deferred->count - shown);
}
