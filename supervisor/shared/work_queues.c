#include "supervisor/shared/work_queue_part.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "supervisor/store/mailbox.h"
#include "supervisor/store/shared_files.h"

#define PREFIX "queue:"

enum { RETRY_MS = 1000, HEAD_GROWS = 512, TURN_MS = 20 };

/* --- queues and items --- */

struct queues *queues_open(int data, struct expiry *expiry, const struct queues_operations *operations,
                           void *context)
{
    struct queues *queues = memory_new(1, sizeof *queues);
    *queues = (struct queues){.data = data, .expiry = expiry, .operations = operations, .context = context};
    TAILQ_INIT(&queues->due);
    TAILQ_INIT(&queues->later);
    return queues;
}

static void free_item(struct item *item)
{
    expiry_clear(item->queue->queues->expiry, &item->expiry);
    item_leave(item);
    item_held_by(item, NULL);
    item_set_sender(item, NULL);
    item->queue->states[item->state]--;
    envelope_free(&item->envelope);
    free(item);
}

void queues_close(struct queues *queues)
{
    if (!queues)
        return;
    for (size_t i = 0; i < queues->count; i++) {
        struct work_queue *queue = queues->all[i];
        for (size_t j = 0; j < queue->count; j++)
            free_item(queue->items[j]);
        queue_senders_free(queue);
        queue_rooms_free(queue);
        free(queue->ids.marks);
        free(queue->items);
        free(queue->name);
        free(queue->folder);
        free(queue);
    }
    guests_free(queues);
    free(queues->all);
    free(queues);
}

struct work_queue *queues_find(const struct queues *queues, const char *name)
{
    for (size_t i = 0; i < queues->count; i++)
        if (strcmp(queues->all[i]->name, name) == 0)
            return queues->all[i];
    return NULL;
}

/* The item's place among the items, which are in the order of their ids, or the place for it. */
static size_t place_of(const struct work_queue *queue, const char *id)
{
    size_t from = 0, to = queue->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(queue->items[middle]->envelope.id, id) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

struct item *queue_find(const struct work_queue *queue, const char *id)
{
    size_t place = place_of(queue, id);
    bool found = place < queue->count && strcmp(queue->items[place]->envelope.id, id) == 0;
    return found ? queue->items[place] : NULL;
}

void item_set_envelope(struct item *item, const struct envelope *envelope)
{
    struct envelope *ours = &item->envelope;
    item_leave(item);
    if (!item->sender || strcmp(ours->from, envelope->from) != 0)
        item_set_sender(item, envelope->from);
    memory_set(&ours->id, envelope->id);
    memory_set(&ours->from, envelope->from);
    memory_set(&ours->to, envelope->to);
    memory_set(&ours->status, envelope->status);
    memory_set(&ours->trace, envelope->trace);
    memory_set(&ours->consumer, envelope->consumer);
    ours->kind = KIND_ITEM;
    ours->created = envelope->created;
    ours->ttl_seconds = envelope->ttl_seconds;
    ours->priority = envelope->priority;
    ours->attempts = envelope->attempts;
    ours->hops = envelope->hops;
}

static void due(void *context)
{
    struct item *item = context;
    struct queues *queues = item->queue->queues;
    if (item->state == ITEM_WAITS || item->state == ITEM_OUT)
        item_set_state(item, ITEM_EXPIRED);
    queues->operations->timer(queues->context, 0);
}

void item_due(struct item *item)
{
    struct queues *queues = item->queue->queues;
    item_stand_in(item, &queues->due);
    queues->operations->timer(queues->context, 0);
}

/* The post office minds the time of items with a consumer, also on another node. */
void item_set_state(struct item *item, enum item_state state)
{
    struct expiry *expiry = item->queue->queues->expiry;
    int64_t at = expiry_of(item->envelope.created, item->envelope.ttl_seconds);
    item->queue->states[item->state] -= item->counted;
    item->queue->states[state]++;
    item->counted = true;
    item->state = state;
    item->again_ms = 0;
    if (state != ITEM_OUT)
        item->turn = item->given = 0;
    item_leave(item);
    if (state == ITEM_WAITS)
        item_waits(item);
    else if (state == ITEM_EXPIRED)
        item_due(item);
    item_held_by(item, state == ITEM_OUT || state == ITEM_DOUBT ? item->envelope.consumer : NULL);
    if ((state == ITEM_WAITS || (item->turn && !item->given)) && at >= 0)
        expiry_set(expiry, &item->expiry, at);
    else
        expiry_clear(expiry, &item->expiry);
}

struct item *queue_insert(struct work_queue *queue, const struct envelope *envelope)
{
    struct item *item = memory_new(1, sizeof *item);
    item->queue = queue;
    item->seen = true;
    item->expiry = (struct timer){.ring = due, .context = item};
    item_set_envelope(item, envelope);
    item_set_state(item, ITEM_WAITS);
    queue->items = memory_grow(queue->items, queue->count + 1, sizeof *queue->items);
    size_t place = place_of(queue, envelope->id);
    memmove(&queue->items[place + 1], &queue->items[place], (queue->count - place) * sizeof *queue->items);
    queue->items[place] = item;
    queue->count++;
    queue->queues->operations->timer(queue->queues->context, 0);
    return item;
}

static void forget(struct item *item)
{
    struct work_queue *queue = item->queue;
    size_t place = place_of(queue, item->envelope.id);
    queue->count--;
    memmove(&queue->items[place], &queue->items[place + 1], (queue->count - place) * sizeof *queue->items);
    free_item(item);
}

void item_later(struct item *item, const char *what, const struct fault *fault)
{
    struct queues *queues = item->queue->queues;
    if (!item->again_ms)
        log_warn("post", NULL, "Item %s of the queue %s %s; it is tried again: %s", item->envelope.id,
                 item->queue->name, what, fault->text);
    item->again_ms = clock_monotonic_ms() + RETRY_MS;
    item_stand_in(item, &queues->later);
    queues->operations->timer(queues->context, RETRY_MS);
}

bool item_is_over(const struct item *item, int64_t now)
{
    int64_t at = expiry_of(item->envelope.created, item->envelope.ttl_seconds);
    return at >= 0 && at <= now;
}

/* First the sender is told, then the file goes: after a crash between, the next start finds the item with its end
 * (item_recover), and the bounce, which has an id of its own, isn't made twice. The removal needs no flush for the
 * same reason. */
void item_end(struct item *item, const char *owed)
{
    struct queues *queues = item->queue->queues;
    struct fault fault;
    if (item->state != ITEM_GONE)
        item_set_state(item, ITEM_GONE);
    item->owed = owed;
    OWNED char *from = memory_print(PREFIX "%s", item->queue->name);
    if (owed && !queues->operations->bounce(queues->context, &item->envelope, from, owed, &fault)) {
        item_later(item, "has ended, and its sender can't be told", &fault);
        return;
    }
    item->owed = NULL;
    if (shared_remove(queues->data, item->queue->folder, item->envelope.id, &fault))
        forget(item);
    else
        item_later(item, "has ended, and its file can't be removed", &fault);
}

static void add_queue(struct queues *queues, const struct roster_queue *definition)
{
    struct work_queue *queue = memory_new(1, sizeof *queue);
    queue->queues = queues;
    queue->name = memory_text(definition->name);
    queue->folder = memory_print(SHARED_QUEUES "/%s", definition->name);
    queue->definition = definition;
    queue_rooms_define(queue);
    *MEMORY_ADD(queues->all, queues->count) = queue;
    if (queues->started)
        queue_look(queue);
}

/* Items wait for an event that nobody tells of. */
static void try_again(struct queues *queues)
{
    for (size_t i = 0; i < queues->count; i++) {
        struct work_queue *queue = queues->all[i];
        queue_rooms_doubt(queue);
        if (queue->ids.failed)
            queue_ids_begin(queue);
        for (size_t j = 0; j < queue->count; j++) {
            struct item *item = queue->items[j];
            if ((item->state == ITEM_DOUBT || item->state == ITEM_EXPIRED) && !item->list)
                item_due(item);
        }
    }
    queues->operations->timer(queues->context, 0);
}

void queues_roster(struct queues *queues, const struct roster *roster)
{
    queues->roster = roster;
    for (size_t i = 0; i < queues->count; i++)
        queues->all[i]->definition = NULL;
    for (size_t i = 0; i < roster->queue_count; i++) {
        struct work_queue *queue = queues_find(queues, roster->queues[i].name);
        if (queue)
            queue->definition = &roster->queues[i];
        else
            add_queue(queues, &roster->queues[i]);
    }
    for (size_t i = 0; i < queues->count; i++) {
        queue_rooms_define(queues->all[i]);
        queue_senders_define(queues->all[i]);
        queue_ids_begin(queues->all[i]);
    }
    try_again(queues);
}

void queues_start(struct queues *queues)
{
    queues->started = true;
    for (size_t i = 0; i < queues->count; i++) {
        shared_tidy(queues->data, queues->all[i]->folder);
        queue_look(queues->all[i]);
    }
    queues->operations->timer(queues->context, 0);
}

/* --- new items --- */

static struct work_queue *queue_of(const struct queues *queues, const char *to, struct fault *why)
{
    size_t skipped = strncmp(to, PREFIX, strlen(PREFIX)) == 0 ? strlen(PREFIX) : 0;
    struct work_queue *queue = queues_find(queues, to + skipped);
    if (queue && queue->definition)
        return queue;
    roster_no_queue(queues->roster, to + skipped, why);
    return NULL;
}

static bool has_room(struct work_queue *queue, const char *sender, struct fault *why)
{
    size_t count = queue->count + queue->arriving;
    if (count >= QUEUE_ITEMS_MAX)
        return fault_set(why, "backpressure: the queue %s has %zu items already", queue->name, count);
    return count < QUEUE_ITEMS_OF_ONE_MAX || strcmp(sender, POST_OPERATOR) == 0 ||
           queue_items_of(queue, sender) < QUEUE_ITEMS_OF_ONE_MAX ||
           fault_set(why, "backpressure: the queue %s has %d items of %s already", queue->name,
                     QUEUE_ITEMS_OF_ONE_MAX, sender);
}

/* The envelope as the item's file begins. Borrows. */
static struct envelope as_new(const struct envelope *item)
{
    static char pending[] = "pending";
    struct envelope fresh = *item;
    fresh.kind = KIND_ITEM;
    fresh.status = pending;
    fresh.consumer = fresh.reason = NULL;
    fresh.delivered = fresh.read = fresh.finished = 0;
    return fresh;
}

/* The envelope's new state is written into its head. */
static bool print_new(const struct envelope *fresh, struct buffer *text, struct fault *why)
{
    envelope_print(fresh, text);
    return text->length + HEAD_GROWS <= ENVELOPE_FILE_MAX ||
           fault_set(why, "it has %zu bytes; an item has at most %d", text->length, ENVELOPE_MAX);
}

/* The item's file is on disk before the item counts; then only the answer that it was taken is left. */
static enum queue_verdict put_in(struct work_queue *queue, const struct envelope *item, struct fault *why)
{
    struct envelope fresh = as_new(item);
    OWNED_BUFFER struct buffer text = {0};
    if (!has_room(queue, item->from, why) || !print_new(&fresh, &text, why))
        return QUEUE_REFUSED;
    if (!queue_write(queue, &fresh, why))
        return QUEUE_LATER;
    queue_insert(queue, &fresh);
    return QUEUE_TAKEN;
}

/* An item in the queue may have come there by a write whose flush failed, or was cut by a kill. */
static enum queue_verdict look_up(struct work_queue *queue, const struct envelope *item, bool again,
                                  struct fault *why)
{
    bool may_be = false;
    if (queue_find(queue, item->id))
        return shared_sync(queue->queues->data, queue->folder, item->id, why) ? QUEUE_TAKEN : QUEUE_LATER;
    if (!again && queue_ids_may_have(queue, item->id) && item_whose(queue, item, &may_be) && !may_be)
        return QUEUE_TAKEN;
    if (!may_be)
        return QUEUE_GOES;
    fault_set(why, "the consumers' folders can't be read now");
    return QUEUE_LATER;
}

enum queue_verdict queues_add(struct queues *queues, const struct envelope *item, bool again,
                              struct fault *why)
{
    struct work_queue *queue = queue_of(queues, item->to, why);
    enum queue_verdict verdict = queue ? look_up(queue, item, again, why) : QUEUE_REFUSED;
    return verdict == QUEUE_GOES ? put_in(queue, item, why) : verdict;
}

enum queue_verdict queues_offer(struct queues *queues, const struct envelope *item, bool is_new,
                                struct buffer *text, const char **folder, struct fault *why)
{
    struct work_queue *queue = queue_of(queues, item->to, why);
    enum queue_verdict verdict = !queue   ? QUEUE_REFUSED
                                 : is_new ? QUEUE_GOES
                                          : look_up(queue, item, false, why);
    if (verdict != QUEUE_GOES)
        return verdict;
    struct envelope fresh = as_new(item);
    if (!has_room(queue, item->from, why) || !print_new(&fresh, text, why))
        return QUEUE_REFUSED;
    *folder = queue->folder;
    queue->arriving++;
    return QUEUE_GOES;
}

enum queue_verdict queues_offered(struct queues *queues, const struct envelope *item,
                                  enum write_result result, struct fault *why)
{
    struct work_queue *queue = queues_find(queues, item->to + strlen(PREFIX));
    struct envelope fresh = as_new(item);
    queue->arriving--;
    if (result == WRITE_FAILED)
        return QUEUE_LATER;
    if (result == WRITE_DONE)
        queue_insert(queue, &fresh);
    else if (!queue_find(queue,
                         item->id)) /* of an earlier write, or nobody's: it goes as a single item does */
        return put_in(queue, item, why);
    return QUEUE_TAKEN;
}

static int check_text(const char *text, int64_t ttl_seconds, struct fault *fault)
{
    if (!utf8_valid(text, strlen(text)) || text[strspn(text, " \t\r\n")] == '\0')
        fault_set(fault, "an item's text is UTF-8, and more than blanks; nothing was added");
    else if (strlen(text) > ENVELOPE_MAX - 4096)
        fault_set(fault, "an item's text has at most %d bytes, this one has %zu; nothing was added",
                  ENVELOPE_MAX - 4096, strlen(text));
    else if (ttl_seconds < 0)
        fault_set(fault, "ttl_seconds can't be below 0; nothing was added");
    else
        return EX_OK;
    return EX_DATAERR;
}

int queues_check(const struct queues *queues, const char *queue, const char *text, int64_t ttl_seconds,
                 struct fault *fault)
{
    return queue_of(queues, queue, fault) ? check_text(text, ttl_seconds, fault) : EX_NOINPUT;
}

void queues_count(const struct queues *queues, const char *name, size_t *waiting, size_t *under_way)
{
    const struct work_queue *queue = queues_find(queues, name);
    *waiting = queue ? queue->states[ITEM_WAITS] : 0;
    *under_way = queue ? queue->states[ITEM_OUT] + queue->states[ITEM_DOUBT] : 0;
}

/* --- events --- */

/* Visits may end the item. */
static void each_of(struct queues *queues, const char *agent, void (*visit)(struct item *item))
{
    struct item *next, *item = LIST_FIRST(&queues->held[names_hash(agent, strlen(agent)) % QUEUE_CHAINS]);
    for (; item; item = next) {
        next = LIST_NEXT(item, held_link);
        if (strcmp(item->envelope.consumer, agent) == 0)
            visit(item);
    }
}

static void doubt(struct item *item)
{
    item_set_state(item, ITEM_DOUBT);
    item_find_out(item);
}

void queues_item_ended(struct queues *queues, const char *agent, const char *id, const char *status)
{
    guests_ended(queues, agent, id, status);
    for (size_t i = 0; i < queues->count; i++) {
        struct item *item = queue_find(queues->all[i], id);
        if (!item || item->state == ITEM_WAITS || item->state == ITEM_GONE || !item->envelope.consumer ||
            strcmp(item->envelope.consumer, agent) != 0)
            continue;
        /* The consumer's folders say how the item has ended, or who has it now; the agent that tells may have been
         * overtaken. */
        bool may_be, removed = strcmp(status, "removed") == 0;
        const char *other =
            removed && item->queue->definition ? item_whose(item->queue, &item->envelope, &may_be) : NULL;
        if (other) {
            memory_set(&item->envelope.consumer, other);
            doubt(item);
        } else {
            item_end(item, removed ? "removed by hand" : strcmp(status, "failed") == 0 ? "failed" : NULL);
        }
        return;
    }
}

void queues_worker_ready(struct queues *queues, const char *agent)
{
    each_of(queues, agent, doubt);
    guests_worker(queues, agent, false);
    queues->operations->timer(queues->context, 0);
}

void queues_worker_down(struct queues *queues, const char *agent)
{
    each_of(queues, agent, doubt);
    guests_worker(queues, agent, true);
    queues->operations->timer(queues->context, 0);
}

void queues_room(struct queues *queues, const char *agent)
{
    for (size_t i = 0; i < queues->count; i++)
        queue_rooms_tell(queues->all[i], agent);
    queues->operations->timer(queues->context, 0);
}

static void go_on(struct item *item)
{
    item_leave(item);
    if (item->state == ITEM_OUT)
        return;
    if (item->state == ITEM_DOUBT)
        item_find_out(item);
    else if (item->state == ITEM_EXPIRED)
        item_expire(item);
    else if (item->state == ITEM_GONE)
        item_end(item, item->owed);
    else
        item_waits(item);
}

static void go_on_with_all(struct queues *queues, int64_t now_ms)
{
    struct item *item;
    while ((item = TAILQ_FIRST(&queues->later)) && item->again_ms <= now_ms)
        item_due(item);
    for (size_t done = 0; (item = TAILQ_FIRST(&queues->due)); done++) {
        if (done && clock_monotonic_ms() >= now_ms + TURN_MS) {
            queues->operations->timer(queues->context, 0);
            return;
        }
        go_on(item);
    }
    if ((item = TAILQ_FIRST(&queues->later)))
        queues->operations->timer(queues->context, item->again_ms - now_ms);
}

/* Gathers ids, and the rest of a partial look. */
static void gather_ids(struct queues *queues, int64_t until_ms)
{
    for (size_t i = 0; i < queues->count; i++) {
        struct work_queue *queue = queues->all[i];
        if (queue->look_again)
            queue_look(queue);
        if (!queue->definition || queue_ids_whole(queue))
            continue;
        queue_ids_gather(queue, until_ms);
        queues->operations->timer(queues->context, 0);
        return;
    }
}

void queues_turn(struct queues *queues)
{
    int64_t now_ms = clock_monotonic_ms();
    go_on_with_all(queues, now_ms);
    gather_ids(queues, now_ms + TURN_MS);
    size_t first = queues->first++;
    for (size_t i = 0; i < queues->count; i++) {
        struct work_queue *queue = queues->all[(first + i) % queues->count];
        if (queue->definition)
            queue_give_out(queue, now_ms + TURN_MS);
    }
}

void queues_scan(struct queues *queues)
{
    for (size_t i = 0; i < queues->count; i++)
        queue_look(queues->all[i]);
    try_again(queues);
}
