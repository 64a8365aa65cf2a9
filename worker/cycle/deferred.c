#include "worker/cycle/deferred.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/tree.h"

enum {
    PAUSE_FIRST_MS = 1000,
    PAUSE_GROWS = 3,
    PAUSE_MAX_MS = 5 * 60 * 1000,
    PAUSE_ALL_MS = 60 * 1000,
    PRINTED = 8,
    FILE_LIMIT = 4 * 1024 * 1024, /* bytes; a longer list is kept in memory alone */
    FORMAT = 1
};
static const char file_name[] = TREE_NOTES "/deferred";

struct deferred_task {
    char *id, *why; /* why NULL: its tries failed, but it is not deferred */
    uint64_t hash;
    bool by_post, spent;
    unsigned counted;          /* tries that count */
    int64_t first_ms, last_ms; /* monotonic: the tries; less than 0 where the machine started later */
    int64_t until_ms, until;   /* monotonic; the same in epoch seconds */
    int64_t pause_ms;
    struct question_usage usage; /* of the tries */
};

struct deferred {
    int tree; /* borrowed */
    struct deferred_task *tasks;
    size_t count;
    bool written; /* the file is there */
    bool changed; /* since it was written */
};

static struct deferred_task *append(struct deferred *deferred, struct deferred_task task)
{
    deferred->tasks = memory_grow(deferred->tasks, deferred->count + 1, sizeof *deferred->tasks);
    deferred->tasks[deferred->count] = task;
    return &deferred->tasks[deferred->count++];
}

/* --- the file: the fields of each task as messages have theirs (common/message.h) --- */

static void encode(const struct deferred_task *task, int64_t since_ms, struct buffer *out)
{
    const uint64_t numbers[] = {task->hash,
                                task->by_post,
                                task->spent,
                                task->counted,
                                (uint64_t)(task->first_ms + since_ms),
                                (uint64_t)(task->last_ms + since_ms),
                                (uint64_t)task->pause_ms,
                                task->usage.tokens_in,
                                task->usage.tokens_out,
                                task->usage.cached,
                                task->usage.requests,
                                task->usage.cost,
                                task->why != NULL};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        message_number(out, numbers[i]);
    message_text(out, task->id);
    message_text(out, task->why);
}

void deferred_keep(struct deferred *deferred)
{
    if (!deferred->changed)
        return;
    deferred->changed = false;
    OWNED_BUFFER struct buffer out = {0};
    int64_t since_ms =
        clock_now_ms() - clock_monotonic_ms(); /* epoch; the monotonic clock ends with the machine */
    message_number(&out, FORMAT);
    for (size_t i = 0; i < deferred->count; i++)
        encode(&deferred->tasks[i], since_ms, &out);
    if (deferred->count > 0 && out.length <= FILE_LIMIT)
        deferred->written |= files_write(deferred->tree, file_name, out.data, out.length, false, NULL);
    else if (deferred->written)
        deferred->written = unlinkat(deferred->tree, file_name, 0) != 0;
}

/* A time of the file, no later than now and no earlier than 1970, whatever became of the wall clock or the file. */
static int64_t monotonic_of(uint64_t epoch_ms)
{
    uint64_t now = (uint64_t)clock_now_ms();
    return clock_monotonic_ms() - (int64_t)(epoch_ms < now ? now - epoch_ms : 0);
}

static bool decode(struct reader *reader, struct deferred_task *task)
{
    uint64_t numbers[13];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!message_get_number(reader, &numbers[i]))
            return false;
    *task = (struct deferred_task){
        .hash = numbers[0],
        .by_post = numbers[1] != 0,
        .spent = numbers[2] != 0,
        .counted = (unsigned)numbers[3],
        .first_ms = monotonic_of(numbers[4]),
        .last_ms = monotonic_of(numbers[5]),
        .pause_ms = (int64_t)(numbers[6] > PAUSE_MAX_MS ? PAUSE_MAX_MS : numbers[6]),
        .usage = {numbers[7], numbers[8], numbers[9], numbers[10], numbers[11]},
    };
    if (!message_get_text(reader, &task->id, FILE_LIMIT))
        return false;
    if (message_get_text(reader, &task->why, FILE_LIMIT)) {
        if (numbers[12])
            return true;
        memory_set(&task->why, NULL);
        return true;
    }
    free(task->id);
    return false;
}

static void load(struct deferred *deferred)
{
    OWNED char *text = NULL;
    struct deferred_task task;
    uint64_t format;
    size_t length;
    if (files_read(deferred->tree, file_name, FILE_LIMIT, &text, &length, NULL, NULL) != 1)
        return;
    deferred->written = true;
    struct reader reader = {.at = (const unsigned char *)text, .end = (const unsigned char *)text + length};
    if (!message_get_number(&reader, &format) || format != FORMAT)
        return;
    while (!message_end(&reader) && decode(&reader, &task))
        append(deferred, task);
}

struct deferred *deferred_open(int tree)
{
    struct deferred *deferred = memory_new(1, sizeof *deferred);
    deferred->tree = tree;
    load(deferred);
    return deferred;
}

static void drop(struct deferred *deferred, size_t i)
{
    free(deferred->tasks[i].id);
    free(deferred->tasks[i].why);
    memmove(&deferred->tasks[i], &deferred->tasks[i + 1], (--deferred->count - i) * sizeof *deferred->tasks);
}

void deferred_close(struct deferred *deferred)
{
    if (!deferred)
        return;
    while (deferred->count > 0)
        drop(deferred, deferred->count - 1);
    free(deferred->tasks);
    free(deferred);
}

/* --- tries --- */

static struct deferred_task *find(const struct deferred *deferred, const char *id, uint64_t hash)
{
    for (size_t i = 0; i < deferred->count; i++)
        if (deferred->tasks[i].hash == hash && strcmp(deferred->tasks[i].id, id) == 0)
            return &deferred->tasks[i];
    return NULL;
}

static struct deferred_task *find_or_add(struct deferred *deferred, const char *id, uint64_t hash,
                                         bool by_post)
{
    struct deferred_task *task = find(deferred, id, hash);
    return task ? task
                : append(deferred, (struct deferred_task){.id = memory_text(id),
                                                          .hash = hash,
                                                          .by_post = by_post,
                                                          .usage.cost = USAGE_NO_COST});
}

int64_t deferred_add(struct deferred *deferred, const struct deferred_try *failed)
{
    int64_t now = clock_monotonic_ms();
    struct deferred_task *task = find_or_add(deferred, failed->id, failed->hash, failed->by_post);
    bool first = !task->why, counts = failed->answered_ms && (first || failed->answered_ms > task->last_ms);
    if (first)
        task->first_ms = now;
    task->counted += counts;
    task->last_ms = now;
    task->spent =
        failed->hopeless || (task->counted >= DEFERRED_TRIES && now - task->first_ms >= DEFERRED_LEAST_MS);
    task->pause_ms = task->pause_ms == 0 ? PAUSE_FIRST_MS : task->pause_ms * PAUSE_GROWS;
    int64_t most = counts ? PAUSE_MAX_MS : PAUSE_ALL_MS;
    task->pause_ms = task->pause_ms > most ? most : task->pause_ms;
    task->until_ms = task->spent ? 0 : now + task->pause_ms;
    task->until = (clock_now_ms() + task->pause_ms + 999) / 1000;
    memory_set(&task->why, failed->why);
    deferred->changed = true;
    return task->spent ? 0 : task->pause_ms;
}

void deferred_paid(struct deferred *deferred, const char *id, uint64_t hash, bool by_post,
                   const struct question_usage *usage)
{
    if (usage->requests == 0)
        return;
    usage_add(&find_or_add(deferred, id, hash, by_post)->usage, usage);
    deferred->changed = true;
}

struct question_usage deferred_usage(const struct deferred *deferred, const char *id, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, id, hash);
    return task ? task->usage : (struct question_usage){.cost = USAGE_NO_COST};
}

/* --- the deferred tasks --- */

bool deferred_knows(const struct deferred *deferred, const char *id, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, id, hash);
    return task && task->why;
}

const char *deferred_spent(const struct deferred *deferred, const char *id, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, id, hash);
    return task && task->spent ? task->why : NULL;
}

void deferred_retry(struct deferred *deferred)
{
    for (size_t i = 0; i < deferred->count; i++)
        deferred->tasks[i].until_ms = 0;
}

bool deferred_has(const struct deferred *deferred, const char *id, uint64_t hash)
{
    const struct deferred_task *task = find(deferred, id, hash);
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
    if (deferred->count == before)
        return false;
    deferred->changed = true;
    deferred_keep(deferred);
    return true;
}

void deferred_print(const struct deferred *deferred, struct buffer *problems)
{
    size_t shown = 0, more = 0;
    for (size_t i = 0; i < deferred->count; i++) {
        const struct deferred_task *task = &deferred->tasks[i];
        if (task->why && shown++ < PRINTED)
            buffer_print(problems, "task %s: %s\n", task->id, task->why);
    }
    more = shown > PRINTED ? shown - PRINTED : 0;
    if (more)
        buffer_print(problems, "%zu more tasks are not answered by the provider as they are\n", more);
}
