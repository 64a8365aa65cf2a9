/* The worker's timers: each rings once, and only an armed timer shortens the sleep. */
#include "tests/unit/cmocka.h"
#include "worker/cycle/timers.h"

enum { HOUR_MS = 60 * 60 * 1000 };

static void test_without_an_armed_timer_the_worker_sleeps_until_it_is_woken(void **state)
{
    struct timers timers = {0};
    assert_int_equal(timers_sleep_ms(&timers, 1000), -1);
    timers_arm(&timers, TIMER_TIDY, 0);
    assert_false(timers_on(&timers, TIMER_TIDY));
    assert_int_equal(timers_sleep_ms(&timers, 1000), -1);
}

static void test_the_sleep_ends_with_the_first_armed_timer_and_lasts_an_hour_at_most(void **state)
{
    struct timers timers = {0};
    timers_arm(&timers, TIMER_TIDY, 1000 + 2 * (int64_t)HOUR_MS);
    assert_int_equal(timers_sleep_ms(&timers, 1000), HOUR_MS);
    timers_arm(&timers, TIMER_MAIL, 1700);
    timers_arm(&timers, TIMER_EXPIRY, 1300);
    assert_int_equal(timers_sleep_ms(&timers, 1000), 300);
    timers_disarm(&timers, TIMER_EXPIRY);
    assert_int_equal(timers_sleep_ms(&timers, 1000), 700);
    assert_int_equal(timers_sleep_ms(&timers, 1700), 0);
    assert_int_equal(timers_sleep_ms(&timers, 9000), 0);
}

static void test_a_timer_rings_when_its_time_has_come_and_is_taken_once(void **state)
{
    struct timers timers = {0};
    timers_arm(&timers, TIMER_MAIL, 1700);
    timers_ring(&timers, 1699);
    assert_false(timers_due(&timers, TIMER_MAIL));
    assert_int_equal(timers_at(&timers, TIMER_MAIL), 1700);
    timers_ring(&timers, 1700);
    assert_true(timers_due(&timers, TIMER_MAIL));
    assert_false(timers_armed(&timers, TIMER_MAIL));
    assert_true(timers_take(&timers, TIMER_MAIL));
    assert_false(timers_take(&timers, TIMER_MAIL));
    assert_false(timers_on(&timers, TIMER_MAIL));
}

/* An owner that can't act now leaves its timer due; a paused worker spun on such a deadline. */
static void test_a_due_timer_that_nobody_takes_never_shortens_the_sleep(void **state)
{
    struct timers timers = {0};
    for (int which = 0; which < TIMER_COUNT; which++)
        timers_arm(&timers, (enum timer)which, 500);
    timers_ring(&timers, 1000);
    assert_int_equal(timers_sleep_ms(&timers, 1000), -1);
    timers_ring(&timers, 2000);
    for (int which = 0; which < TIMER_COUNT; which++)
        assert_true(timers_take(&timers, (enum timer)which));
}

static void test_arming_anew_forgets_what_was_due_and_arming_within_leaves_it(void **state)
{
    struct timers timers = {0};
    timers_arm(&timers, TIMER_QUEUE, 500);
    timers_arm_within(&timers, TIMER_QUEUE, 100);
    assert_int_equal(timers_at(&timers, TIMER_QUEUE), 500);
    timers_ring(&timers, 500);
    timers_arm_within(&timers, TIMER_QUEUE, 900);
    assert_true(timers_due(&timers, TIMER_QUEUE));
    assert_false(timers_armed(&timers, TIMER_QUEUE));
    timers_arm(&timers, TIMER_QUEUE, 900);
    assert_false(timers_due(&timers, TIMER_QUEUE));
    timers_disarm(&timers, TIMER_QUEUE);
    timers_arm_within(&timers, TIMER_QUEUE, 800);
    assert_int_equal(timers_at(&timers, TIMER_QUEUE), 800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_armed_timer_the_worker_sleeps_until_it_is_woken),
        cmocka_unit_test(test_the_sleep_ends_with_the_first_armed_timer_and_lasts_an_hour_at_most),
        cmocka_unit_test(test_a_timer_rings_when_its_time_has_come_and_is_taken_once),
        cmocka_unit_test(test_a_due_timer_that_nobody_takes_never_shortens_the_sleep),
        cmocka_unit_test(test_arming_anew_forgets_what_was_due_and_arming_within_leaves_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
