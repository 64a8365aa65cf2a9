/* Items whose consumer lives on another node, on the node that accepted the items.
 *
 * An item's home is the node that accepted it: the item's file lies there in the queue's folder until the item has
 * ended, and the home alone gives the item out, to consumers on any node, each with its room. The nodes share nothing of
 * a queue but words over the bus (H the home, B the consumer's node), each of which may be lost, come twice, or late:
 *
 *   H → B  offer   "where is the item with you?" changes nothing. Each word of H has a new number, its turn, which the
 *                  answer names
 *   B → H  may     the item lies nowhere here, and there is room. key: a number that B remembers in memory only
 *   H → B  give    first H's file names the consumer, durable; then the whole item, with the key, goes out
 *   B → H  has     the item is durable in the consumer's handoffs/: as any item there from then on
 *   B → H  full    no room here; B forgets the key before it says so
 *   B → H  back    the worker has ended: the copy lies in B's queue folder as .ID.taken, durable, with its attempts
 *   H → B  over    the file at H says pending again, or is gone: .ID.taken may go
 *   B → H  ended   finished, failed, expired (B's dead letter tells the sender), removed by hand
 *   H → B  bury    max_attempts, or over with no other consumer: the dead letter, for the consumer's tree
 *
 * The files of both nodes after any crash, and what follows:
 *   H's file       at B            then
 *   pending        nowhere         the item waits, or was offered: H forgets an offer without an answer, for without the
 *                                  key of a give B takes nothing
 *   the consumer   nowhere         the give was lost, or its answer: H asks until B says. B may take the item by a new
 *                                  key
 *   the consumer   handoffs        B says has. H asks every few seconds, so a lost word is said again
 *   the consumer   .ID.taken       B says back, H writes pending, B's file goes by over; after a crash between, H says
 *                                  over again
 *   pending        .ID.taken       at the next offer B says back, and H's over follows
 *   the consumer   archive, dead   B says ended, H's file goes: as long as the sender's outbox has the id, H keeps the
 *                                  file, which shows that the item was taken
 *   gone           archive, dead   the item has ended
 *
 * Why an item is done once: only H's give lets B take it, and only with the key of B's present memory, which the give
 * uses up. So a word that the bus brings again has no effect: an earlier give finds no key, and a may, full or back that
 * answers anything but H's last word is passed over, also after a restart of H. Once a give was sent H waits for B's
 * word, however long B is away: a node that died with items in hand has ended them or not, and no other node can tell.
 * The items are done when B is back, or when the consumer was moved to another node, which answers for it from then on.
 * All other items go to the other consumers.
 *
 * B takes an item back only from a worker whose end it has seen: after a restart of B an earlier worker may be a moment
 * from its end. So an item stays with a consumer that was stopped before its node was restarted, until the consumer is
 * started.
 *
 * A removal by hand whose word is lost leaves the state of a lost give: the item is given again. */
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/work_queue_part.h"
#include "supervisor/store/mailbox.h"

enum {
    UNANSWERED_MS = 5 * 1000, /* of an offer; its item goes to others then, */
    LEFT_ALONE_MS = 2 * 1000, /* and its consumer gets none for this time */
    ASK_AGAIN_MS = 10 * 1000, /* about given items */
};

static void give_up_offer(struct item *item)
{
    queue_rooms_full(item->queue, item->envelope.consumer, LEFT_ALONE_MS);
    item_set_state(item, ITEM_WAITS);
    item->queue->queues->operations->timer(item->queue->queues->context, 0);
}

/* The item failed, or nobody had it in time and no other consumer is to have it. */
static void say_bury(struct item *item, struct envelope *envelope, const char *status, const char *reason)
{
    memory_set(&envelope->status, status);
    memory_set(&envelope->reason, reason);
    envelope->finished = clock_now();
    item_say(item, "bury", envelope, 0);
}

static void may(struct item *item, uint64_t key)
{
    struct work_queue *queue = item->queue;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    enum item_found found = queue_read(queue, item->envelope.id, &envelope, &fault);
    if (found != ITEM_READ) {
        item_set_state(item, ITEM_WAITS);
        item_lose(item, found, &fault);
        return;
    }
    item->missing = false;
    if (item_is_over(item, clock_now())) {
        if (item->given)
            say_bury(item, &envelope, "expired", "expired");
        else
            item_set_state(item, ITEM_EXPIRED);
        return;
    }
    memory_set(&envelope.status, "delivered");
    memory_set(&envelope.consumer, item->envelope.consumer);
    memory_set(&envelope.reason, NULL);
    envelope.delivered = clock_now();
    if (item->given || queue_write(queue, &envelope, &fault)) {
        item->given = true;
        expiry_clear(queue->queues->expiry, &item->expiry);
        item_say(item, "give", &envelope, key);
    } else { /* the file may be on disk all the same: nothing was given */
        item_set_state(item, ITEM_WAITS);
        item_later(item, "can't be given out", &fault);
    }
}

static void full(struct item *item)
{
    OWNED char *reason = memory_print("given back: %s has no room", item->envelope.consumer);
    if (!item->given) {
        give_up_offer(item);
        return;
    }
    queue_rooms_full(item->queue, item->envelope.consumer, LEFT_ALONE_MS);
    item_set_state(item, ITEM_DOUBT);
    item_come_back(item, item->envelope.attempts, reason);
}

static void say_over(struct queues *queues, const char *node, const struct queue_word *about)
{
    struct queue_word word = *about;
    word.what = "over";
    word.item.body = NULL;
    (void)queues->operations->say(queues->context, node, &word);
}

static void back(struct item *item, const char *node, const struct queue_word *word)
{
    struct work_queue *queue = item->queue;
    OWNED char *reason = memory_print(ITEM_WORKER_ENDED, item->envelope.consumer);
    int64_t most = queue->definition ? queue->definition->max_attempts : INT64_MAX;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    if (!item->given) { /* the node told of that before, and H's word to forget it was lost */
        say_over(queue->queues, node, word);
        give_up_offer(item);
        return;
    }
    if (word->item.attempts >= most && queue_read(queue, item->envelope.id, &envelope, &fault) == ITEM_READ) {
        envelope.attempts = word->item.attempts;
        say_bury(item, &envelope, "failed", "max_attempts");
        return;
    }
    item_set_state(item, ITEM_DOUBT);
    item_come_back(item, word->item.attempts, reason);
    const struct item *waits = queue_find(queue, word->item.id);
    if (!waits || waits->state == ITEM_WAITS)
        say_over(queue->queues, node, word);
}

/* The item's file answers a sender that repeats itself, after a crash of its worker. */
static void ended(struct item *item, const char *status)
{
    const struct queues *queues = item->queue->queues;
    if (queues->operations->lies(queues->context, item->envelope.from, item->envelope.id) & POST_OUTBOX)
        item->asked_ms = clock_monotonic_ms() - ASK_AGAIN_MS;
    else
        item_end(item, strcmp(status, "removed") == 0 ? "removed by hand" : NULL);
}

static bool is_of(const struct item *item, const struct queue_word *word)
{
    return item && item->state == ITEM_OUT && item->turn &&
           strcmp(item->envelope.consumer, word->agent) == 0 && item->envelope.created == word->item.created;
}

static void hear_answer(struct work_queue *queue, const char *node, const struct queue_word *word)
{
    struct item *item = queue_find(queue, word->item.id);
    bool is_ours = is_of(item, word), present = is_ours && item->turn == word->turn;
    bool is_needless = !item || item->state == ITEM_WAITS || !item->envelope.consumer ||
                       strcmp(item->envelope.consumer, word->agent) != 0;
    if (strcmp(word->what, "back") == 0 && is_needless && queue->met)
        say_over(queue->queues, node, word);
    else if (is_ours && strcmp(word->what, "ended") == 0)
        ended(item, word->status);
    else if (present && strcmp(word->what, "may") == 0)
        may(item, word->key);
    else if (present && strcmp(word->what, "has") == 0)
        item->asked_ms = clock_monotonic_ms();
    else if (present && strcmp(word->what, "full") == 0)
        full(item);
    else if (present && strcmp(word->what, "back") == 0)
        back(item, node, word);
}

static void ask(struct item *item, bool again)
{
    int64_t since_ms = clock_monotonic_ms() - item->asked_ms;
    if (!item->given && (again || since_ms >= UNANSWERED_MS))
        give_up_offer(item);
    else if (item->given && (again || since_ms >= ASK_AGAIN_MS))
        item_say(item, "offer", NULL, 0);
}

void queues_far_turn(struct queues *queues, bool again)
{
    for (size_t i = 0; i < QUEUE_CHAINS; i++)
        for (struct item *item = LIST_FIRST(&queues->held[i]), *next; item; item = next) {
            next = LIST_NEXT(item, held_link);
            if (item->state == ITEM_OUT && item->turn)
                ask(item, again);
        }
    for (size_t i = 0; i < queues->count; i++)
        if (queues->all[i]->states[ITEM_WAITS])
            queue_rooms_doubt(queues->all[i]);
    guests_tidy(queues);
    queues->operations->timer(queues->context, 0);
}

void queues_agent_moved(struct queues *queues, const char *agent)
{
    guests_of_none(queues, agent);
    for (size_t i = 0; i < queues->count; i++)
        if (queue_consumer(queues->all[i], agent))
            queue_ids_begin(queues->all[i]);
    for (struct item *item = LIST_FIRST(&queues->held[names_hash(agent, strlen(agent)) % QUEUE_CHAINS]),
                     *next;
         item; item = next) {
        next = LIST_NEXT(item, held_link);
        if (strcmp(item->envelope.consumer, agent) != 0)
            continue;
        bool offered = item->state == ITEM_OUT && item->turn && !item->given;
        bool here = queues->operations->lies(queues->context, agent, item->envelope.id) & POST_HANDOFFS;
        item_set_state(item, offered ? ITEM_WAITS : ITEM_DOUBT);
        if (here && !queue_is_away(item->queue,
                                   agent)) /* an earlier worker may be a moment from its end: READY tells */
            item_set_state(item, ITEM_OUT);
        else if (!offered)
            item_due(item);
    }
    queues->operations->timer(queues->context, 0);
}

void queues_hear(struct queues *queues, const char *node, const struct queue_word *word)
{
    static const char *const questions[] = {"offer", "give", "over", "bury"};
    struct work_queue *queue = queues_find(queues, word->queue);
    bool asks = false;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
        asks = asks || strcmp(word->what, questions[i]) == 0;
    if (!queue || !queues->started)
        return;
    if (!asks)
        hear_answer(queue, node, word);
    else if (queue_consumer(queue, word->agent) && !queue_is_away(queue, word->agent))
        queue_hear_question(queue, node, word);
}
