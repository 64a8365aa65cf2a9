/* Reads of files and repositories: made once for all clients that ask, and also when the clients have gone. */
#include "tests/unit/calls_scene.h"

#include "common/test_clock.h"
#include "supervisor/http/reads.h"

struct scene {
    struct calls_scene played;
    struct reads reads;
};

static void begin(struct scene *scene)
{
    calls_scene_begin(&scene->played);
    reads_begin(&scene->reads, scene->played.calls, scene->played.loop, on_settled, &scene->played);
}

static void end(struct scene *scene)
{
    pass(&scene->played, READ_FRESH_MS);
    assert_int_equal(scene->reads.count, 0);
    calls_scene_end(&scene->played);
}

static struct read *ask(struct scene *scene, const char *name)
{
    return reads_ask(&scene->reads, json_pack("{s:s}", "read", name));
}

static void give_up(struct scene *scene)
{
    while (scene->reads.under_way > 0)
        pass(&scene->played, READ_WAIT_MS);
}

static void test_a_read_that_is_asked_for_twice_is_made_once_and_anew_after_an_order(void **state)
{
    struct scene scene;
    begin(&scene);
    struct read *first = ask(&scene, "usage"), *second = ask(&scene, "usage");
    assert_ptr_equal(first, second);
    reads_outdate(&scene.reads);
    struct read *after = ask(&scene, "usage");
    assert_ptr_not_equal(after, first);
    give_up(&scene);
    assert_int_equal(scene.played.settled, 2);
    read_drop(first);
    read_drop(second);
    read_drop(after);
    end(&scene);
}

static void
test_a_read_under_way_stays_until_it_is_told_though_nobody_wants_it_and_it_is_outdated(void **state)
{
    struct scene scene;
    begin(&scene);
    read_drop(ask(&scene, "usage"));
    reads_outdate(&scene.reads);
    pass(&scene.played, READ_FRESH_MS);
    assert_int_equal(scene.reads.count, 1);
    give_up(&scene);
    assert_int_equal(scene.reads.under_way, 0);
    assert_int_equal(scene.played.settled, 1);
    end(&scene);
}

static void test_a_read_that_waits_for_its_turn_is_not_made_when_nobody_wants_it(void **state)
{
    struct scene scene;
    begin(&scene);
    struct read *one = ask(&scene, "usage"), *two = ask(&scene, "queues"), *three = ask(&scene, "envelopes");
    assert_int_equal(three->state, READ_QUEUED);
    read_drop(three);
    assert_int_equal(scene.reads.count, 2);
    give_up(&scene);
    assert_int_equal(scene.played.settled, 2);
    read_drop(one);
    read_drop(two);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_that_is_asked_for_twice_is_made_once_and_anew_after_an_order),
        cmocka_unit_test(
            test_a_read_under_way_stays_until_it_is_told_though_nobody_wants_it_and_it_is_outdated),
        cmocka_unit_test(test_a_read_that_waits_for_its_turn_is_not_made_when_nobody_wants_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
