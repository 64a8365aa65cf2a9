/* Items in the order in which they are given out, and items with a step due: each found without looking at the
 * others. Items of a sender that may send to some consumers only wait by themselves: an item that none of these can
 * take now holds up no other sender's. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/work_queue_part.h"

/* --- heaps --- */

static bool comes_before(const struct item *a, const struct item *b)
{
    if (a->envelope.priority != b->envelope.priority)
        return a->envelope.priority < b->envelope.priority;
    if (a->envelope.created != b->envelope.created)
        return a->envelope.created < b->envelope.created;
    return strcmp(a->envelope.id, b->envelope.id) < 0;
}

static void put(struct item_heap *heap, size_t place, struct item *item)
{
    heap->items[place - 1] = item;
    item->place = place;
}

static void sift_up(struct item_heap *heap, struct item *item)
{
    size_t place = item->place;
    for (; place > 1 && comes_before(item, heap->items[place / 2 - 1]); place /= 2)
        put(heap, place, heap->items[place / 2 - 1]);
    put(heap, place, item);
}

static void sift_down(struct item_heap *heap, struct item *item)
{
    size_t place = item->place;
    for (;;) {
        size_t child = place * 2;
        if (child < heap->count && comes_before(heap->items[child], heap->items[child - 1]))
            child++;
        if (child > heap->count || !comes_before(heap->items[child - 1], item))
            break;
        put(heap, place, heap->items[child - 1]);
        place = child;
    }
    put(heap, place, item);
}

static void heap_add(struct item_heap *heap, struct item *item)
{
    MEMORY_MORE(heap->items, heap->count);
    put(heap, ++heap->count, item);
    sift_up(heap, item);
    item->heap = heap;
}

static void heap_remove(struct item *item)
{
    struct item_heap *heap = item->heap;
    struct item *last = heap->items[--heap->count];
    if (last != item) {
        put(heap, item->place, last);
        sift_up(heap, last);
        sift_down(heap, last);
    }
    item->heap = NULL;
}

/* --- senders --- */

static struct queue_sender *find_sender(const struct work_queue *queue, const char *name)
{
    struct queue_sender *sender;
    LIST_FOREACH(sender, &queue->senders[names_hash(name, strlen(name)) % QUEUE_CHAINS], link)
    {
        if (strcmp(sender->name, name) == 0)
            break;
    }
    return sender;
}

size_t queue_items_of(const struct work_queue *queue, const char *name)
{
    const struct queue_sender *sender = find_sender(queue, name);
    return sender ? sender->items : 0;
}

static struct queue_sender *add_sender(struct work_queue *queue, const char *name)
{
    struct queue_sender *sender = memory_new(1, sizeof *sender);
    sender->name = memory_text(name);
    LIST_INSERT_HEAD(&queue->senders[names_hash(name, strlen(name)) % QUEUE_CHAINS], sender, link);
    queue_sender_define(queue, sender);
    if (sender->limited)
        LIST_INSERT_HEAD(&queue->limited, sender, limited_link);
    return sender;
}

static void free_sender(struct queue_sender *sender)
{
    LIST_REMOVE(sender, link);
    if (sender->limited)
        LIST_REMOVE(sender, limited_link);
    free(sender->name);
    free(sender->places);
    free(sender->waiting.items);
    free(sender);
}

/* A limited sender's rights aren't found out for each of its items: the sender stays. */
void item_set_sender(struct item *item, const char *name)
{
    struct queue_sender *former = item->sender;
    item->sender = name ? find_sender(item->queue, name) : NULL;
    if (name && !item->sender)
        item->sender = add_sender(item->queue, name);
    if (item->sender)
        item->sender->items++;
    if (former && --former->items == 0 && !former->limited)
        free_sender(former);
}

void queue_senders_define(struct work_queue *queue)
{
    struct queue_sender *sender;
    LIST_INIT(&queue->limited);
    for (size_t i = 0; i < QUEUE_CHAINS; i++)
        LIST_FOREACH(sender, &queue->senders[i], link)
        {
            sender->waiting.count = 0;
            queue_sender_define(queue, sender);
            if (sender->limited)
                LIST_INSERT_HEAD(&queue->limited, sender, limited_link);
        }
    queue->open.count = 0;
    for (size_t i = 0; i < queue->count; i++)
        if (queue->items[i]->heap) {
            queue->items[i]->heap = NULL;
            item_waits(queue->items[i]);
        }
}

void queue_senders_free(struct work_queue *queue)
{
    for (size_t i = 0; i < QUEUE_CHAINS; i++)
        while (!LIST_EMPTY(&queue->senders[i]))
            free_sender(LIST_FIRST(&queue->senders[i]));
    free(queue->open.items);
}

/* --- an item's list --- */

void item_leave(struct item *item)
{
    if (item->heap)
        heap_remove(item);
    if (item->list)
        TAILQ_REMOVE(item->list, item, list_link);
    item->list = NULL;
}

void item_waits(struct item *item)
{
    item_leave(item);
    heap_add(item->sender->limited ? &item->sender->waiting : &item->queue->open, item);
}

void item_stand_in(struct item *item, struct item_list *list)
{
    item_leave(item);
    TAILQ_INSERT_TAIL(list, item, list_link);
    item->list = list;
}

void item_held_by(struct item *item, const char *consumer)
{
    struct queues *queues = item->queue->queues;
    if (item->held)
        LIST_REMOVE(item, held_link);
    item->held = consumer != NULL;
    if (consumer)
        LIST_INSERT_HEAD(&queues->held[names_hash(consumer, strlen(consumer)) % QUEUE_CHAINS], item,
                         held_link);
}

struct item *queue_next(const struct work_queue *queue)
{
    struct item *next = queue->open.count && queue->rooms.most[1] > 0 ? queue->open.items[0] : NULL;
    const struct queue_sender *sender;
    LIST_FOREACH(sender, &queue->limited, limited_link)
    {
        struct item *first = sender->waiting.count ? sender->waiting.items[0] : NULL;
        if (first && (!next || comes_before(first, next)) && queue_sender_has_room(queue, sender))
            next = first;
    }
    return next;
}
