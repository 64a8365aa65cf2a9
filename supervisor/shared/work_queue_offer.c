/* Items whose consumer lives on another node: what is told to that node of them. work_queue_far.c has the whole story. */
#include <stdlib.h>

#include "common/clock.h"
#include "supervisor/shared/work_queue_part.h"

bool queue_is_away(const struct work_queue *queue, const char *agent)
{
    const struct queues *queues = queue->queues;
    return queues->operations->worker(queues->context, agent) == QUEUE_WORKER_AWAY;
}

void item_say(struct item *item, const char *what, const struct envelope *whole, uint64_t key)
{
    const struct queues *queues = item->queue->queues;
    item->turn = ((uint64_t)arc4random() << 31 | arc4random()) + 1;
    struct queue_word word = {.what = what,
                              .queue = item->queue->name,
                              .agent = item->envelope.consumer,
                              .turn = item->turn,
                              .key = key,
                              .item = whole ? *whole : item->envelope};
    if (!whole)
        word.item.body = NULL;
    if (queues->operations->say(queues->context, NULL, &word))
        item->asked_ms = clock_monotonic_ms();
}

void item_offer(struct item *item, bool given)
{
    if (!item->turn) {
        item->turn = 1;
        item->given = given;
        item->asked_ms = clock_monotonic_ms();
        item_set_state(item, ITEM_OUT);
    }
    item_say(item, "offer", NULL, 0);
}
