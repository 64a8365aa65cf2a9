/* How long work has waited while its agent could work; over restarts of the worker too. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/queue/waiting.h"

enum { MINUTE = 60 * 1000 };

struct place {
    char path[64];
    int tree;
    struct waiting *waiting;
    int64_t now_ms;
};

static int set_up(void **state)
{
    struct place *place = memory_new(1, sizeof *place);
    strcpy(place->path, "/tmp/waiting-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->tree = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(place->tree, ".agentos", 0755), 0);
    place->waiting = waiting_open(place->tree);
    place->now_ms = 1000;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    waiting_close(place->waiting);
    close(place->tree);
    OWNED char *command = memory_print("rm -rf %s", place->path);
    free(place);
    return system(command);
}

/* So many minutes, one after another, with a look at these pieces after each. */
static void pass(struct place *place, int minutes, bool able, const uint64_t *work, size_t count)
{
    waiting_pass(place->waiting, able, place->now_ms);
    for (int minute = 0; minute <= minutes; minute++) {
        waiting_pass(place->waiting, able, place->now_ms += minute ? MINUTE : 0);
        waiting_begin(place->waiting);
        for (size_t i = 0; i < count; i++)
            waiting_note(place->waiting, work[i]);
        waiting_end(place->waiting, place->now_ms);
    }
}

static void start_again(struct place *place, bool orderly)
{
    if (orderly)
        waiting_close(place->waiting);
    place->waiting = waiting_open(place->tree); /* a kill: the memory is gone, and leaked here */
    place->now_ms += 100 * MINUTE;
}

static void test_time_in_which_the_agent_can_work_counts_from_the_first_look(void **state)
{
    struct place *place = *state;
    const uint64_t work[] = {7, 9};
    pass(place, 3, true, work, 1);
    pass(place, 2, true, work, 2);
    assert_int_equal(waiting_ms(place->waiting, 7), 5 * MINUTE);
    assert_int_equal(waiting_ms(place->waiting, 9), 2 * MINUTE);
    assert_int_equal(waiting_ms(place->waiting, 8), 0);
}

static void test_time_in_which_it_cannot_work_does_not_count(void **state)
{
    struct place *place = *state;
    const uint64_t work[] = {7};
    pass(place, 3, true, work, 1);
    pass(place, 30, false, work, 1);
    pass(place, 1, true, work, 1);
    assert_int_equal(waiting_ms(place->waiting, 7), 4 * MINUTE);
}

static void test_a_frozen_process_waited_two_minutes_at_most(void **state)
{
    struct place *place = *state;
    const uint64_t work[] = {7};
    pass(place, 1, true, work, 1);
    place->now_ms += 600 * MINUTE;
    waiting_pass(place->waiting, true, place->now_ms);
    assert_int_equal(waiting_ms(place->waiting, 7), 3 * MINUTE);
}

static void test_a_look_that_misses_work_takes_nothing_away_but_nine_do(void **state)
{
    struct place *place = *state;
    const uint64_t work[] = {7};
    pass(place, 3, true, work, 1);
    pass(place, 2, true, NULL, 0);
    pass(place, 1, true, work, 1);
    assert_int_equal(waiting_ms(place->waiting, 7), 6 * MINUTE);
    pass(place, 20, true, NULL, 0);
    assert_int_equal(waiting_ms(place->waiting, 7), 0);
}

static void test_an_orderly_restart_keeps_all_and_the_time_without_a_worker_does_not_count(void **state)
{
    struct place *place = *state;
    const uint64_t work[] = {7, 9};
    pass(place, 8, true, work, 2);
    start_again(place, true);
    pass(place, 1, true, work, 2);
    assert_int_equal(waiting_ms(place->waiting, 7), 9 * MINUTE);
    assert_int_equal(waiting_ms(place->waiting, 9), 9 * MINUTE);
}

static void test_a_kill_takes_back_a_minute_at_most(void **state)
{
    struct place *place = *state;
    struct waiting *killed = place->waiting;
    const uint64_t work[] = {7};
    pass(place, 8, true, work, 1);
    place->now_ms += MINUTE / 2;
    waiting_pass(place->waiting, true, place->now_ms);
    start_again(place, false);
    pass(place, 0, true, work, 1);
    int64_t waited = waiting_ms(place->waiting, 7);
    assert_true(waited >= 7 * MINUTE + MINUTE / 2 && waited <= 8 * MINUTE + MINUTE / 2);
    waiting_close(killed);
}

static void test_a_file_of_nonsense_is_none(void **state)
{
    struct place *place = *state;
    const uint64_t work[] = {7};
    int fd = openat(place->tree, ".agentos/waiting", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "what\n0000000000000007 -5\n\n7", 27), 27);
    close(fd);
    start_again(place, true);
    pass(place, 1, true, work, 1);
    assert_int_equal(waiting_ms(place->waiting, 7), 1 * MINUTE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_time_in_which_the_agent_can_work_counts_from_the_first_look),
        TEST(test_time_in_which_it_cannot_work_does_not_count),
        TEST(test_a_frozen_process_waited_two_minutes_at_most),
        TEST(test_a_look_that_misses_work_takes_nothing_away_but_nine_do),
        TEST(test_an_orderly_restart_keeps_all_and_the_time_without_a_worker_does_not_count),
        TEST(test_a_kill_takes_back_a_minute_at_most),
        TEST(test_a_file_of_nonsense_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
