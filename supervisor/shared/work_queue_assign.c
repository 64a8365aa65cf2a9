/* An item's way to a consumer, and back.
 *
 * An item has exactly one consumer at a time, whichever process is killed. It is given out in two steps:
 *   (a) the item's file in the queue names the consumer, status delivered; the text is flushed, but not the file's name,
 *       which would cost as much as all else: after a power cut the file may name nobody again;
 *   (b) a copy lies in the consumer's iac/handoffs/, durable: whatever the file says, that consumer has the item.
 * The item is taken back in two steps, while the consumer has no process:
 *   (c) the copy is renamed into the queue's folder as .ID.taken: from now on no worker can find it;
 *   (d) the file says pending again, with the copy's attempts; .ID.taken goes. The flush of (d) covers (c): both are in
 *       the same folder.
 *
 * The places of an item at the start, and what item_recover makes of them:
 *   the file says    .ID.taken   with the consumer         then
 *   nobody           -           nowhere                   the item waits
 *   nobody           yes         nowhere                   behind (d): the item waits; .ID.taken goes before the item
 *                                                          is given out
 *   nobody           either      somewhere                 (a) was lost or undone by a person; that consumer has it, and
 *                                                          .ID.taken, whose end was lost with (a), goes
 *   a consumer       yes         handoffs                  (c), between two file systems, was cut: .ID.taken goes, and
 *                                                          (c) counts as never begun
 *   a consumer       yes         anything else             between (c) and (d): go on with (d)
 *   a consumer       no          archive, finished         the item has ended: the file goes
 *   a consumer       no          dead-letter               the item has ended: the file goes; the sender of a failed
 *                                                          item gets its bounce, if it hasn't
 *   a consumer       no          handoffs                  the item stays there: the next worker goes on with it
 *   a consumer       no          nowhere                   between (a) and (b): the item waits
 * An end counts only when it is of this life of the item: a requeued item is created anew. A sender that is a consumer
 * too has a copy of its own in its archive, which isn't finished and counts as no end.
 *
 * When a consumer's worker dies, its folders may say less than is true: the end of the item may stand in its journal,
 * durable, and not yet in the work tree (common/journal.h); the next worker redoes the record before it is READY. So no
 * item is taken back while the journal has a record that isn't done: the item stays in doubt until READY, and then stays
 * with the next worker, if it has not ended. Without such a record the folders are the truth, and since the call comes
 * before the next worker is asked for, nobody can take the copy up while it is taken back. The same holds at the start,
 * where a worker of the supervisor before may be a moment from its end: no item is taken then from an agent that is
 * going to run. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/shared/work_queue_part.h"
#include "supervisor/store/mailbox.h"

enum { GIVEN_AT_ONCE = 64 };

/* --- giving --- */

/* The item's file can't be used as it is. */
void item_lose(struct item *item, enum item_found found, const struct fault *fault)
{
    if (found == ITEM_UNREADABLE) {
        item_set_aside(item, fault->text);
    } else if (found == ITEM_MISSING && !item->missing) {
        struct fault why;
        fault_set(&why, "its file isn't there");
        item->missing = true; /* an editor may be saving it */
        item_later(item, "can't be given out", &why);
    } else if (found == ITEM_MISSING) {
        item_was_taken_out(item);
    } else {
        item_later(item, "can't be given out", fault);
    }
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

static void give(struct item *item, const char *consumer)
{
    struct work_queue *queue = item->queue;
    struct queues *queues = queue->queues;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    if (queue_is_away(queue, consumer)) {
        memory_set(&item->envelope.consumer, consumer);
        item_offer(item, false);
        return;
    }
    enum item_found found = queue_read(queue, item->envelope.id, &envelope, &fault);
    if (found != ITEM_READ) {
        item_lose(item, found, &fault);
        return;
    }
    item->missing = false;
    memory_set(&envelope.status, "delivered");
    memory_set(&envelope.consumer, consumer);
    memory_set(&envelope.reason, NULL);
    envelope.delivered = clock_now();
    queue_ids_add(queue, envelope.id);
    bool written = queue_clear_taken(queue, envelope.id, &fault) && queue_rewrite(queue, &envelope, &fault);
    if (written)
        item_set_envelope(item, &envelope);
    if (!written) {
        item_later(item, "can't be given out", &fault);
    } else if (queues->operations->put(queues->context, consumer, &envelope, &fault)) {
        item_set_state(item, ITEM_OUT);
    } else { /* the copy may lie there all the same: the item is looked for before it is given to anybody else */
        item_set_state(item, ITEM_DOUBT);
        item_later(item, "can't be delivered", &fault);
    }
}

/* Gives out a slice of the waiting items; the timer brings the next one. */
void queue_give_out(struct work_queue *queue, int64_t until_ms)
{
    const struct queues *queues = queue->queues;
    int64_t now = clock_now();
    if (!queue->states[ITEM_WAITS])
        return;
    queue_rooms_ask(queue);
    for (int given = 0; given < GIVEN_AT_ONCE; given++) {
        size_t place;
        struct item *item = queue_next(queue);
        if (!item && !queue->rooms.unasked)
            return;
        if (!item || (given && clock_monotonic_ms() >= until_ms))
            break;
        const char *consumer = item_is_over(item, now) ? NULL : queue_choose(queue, item, &place);
        if (consumer) {
            queue->next = place + 1;
            item_leave(item);
            give(item, consumer);
            queue_rooms_tell(queue, consumer);
        } else if (item_is_over(item, now)) {
            item_set_state(item, ITEM_EXPIRED);
        }
    }
    queues->operations->timer(queues->context, 0);
}

/* --- taking back --- */

/* The agent whose dead-letter/ gets the item: the last consumer, else the first consumer that lives here, else the
 * sender. */
static const char *grave_of(const struct item *item)
{
    const struct work_queue *queue = item->queue;
    const struct text_list *consumers = &queue->definition->consumers;
    const char *named = item->envelope.consumer, *sender = item->envelope.from;
    if (named && !queue_is_away(queue, named))
        return named;
    for (size_t i = 0; i < consumers->count; i++)
        if (!queue_is_away(queue, consumers->items[i]))
            return consumers->items[i];
    return queue_is_away(queue, sender) ? NULL : sender;
}

static bool bury(struct item *item, struct envelope *envelope, const char *status, const char *reason)
{
    struct work_queue *queue = item->queue;
    struct queues *queues = queue->queues;
    struct fault fault;
    const char *agent = grave_of(item);
    if (!agent) { /* all consumers live elsewhere: one of them gets the dead letter */
        if (!item->envelope.consumer)
            memory_set(&item->envelope.consumer, queue->definition->consumers.items[0]);
        item_offer(item, true);
        return false;
    }
    memory_set(&envelope->status, status);
    memory_set(&envelope->reason, reason);
    envelope->finished = clock_now();
    queue_ids_add(queue, envelope->id);
    if (!queues->operations->bury(queues->context, agent, envelope, &fault)) {
        item_later(item, "can't be put into the dead letters", &fault);
        return false;
    }
    item_end(item, reason);
    return true;
}

/* (d): the copy was taken out of its consumer's tree; attempts: the copy's number. */
void item_come_back(struct item *item, int64_t attempts, const char *reason)
{
    struct work_queue *queue = item->queue;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    OWNED char *consumer = memory_text(item->envelope.consumer);
    enum item_found found = queue_read(queue, item->envelope.id, &envelope, &fault);
    if (found != ITEM_READ) {
        queue_clear_taken(queue, item->envelope.id, NULL);
        item_lose(item, found, &fault);
        return;
    }
    if (attempts > envelope.attempts)
        envelope.attempts = attempts;
    int64_t most = queue->definition ? queue->definition->max_attempts : INT64_MAX;
    if (envelope.attempts >= most) {
        if (bury(item, &envelope, "failed", "max_attempts")) /* which frees the item */
            queue_clear_taken(queue, envelope.id, NULL);
        return;
    }
    memory_set(&envelope.status, "pending");
    memory_set(&envelope.reason, reason);
    memory_set(&envelope.consumer, NULL);
    envelope.delivered = envelope.read = 0;
    if (queue_write(queue, &envelope, &fault)) {
        queue_clear_taken(queue, item->envelope.id, NULL); /* or when the item is given out again */
        item_set_envelope(item, &envelope);
        memory_set(&item->envelope.consumer, consumer); /* the former one: others come first */
        item_set_state(item, ITEM_WAITS);
        queue->queues->operations->tell(queue->queues->context, consumer, "envelope_given_back", &envelope,
                                        reason);
    } else {
        item_later(item, "can't be given back", &fault);
    }
}

void item_find_out(struct item *item)
{
    struct fault fault;
    int64_t attempts;
    const char *end, *consumer = item->envelope.consumer;
    if (queue_is_away(item->queue, consumer)) {
        item_offer(item, true); /* the consumer's node knows */
        return;
    }
    OWNED char *reason = NULL;
    switch (item_find(item->queue, &item->envelope, true, &attempts, &end, &fault)) {
    case PLACE_UNSURE:
        item_later(item, "can't be accounted for", &fault);
        break;
    case PLACE_COMES:
        break;
    case PLACE_CHANGES:
        item_due(item); /* the item went during the look */
        break;
    case PLACE_ENDED:
        item_end(item, strcmp(end, "failed") == 0 ? "failed" : NULL);
        break;
    case PLACE_CONSUMER:
        item_set_state(item, ITEM_OUT);
        break;
    case PLACE_TAKEN_BACK:
    case PLACE_NOWHERE:
        reason = memory_print(ITEM_WORKER_ENDED, consumer);
        item_come_back(item, attempts, reason);
        break;
    }
}

void item_recover(struct item *item)
{
    struct queues *queues = item->queue->queues;
    const struct queues_operations *operations = queues->operations;
    bool will_run = operations->worker(queues->context, item->envelope.consumer) != QUEUE_WORKER_NONE &&
                    !queue_is_away(item->queue, item->envelope.consumer);
    unsigned lies = operations->lies(queues->context, item->envelope.consumer, item->envelope.id);
    item_set_state(item, ITEM_DOUBT);
    if (will_run && lies & POST_HANDOFFS)
        item_set_state(item, ITEM_OUT);
    else
        item_find_out(item);
}

/* --- an item's time is over --- */

/* An item that expires in the queue was received by nobody: its dead letter lies with the consumer that had it last,
 * or would have been the first. After a crash behind any of the steps, the start finds the dead letter there, and the
 * item's file in the queue still. */
void item_expire(struct item *item)
{
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    enum item_found found = queue_read(item->queue, item->envelope.id, &envelope, &fault);
    if (!item->queue->definition)
        return; /* nobody to tell: expires when the queue is back in agents.yaml */
    if (found != ITEM_READ) {
        item_lose(item, found, &fault);
        return;
    }
    bury(item, &envelope, "expired", "expired");
}
