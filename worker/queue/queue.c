#include "worker/queue/part.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"

struct queue *queue_open(int tree, struct fault *fault)
{
    files_leases_silent();
    struct queue *queue = memory_new(1, sizeof *queue);
    queue->tree = tree;
    queue->notes = files_open_folder(tree, TREE_NOTES, true, fault);
    if (queue->notes < 0) {
        free(queue);
        return NULL;
    }
    if (queue_seen_load(queue, fault) && queue_leftovers_load(queue, fault))
        return queue;
    queue_close(queue);
    return NULL;
}

void queue_close(struct queue *queue)
{
    if (!queue)
        return;
    queue_leftovers_free(queue);
    block_list_free(&queue->blocks);
    free(queue->text);
    free(queue->owed);
    free(queue->seen);
    close(queue->notes);
    free(queue);
}

/* Takes that couldn't be made because the block was the last and somebody wrote behind it. */
static void pay_owed(struct queue *queue)
{
    if (queue->owed_count == 0 || !queue->whole)
        return;
    size_t count = queue->owed_count;
    struct mark *owed = queue->owed;
    queue->owed = NULL;
    queue->owed_count = 0;
    for (size_t i = 0; i < count; i++)
        queue_take_mark(queue, owed[i], NULL);
    free(owed);
}

bool queue_look(struct queue *queue, int64_t *retry_ms, struct fault *fault)
{
    if (retry_ms)
        *retry_ms = 0;
    if (queue->leftover_count)
        queue_settle(queue, retry_ms);
    if (!queue_refresh(queue, fault))
        return false;
    if (queue_brought_lost(queue) && queue_settle(queue, retry_ms) && !queue_refresh(queue, fault))
        return false;
    pay_owed(queue);
    if (queue->known && !queue->whole)
        queue_retry(retry_ms, QUEUE_QUIET_MS - (clock_monotonic_ms() - queue->quiet_ms));
    return true;
}

const struct block_list *queue_blocks(const struct queue *queue)
{
    return &queue->blocks;
}

bool queue_hints(struct queue *queue, struct buffer *out)
{
    if (!queue->known || !queue->whole)
        return false;
    if (queue->text)
        block_hints(&queue->blocks, queue->text, TREE_QUEUE, out);
    return true;
}

const struct block *queue_next(const struct queue *queue, bool (*skip)(void *, const struct block *),
                               void *context)
{
    const struct block *best = NULL;
    size_t count = queue_complete(queue);
    for (size_t i = 0; i < count; i++) {
        const struct block *block = &queue->blocks.items[i];
        if (block->problem || (best && block->priority >= best->priority) || (skip && skip(context, block)))
            continue;
        best = block;
        if (best->priority == PRIORITY_HIGH)
            break;
    }
    return best;
}

size_t queue_depth(const struct queue *queue)
{
    size_t depth = 0;
    for (size_t i = 0; i < queue->blocks.count; i++)
        depth += queue->blocks.items[i].problem == NULL;
    return depth;
}
