/* The ids of all envelopes that lie with a queue's consumers, or have ended there: an item whose id is not among them
 * lies nowhere, and no consumer is asked for it. The ids are gathered in slices from the names in their folders; a
 * given item's id is added. The ids are kept as hashes: two ids of one hash cost a look at the consumers, nothing
 * else. An id that has gone meanwhile costs the same; when most may have gone, all are gathered anew. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/work_queue_part.h"

enum { LEAST = 64, GONE_AT_MOST = 64 * 1024 };

static uint32_t mark_of(const char *id)
{
    return (uint32_t)names_hash(id, strlen(id)) | 1;
}

/* The mark's place, or an empty one. */
static uint32_t *place_of(const struct queue_ids *ids, uint32_t mark)
{
    size_t at = mark * 0x9e3779b1U & (ids->capacity - 1);
    while (ids->marks[at] && ids->marks[at] != mark)
        at = (at + 1) & (ids->capacity - 1);
    return &ids->marks[at];
}

static void add_mark(struct queue_ids *ids, uint32_t mark)
{
    uint32_t *place = place_of(ids, mark);
    ids->count += *place == 0;
    *place = mark;
}

static void grow(struct queue_ids *ids)
{
    struct queue_ids former = *ids;
    ids->capacity = former.capacity ? former.capacity * 2 : LEAST;
    ids->marks = memory_new(ids->capacity, sizeof *ids->marks);
    ids->count = 0;
    for (size_t i = 0; i < former.capacity; i++)
        if (former.marks[i])
            add_mark(ids, former.marks[i]);
    free(former.marks);
}

void queue_ids_add(struct work_queue *queue, const char *id)
{
    if (queue_ids_whole(queue) && queue->ids.count > queue->ids.there * 2 + GONE_AT_MOST)
        queue_ids_begin(queue);
    if (queue->ids.count * 2 >= queue->ids.capacity)
        grow(&queue->ids);
    add_mark(&queue->ids, mark_of(id));
}

static void see(void *context, const char *id)
{
    queue_ids_add(context, id);
}

void queue_ids_gather(struct work_queue *queue, int64_t until_ms)
{
    const struct queues *queues = queue->queues;
    size_t count = queue->definition ? queue->definition->consumers.count : 0;
    struct queue_ids *ids = &queue->ids;
    for (size_t done = 0; ids->gathered < count && (!done || clock_monotonic_ms() < until_ms); done++) {
        const char *agent = queue->definition->consumers.items[ids->gathered];
        if (!queues->operations->each_id(queues->context, agent, see, queue))
            ids->failed = true;
        ids->gathered++;
        ids->there = ids->count;
    }
}

bool queue_ids_whole(const struct work_queue *queue)
{
    return queue->definition && queue->ids.gathered == queue->definition->consumers.count;
}

void queue_ids_begin(struct work_queue *queue)
{
    free(queue->ids.marks);
    queue->ids = (struct queue_ids){0};
}

bool queue_ids_may_have(const struct work_queue *queue, const char *id)
{
    const struct queue_ids *ids = &queue->ids;
    return !queue_ids_whole(queue) || ids->failed || (ids->capacity && *place_of(ids, mark_of(id)) != 0);
}
