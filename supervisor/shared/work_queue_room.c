/* The consumer with the most room: each consumer's room is known, kept in a tree of the largest, and asked for again
 * when there is news.
 *
 * The known room may be out of date. Too much room is noticed when the consumer is chosen, for then it is asked; too
 * little when somebody tells of it (queues_room), and at the latest after the next scan, when all consumers are asked
 * in turn. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/shared/work_queue_part.h"

enum { ASKED_AT_ONCE = 64 };

#define NONE SIZE_MAX

static const char *consumer_at(const struct work_queue *queue, size_t place)
{
    return queue->definition->consumers.items[place];
}

struct named_place {
    const char *name; /* first: places are found by it */
    size_t place;
};

static size_t place_of(const struct work_queue *queue, const char *consumer)
{
    const struct named_place key = {.name = consumer};
    const struct named_place *found = NULL;
    if (consumer && queue->rooms.count)
        found = bsearch(&key, queue->rooms.by_name, queue->rooms.count, sizeof key, names_order);
    return found ? found->place : NONE;
}

const char *queue_consumer(const struct work_queue *queue, const char *name)
{
    size_t place = place_of(queue, name);
    return place == NONE ? NULL : consumer_at(queue, place);
}

bool queue_is_away(const struct work_queue *queue, const char *agent)
{
    const struct queues *queues = queue->queues;
    return queues->operations->worker(queues->context, agent) == QUEUE_WORKER_AWAY;
}

static int64_t room_at(const struct work_queue *queue, size_t place)
{
    return place == NONE ? 0 : queue->rooms.most[queue->rooms.width + place];
}

static void set_room(struct work_queue *queue, size_t place, int64_t room)
{
    int64_t *most = queue->rooms.most;
    size_t at = queue->rooms.width + place;
    most[at] = room > 0 ? room : 0;
    for (at /= 2; at > 0; at /= 2)
        most[at] = most[at * 2] > most[at * 2 + 1] ? most[at * 2] : most[at * 2 + 1];
}

void queue_rooms_free(struct work_queue *queue)
{
    free(queue->rooms.most);
    free(queue->rooms.by_name);
    free(queue->rooms.told);
    free(queue->rooms.full_until);
    queue->rooms = (struct queue_rooms){0};
}

void queue_rooms_define(struct work_queue *queue)
{
    size_t count = queue->definition ? queue->definition->consumers.count : 0, width = 1;
    queue_rooms_free(queue);
    while (width < count)
        width *= 2;
    struct named_place *places = memory_new(count + 1, sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = (struct named_place){.name = consumer_at(queue, i), .place = i};
    MEMORY_SORT(places, count, names_order);
    queue->rooms = (struct queue_rooms){.count = count,
                                        .width = width,
                                        .by_name = places,
                                        .most = memory_new(width * 2, sizeof(int64_t)),
                                        .told = memory_new(count + 1, sizeof(size_t)),
                                        .full_until = memory_new(count + 1, sizeof(int64_t)),
                                        .unasked = count};
}

void queue_rooms_tell(struct work_queue *queue, const char *consumer)
{
    struct queue_rooms *rooms = &queue->rooms;
    size_t place = place_of(queue, consumer);
    if (place != NONE && rooms->told_count < rooms->count)
        rooms->told[rooms->told_count++] = place;
    else if (place != NONE)
        rooms->unasked = rooms->count;
}

void queue_rooms_doubt(struct work_queue *queue)
{
    queue->rooms.unasked = queue->rooms.count;
}

static int64_t held_by(const struct queues *queues, const char *consumer)
{
    const struct item *item;
    int64_t count = 0;
    LIST_FOREACH(item, &queues->held[names_hash(consumer, strlen(consumer)) % QUEUE_CHAINS], held_link)
    count += strcmp(item->envelope.consumer, consumer) == 0;
    return count;
}

void queue_rooms_full(struct work_queue *queue, const char *consumer, int64_t for_ms)
{
    size_t place = place_of(queue, consumer);
    if (place == NONE)
        return;
    queue->rooms.full_until[place] = clock_monotonic_ms() + for_ms;
    queue_rooms_tell(queue, consumer);
}

static int64_t ask(struct work_queue *queue, size_t place)
{
    const struct queues *queues = queue->queues;
    const char *consumer = consumer_at(queue, place);
    int64_t room = queues->operations->room(queues->context, consumer);
    if (room > 0 && queue_is_away(queue, consumer))
        room = queue->rooms.full_until[place] > clock_monotonic_ms() ? 0 : room - held_by(queues, consumer);
    set_room(queue, place, room);
    return room;
}

void queue_rooms_ask(struct work_queue *queue)
{
    struct queue_rooms *rooms = &queue->rooms;
    for (size_t i = 0; i < rooms->told_count; i++)
        ask(queue, rooms->told[i]);
    rooms->told_count = 0;
    for (size_t i = 0; i < ASKED_AT_ONCE && i < rooms->count; i++)
        ask(queue, rooms->next_asked++ % rooms->count);
    rooms->unasked -= rooms->unasked < ASKED_AT_ONCE ? rooms->unasked : ASKED_AT_ONCE;
}

/* --- senders' rights --- */

void queue_sender_define(const struct work_queue *queue, struct queue_sender *sender)
{
    const struct queues *queues = queue->queues;
    const struct text_list *list = queues->operations->may_send_to(queues->context, sender->name);
    size_t own = place_of(queue, sender->name);
    bool own_listed = false;
    free(sender->places);
    sender->places = NULL;
    sender->count = 0;
    sender->limited = list != NULL;
    if (!list)
        return;
    sender->places = memory_new(list->count + 1, sizeof *sender->places);
    for (size_t i = 0; i < list->count; i++) {
        size_t place = place_of(queue, list->items[i]);
        if (place != NONE)
            sender->places[sender->count++] = place;
        own_listed = own_listed || (place != NONE && place == own);
    }
    if (own != NONE && !own_listed)
        sender->places[sender->count++] = own;
}

bool queue_sender_has_room(const struct work_queue *queue, const struct queue_sender *sender)
{
    bool has = !sender->limited && queue->rooms.most[1] > 0;
    for (size_t i = 0; i < sender->count && !has; i++)
        has = room_at(queue, sender->places[i]) > 0;
    return has;
}

/* --- choosing --- */

/* The first place, not before `from`, with that much room. */
static size_t first_with(const struct queue_rooms *rooms, size_t at, size_t begins, size_t width, size_t from,
                         int64_t room)
{
    if (rooms->most[at] < room || begins + width <= from)
        return NONE;
    if (width == 1)
        return begins;
    size_t first = first_with(rooms, at * 2, begins, width / 2, from, room);
    return first != NONE ? first : first_with(rooms, at * 2 + 1, begins + width / 2, width / 2, from, room);
}

/* The place with the most room of all, of equals the next in turn. */
static size_t best_of_all(const struct work_queue *queue)
{
    const struct queue_rooms *rooms = &queue->rooms;
    int64_t room = rooms->most[1];
    if (room <= 0)
        return NONE;
    size_t next = queue->next % rooms->count, place = first_with(rooms, 1, 0, rooms->width, next, room);
    return place != NONE ? place : first_with(rooms, 1, 0, rooms->width, 0, room);
}

static size_t best_but(struct work_queue *queue, size_t own, size_t had)
{
    int64_t own_room = room_at(queue, own), had_room = room_at(queue, had);
    if (own != NONE)
        set_room(queue, own, 0);
    if (had != NONE)
        set_room(queue, had, 0);
    size_t best = best_of_all(queue);
    if (had != NONE)
        set_room(queue, had, had_room);
    if (own != NONE)
        set_room(queue, own, own_room);
    return best;
}

/* The number of places before it in turn. */
static size_t turns_to(const struct work_queue *queue, size_t place)
{
    size_t count = queue->rooms.count;
    return (place + count - queue->next % count) % count;
}

static size_t best_of_some(const struct work_queue *queue, const struct queue_sender *sender, size_t own,
                           size_t had)
{
    size_t best = NONE;
    for (size_t i = 0; i < sender->count; i++) {
        size_t place = sender->places[i];
        int64_t room = room_at(queue, place), most = room_at(queue, best);
        if (place == own || place == had || room <= 0)
            continue;
        if (room > most || (room == most && turns_to(queue, place) < turns_to(queue, best)))
            best = place;
    }
    return best;
}

static bool may_have(const struct queue_sender *sender, size_t place)
{
    bool may = !sender->limited;
    for (size_t i = 0; i < sender->count && !may; i++)
        may = sender->places[i] == place;
    return may;
}

static size_t choose(struct work_queue *queue, const struct item *item)
{
    size_t own = place_of(queue, item->envelope.from), had = place_of(queue, item->envelope.consumer);
    size_t best =
        item->sender->limited ? best_of_some(queue, item->sender, own, had) : best_but(queue, own, had);
    if (best == NONE && had != own && room_at(queue, had) > 0 && may_have(item->sender, had))
        best = had;
    return best == NONE && room_at(queue, own) > 0 ? own : best;
}

const char *queue_choose(struct work_queue *queue, const struct item *item, size_t *place)
{
    for (;;) {
        *place = choose(queue, item);
        if (*place == NONE)
            return NULL;
        int64_t room = room_at(queue, *place);
        if (ask(queue, *place) == room)
            return consumer_at(queue, *place);
    }
}
