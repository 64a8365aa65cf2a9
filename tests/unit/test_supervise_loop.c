/* The event loop: timers in order, descriptors fairly, handles that end inside their own callbacks. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "supervisor/process/loop.h"
#include "tests/unit/cmocka.h"

enum { TIMERS = 500 };

static struct loop *loop;
static int64_t rung_at[TIMERS];
static size_t rung;

static int begin(void **state)
{
    loop = loop_new();
    rung = 0;
    return loop ? 0 : -1;
}

static int end(void **state)
{
    loop_free(loop);
    return 0;
}

static void note(void *context)
{
    rung_at[rung++] = *(const int64_t *)context;
}

static void test_timers_ring_in_the_order_of_their_times_and_cleared_ones_never(void **state)
{
    static struct timer timers[TIMERS];
    unsigned random = 1;
    size_t cleared = 0;
    memset(timers, 0, sizeof timers);
    for (size_t i = 0; i < TIMERS; i++) {
        random = random * 1103515245u + 12345u;
        timers[i].ring = note;
        timers[i].context = &timers[i].at;
        timer_set(loop, &timers[i], (int64_t)(random >> 16) % 40);
        timer_set(loop, &timers[i], (int64_t)(random >> 20) % 40); /* moved */
    }
    for (size_t i = 0; i < TIMERS; i += 7, cleared++)
        timer_clear(loop, &timers[i]);
    while (rung < TIMERS - cleared)
        loop_turn(loop, -1);
    loop_turn(loop, 0);
    assert_int_equal(rung, TIMERS - cleared);
    for (size_t i = 1; i < rung; i++)
        assert_true(rung_at[i - 1] <= rung_at[i]);
}

static struct timer again;
static int rings;

static void set_again(void *context)
{
    rings++;
    timer_set(loop, &again, 0);
}

static void test_a_timer_that_is_always_due_starves_no_descriptor(void **state)
{
    int before = rings;
    again = (struct timer){.ring = set_again};
    timer_set(loop, &again, 0);
    loop_turn(loop, -1);
    assert_int_equal(rings, before + 1);
    loop_turn(loop, -1);
    assert_int_equal(rings, before + 2);
}

static struct loop_watch *pair[2];
static int calls;

static void forget_both(void *context, uint32_t events)
{
    calls++;
    loop_forget(loop, pair[0]);
    loop_forget(loop, pair[1]);
}

static void test_a_handle_that_is_forgotten_is_called_no_more_even_in_the_same_turn(void **state)
{
    int pipes[2][2];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
        pair[i] = loop_watch(loop, pipes[i][0], EPOLLIN, forget_both, NULL);
    }
    calls = 0;
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(calls, 1);
    for (size_t i = 0; i < 4; i++)
        close(pipes[i / 2][i % 2]);
}

enum { BUSY = 5, BUSY_US = 2000 };

static int first_pipe[2], busy_calls, busy_before_first;

static void work_long(void *context, uint32_t events)
{
    int64_t until = clock_kernel_monotonic_us() + BUSY_US;
    if (busy_calls++ == 0)
        assert_int_equal(write(first_pipe[1], "x", 1), 1);
    while (clock_kernel_monotonic_us() < until)
        ;
}

static void come_first(void *context, uint32_t events)
{
    char byte;
    assert_int_equal(read(first_pipe[0], &byte, 1), 1);
    busy_before_first = busy_calls;
}

static void test_what_comes_first_waits_for_one_callback_and_not_for_all_that_are_due(void **state)
{
    int busy[2], copies[BUSY];
    struct loop_watch *watches[BUSY + 1];
    assert_int_equal(pipe(busy), 0);
    assert_int_equal(pipe(first_pipe), 0);
    assert_int_equal(write(busy[1], "x", 1), 1);
    for (size_t i = 0; i < BUSY; i++) {
        copies[i] = dup(busy[0]);
        watches[i] = loop_watch(loop, copies[i], EPOLLIN, work_long, NULL);
    }
    watches[BUSY] = loop_watch_first(loop, first_pipe[0], EPOLLIN, come_first, NULL);
    loop_turn(loop, 0);
    assert_int_equal(busy_calls, BUSY);
    assert_int_equal(busy_before_first, 1);
    loop_change(loop, watches[BUSY], 0);
    assert_int_equal(write(first_pipe[1], "x", 1), 1);
    loop_turn(loop, 0);
    assert_int_equal(busy_before_first, 1);
    for (size_t i = 0; i <= BUSY; i++)
        loop_forget(loop, watches[i]);
    loop_turn(loop, 0);
    assert_int_equal(busy_calls, 2 * BUSY);
    for (size_t i = 0; i < BUSY; i++)
        close(copies[i]);
    for (size_t i = 0; i < 2; i++) {
        close(busy[i]);
        close(first_pipe[i]);
    }
}

static void test_a_loop_with_nothing_due_sleeps(void **state)
{
    static struct timer timer;
    int64_t value = 0;
    timer = (struct timer){.ring = note, .context = &value};
    int64_t start = clock_monotonic_ms();
    timer_set(loop, &timer, 50);
    int turns = 0;
    while (!rung) {
        loop_turn(loop, -1);
        turns++;
    }
    assert_true(clock_monotonic_ms() - start >= 50);
    assert_true(turns <= 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_timers_ring_in_the_order_of_their_times_and_cleared_ones_never),
        TEST(test_a_timer_that_is_always_due_starves_no_descriptor),
        TEST(test_a_handle_that_is_forgotten_is_called_no_more_even_in_the_same_turn),
        TEST(test_what_comes_first_waits_for_one_callback_and_not_for_all_that_are_due),
        TEST(test_a_loop_with_nothing_due_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
