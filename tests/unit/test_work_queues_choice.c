/* The consumer of each item, out of many: the same as by the simple rule, which goes through all items and all
 * consumers. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "tests/unit/queue_stubs.h"

enum { CONSUMERS = 90, SENDERS = 12, ITEMS = 60, ROUNDS = 12, TEXT = 24 };

struct sender {
    char name[TEXT];
    bool limited;
    struct text_list may;
};

struct simple_item {
    char id[TEXT];
    const struct sender *from;
    enum priority priority;
    int64_t created;
    bool waits;
};

struct world {
    char path[64];
    int data;
    struct expiry *expiry;
    struct roster *roster;
    struct queues *queues;
    char consumers[CONSUMERS][TEXT];
    int64_t room[CONSUMERS], simple_room[CONSUMERS];
    struct sender senders[SENDERS];
    struct simple_item items[ROUNDS * ITEMS];
    size_t count, next;
    struct buffer given, expected; /* "ID CONSUMER\n" */
    bool due;
    size_t looks; /* at where an item lies */
    unsigned seed;
};

static unsigned any(struct world *world, unsigned below)
{
    world->seed = world->seed * 1103515245U + 12345U;
    return (world->seed >> 16) % below;
}

static size_t index_of(const struct world *world, const char *name)
{
    size_t i = 0;
    while (i < CONSUMERS && strcmp(world->consumers[i], name) != 0)
        i++;
    return i;
}

/* --- the operations --- */

static int64_t room(void *context, const char *agent)
{
    const struct world *world = context;
    return world->room[index_of(world, agent)];
}

static const struct text_list *may_send_to(void *context, const char *name)
{
    const struct world *world = context;
    for (size_t i = 0; i < SENDERS; i++)
        if (strcmp(world->senders[i].name, name) == 0)
            return world->senders[i].limited ? &world->senders[i].may : NULL;
    return NULL;
}

static unsigned lies(void *context, const char *agent, const char *id)
{
    ((struct world *)context)->looks++;
    return 0;
}

static bool put(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct world *world = context;
    world->room[index_of(world, agent)]--;
    buffer_print(&world->given, "%s %s\n", envelope->id, agent);
    return true;
}

static enum queue_worker worker(void *context, const char *agent)
{
    return QUEUE_WORKER_READY;
}

static void timer(void *context, int64_t in_ms)
{
    ((struct world *)context)->due |= in_ms == 0;
}

static const struct queues_operations operations = {.room = room,
                                                    .may_send_to = may_send_to,
                                                    .lies = lies,
                                                    .each_id = no_ids,
                                                    .put = put,
                                                    .worker = worker,
                                                    .timer = timer};

/* --- the simple rule --- */

static bool may(const struct sender *sender, const char *consumer)
{
    bool listed = !sender->limited || strcmp(sender->name, consumer) == 0;
    for (size_t i = 0; i < sender->may.count && !listed; i++)
        listed = strcmp(sender->may.items[i], consumer) == 0;
    return listed;
}

static size_t simple_choice(const struct world *world, const struct simple_item *item)
{
    size_t best = CONSUMERS;
    for (size_t i = 0; i < CONSUMERS; i++) {
        size_t at = (world->next + i) % CONSUMERS;
        if (!may(item->from, world->consumers[at]) || world->simple_room[at] <= 0)
            continue;
        bool own = strcmp(item->from->name, world->consumers[at]) == 0;
        bool best_own = best < CONSUMERS && strcmp(item->from->name, world->consumers[best]) == 0;
        if (best == CONSUMERS || (best_own && !own) ||
            (own == best_own && world->simple_room[at] > world->simple_room[best]))
            best = at;
    }
    return best;
}

static bool goes_before(const struct simple_item *a, const struct simple_item *b)
{
    return a->priority != b->priority ? a->priority < b->priority
           : a->created != b->created ? a->created < b->created
                                      : strcmp(a->id, b->id) < 0;
}

static struct simple_item *simple_next(struct world *world)
{
    struct simple_item *next = NULL;
    for (size_t i = 0; i < world->count; i++) {
        struct simple_item *item = &world->items[i];
        if (item->waits && (!next || goes_before(item, next)) && simple_choice(world, item) < CONSUMERS)
            next = item;
    }
    return next;
}

static void give_simply(struct world *world)
{
    struct simple_item *item;
    while ((item = simple_next(world))) {
        size_t at = simple_choice(world, item);
        item->waits = false;
        world->simple_room[at]--;
        world->next = at + 1;
        buffer_print(&world->expected, "%s %s\n", item->id, world->consumers[at]);
    }
}

/* --- the world --- */

static struct roster *many_consumers(const struct world *world)
{
    OWNED_BUFFER struct buffer text = {0}, faults = {0}, list = {0};
    buffer_text(&text, "agents:\n");
    for (size_t i = 0; i < CONSUMERS; i++) {
        buffer_print(&text, "  - {name: %s, persona: p}\n", world->consumers[i]);
        buffer_print(&list, "%s%s", i ? ", " : "", world->consumers[i]);
    }
    buffer_print(&text, "queues:\n  - {name: reviews, consumers: [%s]}\n", list.data);
    return roster_parse(text.data, text.length, "agents.yaml", &faults);
}

/* Every second one is a consumer too; every third may send to a few only. */
static void make_senders(struct world *world)
{
    for (size_t i = 0; i < SENDERS; i++) {
        struct sender *sender = &world->senders[i];
        if (i % 2)
            snprintf(sender->name, TEXT, "%s", world->consumers[i * 7]);
        else
            snprintf(sender->name, TEXT, "sender-%zu", i);
        sender->limited = i % 3 == 0;
        sender->may.count = sender->limited ? any(world, 6) : 0;
        sender->may.items = memory_new(6, sizeof(char *));
        for (size_t j = 0; j < sender->may.count; j++)
            sender->may.items[j] = world->consumers[any(world, CONSUMERS)];
    }
}

static void add_items(struct world *world)
{
    static char to[] = "queue:reviews", status[] = "pending", body[] = "the work\n";
    for (size_t i = 0; i < ITEMS; i++) {
        struct simple_item *item = &world->items[world->count];
        struct fault why;
        snprintf(item->id, TEXT, "item-%03u-%zu", any(world, 1000), world->count);
        item->from = &world->senders[any(world, SENDERS)];
        item->priority = (enum priority)any(world, 3);
        item->created = 1000 + any(world, 5);
        item->waits = true;
        world->count++;
        struct envelope envelope = {.id = item->id,
                                    .kind = KIND_ITEM,
                                    .from = (char *)(uintptr_t)item->from->name,
                                    .to = to,
                                    .created = item->created,
                                    .priority = item->priority,
                                    .status = status,
                                    .hops = 1,
                                    .trace = item->id,
                                    .body = body};
        assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    }
}

static void some_room(struct world *world)
{
    for (size_t i = 0; i < CONSUMERS; i++) {
        world->room[i] = world->simple_room[i] = any(world, 4) ? 0 : any(world, 5);
        queues_room(world->queues, world->consumers[i]);
    }
}

static size_t turn(struct world *world)
{
    size_t turns = 0;
    while (world->due && turns < 1000) {
        world->due = false;
        queues_turn(world->queues);
        turns++;
    }
    assert_false(world->due);
    return turns;
}

static int set_up(void **state)
{
    struct world *world = memory_new(1, sizeof *world);
    world->seed = 7;
    strcpy(world->path, "/tmp/queues-XXXXXX");
    assert_non_null(mkdtemp(world->path));
    world->data = open(world->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < CONSUMERS; i++)
        snprintf(world->consumers[i], TEXT, "c%zu", (i * 37) % CONSUMERS);
    world->roster = many_consumers(world);
    assert_non_null(world->roster);
    make_senders(world);
    world->expiry = expiry_new(nothing, NULL);
    world->queues = queues_open(world->data, world->expiry, &operations, world);
    queues_roster(world->queues, world->roster);
    queues_start(world->queues);
    turn(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    queues_close(world->queues);
    expiry_free(world->expiry);
    roster_free(world->roster);
    for (size_t i = 0; i < SENDERS; i++)
        free(world->senders[i].may.items);
    buffer_free(&world->given);
    buffer_free(&world->expected);
    close(world->data);
    assert_int_equal(remove_folder(world->path), 0);
    free(world);
    return 0;
}

/* --- */

static void test_the_same_item_goes_to_the_same_consumer_as_by_the_simple_rule(void **state)
{
    struct world *world = *state;
    for (int round = 0; round < ROUNDS; round++) {
        add_items(world);
        turn(world);
        some_room(world);
        turn(world);
        give_simply(world);
        assert_string_equal(world->given.data ? world->given.data : "",
                            world->expected.data ? world->expected.data : "");
    }
    assert_true(world->given.length > 0);
}

/* The room is told by nobody: each turn asks some consumers for it. */
static void test_room_that_nobody_told_of_is_found_by_a_scan(void **state)
{
    struct world *world = *state;
    add_items(world);
    turn(world);
    assert_int_equal(world->given.length, 0);
    for (size_t i = 0; i < CONSUMERS; i++)
        world->room[i] = 1;
    queues_scan(world->queues);
    assert_true(turn(world) > 1);
    size_t waiting, under_way;
    queues_count(world->queues, "reviews", &waiting, &under_way);
    assert_true(under_way >= ITEMS / 2);
}

static void test_one_turn_gives_out_a_slice(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 4; i++)
        add_items(world);
    turn(world);
    for (size_t i = 0; i < CONSUMERS; i++) {
        world->room[i] = 100;
        queues_room(world->queues, world->consumers[i]);
    }
    size_t waiting, under_way, before = 0;
    for (int turns = 0; turns < 1000; turns++) {
        queues_turn(world->queues);
        queues_count(world->queues, "reviews", &waiting, &under_way);
        assert_true(under_way - before <= 64);
        before = under_way;
        if (!world->due)
            break;
        world->due = false;
    }
    assert_true(under_way > 64);
}

/* Workers' items have ids that they made, and may come twice: no consumer is asked whether it has a new one. */
static void test_no_consumer_is_asked_for_a_new_item(void **state)
{
    struct world *world = *state;
    world->looks = 0;
    add_items(world);
    turn(world);
    some_room(world);
    turn(world);
    assert_true(world->given.length > 0);
    assert_int_equal(world->looks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_item_goes_to_the_same_consumer_as_by_the_simple_rule,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_that_nobody_told_of_is_found_by_a_scan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_turn_gives_out_a_slice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_consumer_is_asked_for_a_new_item, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
