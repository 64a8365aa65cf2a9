/* A wall clock that is set back or forth by years, here the test clock: waiting work is not held up and not let go
 * early. The monotonic clock runs on, faster when the test says so. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/names.h"
#include "common/test_clock.h"
#include "supervisor/agent/lifecycle.h"
#include "supervisor/process/clock_jumps.h"
#include "supervisor/process/loop.h"
#include "tests/unit/cmocka.h"

enum { YEAR = 365 * 86400 };

static int64_t wall_offset; /* seconds: so far the test has moved the wall clock */

static void set_wall(int64_t offset)
{
    test_clock_move((offset - wall_offset) * 1000, 0);
    wall_offset = offset;
}

static const int64_t jumps[] = {-30LL * YEAR, -3600, 3600, 200LL * YEAR};
enum { JUMPS = sizeof jumps / sizeof jumps[0] };

static int begin(void **state)
{
    set_wall(0);
    return 0;
}

static void ring(void *context)
{
    ++*(int *)context;
}

static void test_a_timer_rings_in_its_time_whatever_the_wall_clock_does(void **state)
{
    for (size_t i = 0; i < JUMPS; i++) {
        struct loop *loop = loop_new();
        int soon = 0, later = 0;
        struct timer first = {.ring = ring, .context = &soon}, second = {.ring = ring, .context = &later};
        timer_set(loop, &first, 20);
        timer_set(loop, &second, 3600 * 1000);
        set_wall(jumps[i]);
        for (int turns = 0; !soon && turns < 1000; turns++)
            loop_turn(loop, 1000);
        assert_int_equal(soon, 1);
        assert_int_equal(later, 0);
        loop_free(loop);
    }
}

static void nothing(void *context)
{
}

static void nothing_stop(void *context, int64_t grace_ms)
{
}

static void nothing_pause(void *context, bool pause)
{
}

static void nothing_signal(void *context, int signal)
{
}

static void keep_timer(void *context, int64_t in_ms)
{
    *(int64_t *)context = in_ms;
}

static void nothing_changed(void *context, enum life_state before)
{
}

static const struct life_operations operations = {.spawn = nothing,
                                                  .ask_stop = nothing_stop,
                                                  .ask_pause = nothing_pause,
                                                  .signal = nothing_signal,
                                                  .timer = keep_timer,
                                                  .changed = nothing_changed};

static void fall(struct life *life)
{
    life_event(life, EVENT_TIMER);
    life_event(life, EVENT_READY);
    life_event(life, EVENT_EXIT);
}

static void test_a_jump_of_the_wall_clock_is_no_minute_of_health(void **state)
{
    for (size_t i = 0; i < JUMPS; i++) {
        struct life life;
        int64_t timer = 0;
        begin(NULL);
        life_begin(&life, &operations, &timer, 8000);
        life_event(&life, EVENT_START);
        life_event(&life, EVENT_READY);
        life_event(&life, EVENT_EXIT);
        fall(&life);
        life_event(&life, EVENT_TIMER);
        life_event(&life, EVENT_READY);
        set_wall(jumps[i]);
        life_event(&life, EVENT_EXIT);
        assert_true(timer >= 120); /* the third failure in a row: 0.2 s, less the jitter */
        life_event(&life, EVENT_TIMER);
        life_event(&life, EVENT_READY);
        test_clock_move(0, 61 * 1000);
        life_event(&life, EVENT_EXIT);
        assert_int_equal(timer, 0); /* a real minute is one */
    }
}

static void test_ids_stay_different_while_the_clock_is_set_back_and_forth(void **state)
{
    char *ids[400];
    for (size_t i = 0; i < 400; i++) {
        set_wall(jumps[i % JUMPS]);
        ids[i] = names_new_id();
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
    }
    for (size_t i = 0; i < 400; i++)
        free(ids[i]);
}

static void test_times_of_any_year_are_written_in_twenty_characters(void **state)
{
    for (size_t i = 0; i < JUMPS; i++) {
        char text[CLOCK_TEXT];
        int64_t back;
        set_wall(jumps[i]);
        int64_t now = clock_now();
        assert_int_equal(strlen(clock_format(now, text)), 20);
        assert_true(clock_parse(text, &back));
        assert_int_equal(back, now);
    }
}

static void test_a_clock_that_nobody_sets_rings_nobody(void **state)
{
    int rings = 0;
    struct loop *loop = loop_new();
    struct wallclock *wallclock = wallclock_open(loop, ring, &rings);
    loop_turn(loop, 20);
    assert_int_equal(rings, 0);
    wallclock_close(wallclock);
    loop_free(loop);
    wallclock_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_timer_rings_in_its_time_whatever_the_wall_clock_does, begin),
        cmocka_unit_test_setup(test_a_jump_of_the_wall_clock_is_no_minute_of_health, begin),
        cmocka_unit_test_setup(test_ids_stay_different_while_the_clock_is_set_back_and_forth, begin),
        cmocka_unit_test_setup(test_times_of_any_year_are_written_in_twenty_characters, begin),
        cmocka_unit_test_setup(test_a_clock_that_nobody_sets_rings_nobody, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
