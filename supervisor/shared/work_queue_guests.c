/* Items of other nodes with consumers that live here (work_queue_far.c has the words and the crashes). Memory holds
 * of a guest the node that asked about it last, in which turn, and the key by which it may be taken; the folders say
 * the rest. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/shared/work_queue_part.h"

enum { FORGOTTEN_MS = 60 * 1000 /* when no node asks about the guest */ };

struct guest {
    LIST_ENTRY(guest) link;
    struct work_queue *queue;
    char *node;           /* the item's home */
    struct envelope item; /* id, from, consumer, created, ttl_seconds, attempts; owned */
    uint64_t turn, key;   /* key 0: the item may not be taken */
    bool doubt;           /* the consumer's worker has ended since the item was seen there */
    int64_t heard_ms;
};

static void forget(struct guest *guest)
{
    LIST_REMOVE(guest, link);
    envelope_free(&guest->item);
    free(guest->node);
    free(guest);
}

void guests_free(struct queues *queues)
{
    while (!LIST_EMPTY(&queues->guests))
        forget(LIST_FIRST(&queues->guests));
}

static bool is_one(const struct guest *guest, const struct work_queue *queue, const char *agent,
                   const char *id)
{
    return guest->queue == queue && strcmp(guest->item.id, id) == 0 &&
           strcmp(guest->item.consumer, agent) == 0;
}

static struct guest *meet(struct work_queue *queue, const char *node, const struct queue_word *word)
{
    struct queues *queues = queue->queues;
    struct guest *guest;
    LIST_FOREACH(guest, &queues->guests, link)
    if (is_one(guest, queue, word->agent, word->item.id))
        break;
    if (!guest) {
        guest = memory_new(1, sizeof *guest);
        *guest = (struct guest){.queue = queue};
        memory_set(&guest->item.id, word->item.id);
        memory_set(&guest->item.consumer, word->agent);
        LIST_INSERT_HEAD(&queues->guests, guest, link);
    }
    memory_set(&guest->node, node);
    memory_set(&guest->item.from, word->item.from);
    guest->item.created = word->item.created;
    guest->item.ttl_seconds = word->item.ttl_seconds;
    guest->item.attempts = word->item.attempts;
    guest->turn = word->turn;
    guest->heard_ms = clock_monotonic_ms();
    return guest;
}

static void answer(const struct guest *guest, const char *what, const char *status, int64_t attempts)
{
    const struct queues *queues = guest->queue->queues;
    struct queue_word word = {.what = what,
                              .queue = guest->queue->name,
                              .agent = guest->item.consumer,
                              .turn = guest->turn,
                              .key = guest->key,
                              .status = status,
                              .item = guest->item};
    word.item.attempts = attempts;
    (void)queues->operations->say(queues->context, guest->node, &word);
}

static bool is_over(const struct guest *guest)
{
    int64_t at = expiry_of(guest->item.created, guest->item.ttl_seconds);
    return at >= 0 && at <= clock_now();
}

/* The consumer's room; guests with a key are on their way. */
static int64_t room_for(const struct guest *guest)
{
    const struct queues *queues = guest->queue->queues;
    int64_t room = queues->operations->room(queues->context, guest->item.consumer);
    const struct guest *other;
    LIST_FOREACH(other, &queues->guests, link)
    room -= other != guest && other->key && strcmp(other->item.consumer, guest->item.consumer) == 0;
    return room;
}

/* Tells the item's home the item's state here. The guest may be freed afterwards. */
static void look(struct guest *guest)
{
    struct fault fault;
    int64_t attempts;
    const char *end;
    enum item_place place = item_find(guest->queue, &guest->item, guest->doubt, &attempts, &end, &fault);
    if (place != PLACE_NOWHERE)
        guest->key = 0;
    switch (place) {
    case PLACE_UNSURE:
        log_warn("post", guest->item.consumer,
                 "Item %s of the queue %s, of node %s, can't be accounted for: %s", guest->item.id,
                 guest->queue->name, guest->node, fault.text);
        break;
    case PLACE_COMES:
    case PLACE_CHANGES:
        break; /* the item's home asks again */
    case PLACE_ENDED:
        answer(guest, "ended", end, attempts);
        forget(guest);
        break;
    case PLACE_CONSUMER:
        answer(guest, "has", NULL, attempts);
        break;
    case PLACE_TAKEN_BACK:
        answer(guest, "back", NULL, attempts);
        forget(guest);
        break;
    case PLACE_NOWHERE:
        if (is_over(guest) || room_for(guest) > 0) {
            guest->key = ((uint64_t)arc4random() << 31 | arc4random()) + 1;
            answer(guest, "may", NULL, attempts);
        } else {
            guest->key = 0;
            answer(guest, "full", NULL, attempts);
            forget(guest);
        }
        break;
    }
}

/* The item's home has written it down as this consumer's. A put that fails may have put the copy there all the same:
 * the home asks. */
static void take(struct guest *guest, const struct queue_word *word)
{
    struct work_queue *queue = guest->queue;
    struct queues *queues = queue->queues;
    struct envelope envelope = word->item;
    struct fault fault;
    int64_t attempts;
    const char *end;
    bool may = guest->key && guest->key == word->key &&
               item_find(queue, &guest->item, false, &attempts, &end, &fault) == PLACE_NOWHERE;
    guest->key = 0;
    envelope.consumer = guest->item.consumer;
    if (may) {
        queue_ids_add(queue, envelope.id);
        if (!queues->operations->put(queues->context, guest->item.consumer, &envelope, &fault)) {
            log_warn("post", guest->item.consumer,
                     "Item %s of the queue %s, of node %s, can't be delivered: %s", envelope.id, queue->name,
                     guest->node, fault.text);
            return;
        }
        guest->doubt = false;
    }
    look(guest);
}

static void bury(struct guest *guest, const struct queue_word *word)
{
    struct queues *queues = guest->queue->queues;
    struct fault fault;
    struct envelope envelope = word->item;
    int64_t attempts;
    const char *end;
    enum item_place place = item_find(guest->queue, &guest->item, false, &attempts, &end, &fault);
    envelope.consumer = guest->item.consumer;
    if (place == PLACE_NOWHERE || place == PLACE_TAKEN_BACK) {
        guest->key = 0;
        if (!queues->operations->bury(queues->context, guest->item.consumer, &envelope, &fault)) {
            log_warn("post", guest->item.consumer,
                     "Item %s of the queue %s, of node %s, can't be put into the dead letters: %s",
                     envelope.id, guest->queue->name, guest->node, fault.text);
            return; /* the item's home asks again */
        }
        (void)queue_clear_taken(guest->queue, envelope.id, &fault);
    }
    look(guest);
}

void queue_hear_question(struct work_queue *queue, const char *node, const struct queue_word *word)
{
    struct guest *guest = meet(queue, node, word);
    if (strcmp(word->what, "give") == 0 && word->item.body) {
        take(guest, word);
    } else if (strcmp(word->what, "bury") == 0 && word->item.body) {
        bury(guest, word);
    } else if (strcmp(word->what, "over") == 0) {
        struct fault fault;
        (void)queue_clear_taken(queue, word->item.id, &fault);
        forget(guest);
    } else {
        look(guest);
    }
}

static struct guest *next_of(struct guest *guest, const char *agent)
{
    while (guest && strcmp(guest->item.consumer, agent) != 0)
        guest = LIST_NEXT(guest, link);
    return guest;
}

void guests_worker(struct queues *queues, const char *agent, bool down)
{
    struct guest *guest = next_of(LIST_FIRST(&queues->guests), agent), *next;
    for (; guest; guest = next) {
        next = next_of(LIST_NEXT(guest, link), agent);
        guest->doubt = down;
        if (!guest->key)
            look(guest);
    }
}

void guests_ended(struct queues *queues, const char *agent, const char *id, const char *status)
{
    struct guest *guest, *next;
    for (guest = LIST_FIRST(&queues->guests); guest; guest = next) {
        next = LIST_NEXT(guest, link);
        if (strcmp(guest->item.id, id) != 0 || strcmp(guest->item.consumer, agent) != 0 || guest->key)
            continue;
        answer(guest, "ended", status, guest->item.attempts);
        forget(guest);
    }
}

void guests_of_none(struct queues *queues, const char *agent)
{
    struct guest *guest;
    while ((guest = next_of(LIST_FIRST(&queues->guests), agent)))
        forget(guest);
}

void guests_tidy(struct queues *queues)
{
    int64_t now_ms = clock_monotonic_ms();
    for (struct guest *guest = LIST_FIRST(&queues->guests), *next; guest; guest = next) {
        next = LIST_NEXT(guest, link);
        if (now_ms - guest->heard_ms >= FORGOTTEN_MS)
            forget(guest);
    }
}
