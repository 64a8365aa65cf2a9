/* Work queues when a file or a folder of theirs can't be read at start: an item is no other one for that, nothing is set
 * aside, nothing is done twice. */
#include "tests/unit/failing.h"

#include "queues_fixture.h"

/* Starts while the nth read, or name, fails. False: there were not so many. */
static bool start_failing(struct world *world, int *left, int nth)
{
    queues_close(world->queues);
    for (size_t i = 0; i < AGENTS; i++)
        world->worker[i] = QUEUE_WORKER_COMING;
    *left = nth;
    start(world);
    bool failed = *left == -1;
    *left = -1;
    for (size_t i = 0; i < AGENTS; i++)
        ready(world, names[i]);
    return failed;
}

static void look_again(struct world *world)
{
    for (int i = 0; i < 3; i++) {
        queues_scan(world->queues);
        turn(world);
    }
}

static void each_start_keeps_what_is_out(struct world *world, int *left)
{
    int nth = 0;
    for (bool failed = true; failed; nth++) {
        OWNED char *id = memory_print("a%d", nth);
        add(world, id);
        OWNED char *first = memory_text(holder(world, id));
        assert_string_not_equal(first, "nobody");
        failed = start_failing(world, left, nth);
        look_again(world);
        assert_string_equal(holder(world, id), first);
        assert_int_equal(count_in(world, "shared/queues/reviews"), 1); /* and nothing set aside */
        finish(world, first, id);
        queues_item_ended(world->queues, first, id, "finished");
        look_again(world);
        assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
        assert_string_equal(holder(world, id), "nobody");
        OWNED char *ended = path_of(first, POST_ARCHIVE, id); /* or each start had one more name to read */
        assert_int_equal(unlinkat(world->data, ended, 0), 0);
    }
    assert_true(nth > 1); /* one start failed */
}

static void test_an_item_that_can_not_be_read_at_start_stays_with_its_consumer(void **state)
{
    each_start_keeps_what_is_out(*state, &reads_left);
}

static void test_a_queue_that_can_not_be_listed_at_start_keeps_what_is_with_its_consumers(void **state)
{
    each_start_keeps_what_is_out(*state, &names_left);
}

static void test_what_a_turn_has_no_time_for_is_done_in_the_next(void **state)
{
    static const char *const ids[] = {"a", "b", "c"};
    struct world *world = *state;
    struct fault why;
    world->window[0] = world->window[1] = 0;
    for (size_t i = 0; i < 3; i++) {
        struct envelope brief = item(ids[i]);
        brief.ttl_seconds = 60;
        brief.created = clock_now();
        assert_int_equal(queues_add(world->queues, &brief, false, &why), QUEUE_TAKEN);
    }
    turn(world);
    world->agents_folders_take_us = 30 * 1000; /* longer than a turn may take */
    while (expiry_ring(world->expiry, clock_now() + 120))
        ;
    turn(world);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_an_item_that_can_not_be_read_at_start_stays_with_its_consumer),
        TEST(test_a_queue_that_can_not_be_listed_at_start_keeps_what_is_with_its_consumers),
        TEST(test_what_a_turn_has_no_time_for_is_done_in_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
