#include "worker/cycle/deferred.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_MAX_MS = 60000, PRINTED = 8 };

struct deferred_task {
    char *id, *why;
    uint64_t hash;
    bool by_post;
    int64_t until_ms; /* monotonic */
    int64_t delay_ms;
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

int64_t deferred_add(struct deferred *deferred, const char *id, uint64_t hash, bool by_post, const char *why)
{
    struct deferred_task *task = find(deferred, hash);
    if (!task) {
        deferred->tasks = memory_grow(deferred->tasks, deferred->count + 1, sizeof *deferred->tasks);
        task = &deferred->tasks[deferred->count++];
        *task = (struct deferred_task){
            .id = memory_text(id), .hash = hash, .by_post = by_post, .delay_ms = BACKOFF_FIRST_MS / 2};
    }
    free(task->why);
    task->why = memory_text(why);
    task->delay_ms = task->delay_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : task->delay_ms * 2;
    task->until_ms = clock_monotonic_ms() + task->delay_ms;
    return task->delay_ms;
}

bool deferred_has(const struct deferred *deferred, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, hash);
    return task && task->until_ms > clock_monotonic_ms();
}

/* A task whose backoff is over stays in the list for its next backoff, but no timer waits for it. */
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
        buffer_print(problems, "%zu more tasks are refused by the provider as they are\n",
                     deferred->count - shown);
}
