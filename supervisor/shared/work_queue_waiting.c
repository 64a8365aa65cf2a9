/* Items in the order in which they are given out, and items with a step due: each found without looking at the
 * others. Items of a sender that may send to some consumers only wait by themselves: an item that none of these can
 * take now holds up no other sender's. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/work_queue_part.h"

/* --- the order of items --- */

static int by_turn(const struct item *a, const struct item *b)
{
    if (a->envelope.priority != b->envelope.priority)
        return a->envelope.priority < b->envelope.priority ? -1 : 1;
    if (a->envelope.created != b->envelope.created)
        return a->envelope.created < b->envelope.created ? -1 : 1;
    return strcmp(a->envelope.id, b->envelope.id);
}

/* RB_GENERATE_STATIC of libbsd lets compilers warn of the functions that nobody calls. */
RB_GENERATE_INTERNAL(item_tree, item, turn_entry, by_turn, static __attribute__((unused)))

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
            RB_INIT(&sender->waiting);
            queue_sender_define(queue, sender);
            if (sender->limited)
                LIST_INSERT_HEAD(&queue->limited, sender, limited_link);
        }
    RB_INIT(&queue->open);
    for (size_t i = 0; i < queue->count; i++)
        if (queue->items[i]->tree) {
            queue->items[i]->tree = NULL;
            item_waits(queue->items[i]);
        }
}

void queue_senders_free(struct work_queue *queue)
{
    for (size_t i = 0; i < QUEUE_CHAINS; i++)
        while (!LIST_EMPTY(&queue->senders[i]))
            free_sender(LIST_FIRST(&queue->senders[i]));
}

/* --- an item's list --- */

void item_leave(struct item *item)
{
    if (item->tree)
        RB_REMOVE(item_tree, item->tree, item);
    item->tree = NULL;
    if (item->list)
        TAILQ_REMOVE(item->list, item, list_link);
    item->list = NULL;
}

void item_waits(struct item *item)
{
    item_leave(item);
    item->tree = item->sender->limited ? &item->sender->waiting : &item->queue->open;
    RB_INSERT(item_tree, item->tree, item);
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

struct item *queue_next(struct work_queue *queue)
{
    struct item *next = RB_MIN(item_tree, &queue->open);
    struct queue_sender *sender;
    if (next && queue->rooms.most[1] <= 0)
        next = NULL;
    LIST_FOREACH(sender, &queue->limited, limited_link)
    {
        struct item *first = RB_MIN(item_tree, &sender->waiting);
        if (first && (!next || by_turn(first, next) < 0) && queue_sender_has_room(queue, sender))
            next = first;
    }
    return next;
}
