/* Blocks that a merge brought home are watched for a while. A person appends to the file that an exchange has just
 * taken out; an editor opens the new queue.md; the merge brings the block home; the editor, which has never seen the
 * block, saves, and the block is gone. So for QUEUE_BROUGHT_MS the file that came out stays, and a block of it that
 * vanishes from queue.md although it wasn't taken is brought home once more. The block is brought home a second time
 * only once: a person who takes it out again means it. An editor that is slower than QUEUE_BROUGHT_MS takes the block
 * away, as it would take away any other text that was added meanwhile.
 *
 * Killed in this time: the base on disk doesn't have these blocks, so the next start merges the file anew. Blocks that
 * queue.md has are not added, and the ledger knows the tasks that were done meanwhile. */
#include "worker/queue/part.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"

/* Appended behind the other entries; to be sorted. */
static void push(struct marks *marks, struct mark mark)
{
    *MEMORY_ADD(marks->items, marks->count) = mark;
}

void queue_brought_note(struct leftover *leftover, const struct marks *old, const struct marks *now,
                        const struct marks *titles)
{
    struct marks brought = {0};
    for (size_t i = 0; i < now->count; i++) {
        bool news = !queue_marks_have(old, now->items[i]) &&
                    !queue_marks_have(&leftover->again, now->items[i]) &&
                    !queue_marks_have(titles, now->items[i]);
        if (news)
            leftover->brought_ms = clock_monotonic_ms();
        if (news || queue_marks_have(&leftover->brought, now->items[i]))
            push(&brought, now->items[i]);
    }
    free(leftover->brought.items);
    leftover->brought = brought; /* in the order of now, which is sorted */
}

static bool drop(struct marks *marks, struct mark mark)
{
    for (size_t i = 0; i < marks->count; i++)
        if (marks->items[i].id == mark.id && marks->items[i].hash == mark.hash) {
            memmove(&marks->items[i], &marks->items[i + 1], (marks->count - i - 1) * sizeof mark);
            marks->count--;
            return true;
        }
    return false;
}

void queue_brought_taken(struct queue *queue, struct mark mark)
{
    for (size_t i = 0; i < queue->leftover_count; i++)
        if (drop(&queue->leftovers[i].brought, mark))
            queue_base_write(queue, &queue->leftovers[i], 0, NULL);
}

bool queue_brought_over(const struct leftover *leftover, int64_t now_ms)
{
    return leftover->brought.count == 0 || now_ms - leftover->brought_ms >= QUEUE_BROUGHT_MS;
}

/* An id that stands there with another text was edited. */
static bool look_after(struct leftover *leftover, const struct marks *there)
{
    struct marks kept = {0}, base = {0}, again = {0};
    for (size_t i = 0; i < leftover->brought.count; i++) {
        struct mark mark = leftover->brought.items[i];
        push(queue_marks_have_id(there, mark.id) ? &kept : &again, mark);
    }
    bool lost = again.count > 0;
    for (size_t i = 0; lost && i < leftover->base.count; i++)
        if (!queue_marks_have(&again, leftover->base.items[i]))
            push(&base, leftover->base.items[i]);
    if (lost) {
        free(leftover->base.items);
        leftover->base = base;
        for (size_t i = 0; i < leftover->again.count; i++)
            push(&again, leftover->again.items[i]);
        free(leftover->again.items);
        leftover->again = again;
        queue_marks_sort(&leftover->again);
        leftover->merged = false;
    }
    free(leftover->brought.items);
    leftover->brought = kept;
    return lost;
}

bool queue_brought_lost(struct queue *queue)
{
    int64_t now = clock_monotonic_ms();
    bool lost = false;
    struct marks there = {0};
    if (!queue->known || !queue->whole || queue->stamp.inode == 0)
        return false;
    for (size_t i = 0; i < queue->leftover_count; i++) {
        struct leftover *leftover = &queue->leftovers[i];
        if (leftover->brought.count == 0 || queue_brought_over(leftover, now))
            continue;
        if (!there.items)
            there = queue_marks(&queue->blocks, queue->blocks.count);
        lost = look_after(leftover, &there) || lost;
    }
    free(there.items);
    return lost;
}
