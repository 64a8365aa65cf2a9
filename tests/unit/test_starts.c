/* Starts are bounded to what the machine does at once; a woken agent goes first, and no agent is held up (contract
 * section 10). */
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"
#include "tests/unit/cmocka.h"

enum { MORE = 3 };

static struct agents fleet;
static struct agent *all;
static size_t limit, started[256], started_count;

static void start(struct agent *agent)
{
    started[started_count++] = (size_t)(agent - all);
}

static int begin(void **state)
{
    fleet = (struct agents){.loop = loop_new()};
    starts_begin(&fleet, start);
    limit = fleet.starts.limit;
    all = memory_new(limit + MORE, sizeof *all);
    started_count = 0;
    for (size_t i = 0; i < limit + MORE; i++)
        all[i].agents = &fleet;
    for (size_t i = 0; i < limit; i++)
        assert_true(starts_enter(&all[i], false));
    return fleet.loop == NULL;
}

static int end(void **state)
{
    starts_end(&fleet);
    loop_free(fleet.loop);
    free(all);
    return 0;
}

static void test_so_many_start_at_once_and_the_others_wait(void **state)
{
    assert_int_equal(limit, (size_t)sysconf(_SC_NPROCESSORS_ONLN) * STARTS_FOR_EACH_PROCESSOR);
    for (size_t i = limit; i < limit + MORE; i++)
        assert_false(starts_enter(&all[i], false));
    loop_turn(fleet.loop, 0);
    assert_int_equal(started_count, 0);
}

static void test_each_that_is_ready_lets_one_in_the_woken_first_then_in_their_order(void **state)
{
    starts_enter(&all[limit], false);
    starts_enter(&all[limit + 1], false);
    starts_enter(&all[limit + 2], true);
    for (size_t i = 0; i < 3; i++) {
        starts_leave(&all[i]);
        loop_turn(fleet.loop, 0);
        assert_int_equal(started_count, i + 1);
    }
    assert_int_equal(started[0], limit + 2);
    assert_int_equal(started[1], limit);
    assert_int_equal(started[2], limit + 1);
    assert_int_equal(fleet.starts.count, limit);
}

static void test_one_that_is_stopped_while_it_waits_is_not_started(void **state)
{
    starts_enter(&all[limit], false);
    starts_enter(&all[limit + 1], false);
    starts_leave(&all[limit]);
    starts_leave(&all[limit]); /* again is fine */
    starts_leave(&all[0]);
    loop_turn(fleet.loop, 0);
    assert_int_equal(started_count, 1);
    assert_int_equal(started[0], limit + 1);
}

static void test_starts_that_take_long_hold_up_nobody(void **state)
{
    starts_enter(&all[limit], false);
    for (size_t i = 0; i < limit; i++)
        all[i].worker.start.since -= 60 * 1000;
    fleet.starts.timer.at = 0; /* the timer rings now */
    loop_turn(fleet.loop, 0);
    assert_int_equal(started_count, 1);
    assert_int_equal(fleet.starts.count, 1);
    starts_leave(&all[0]); /* the late one's place was given already */
    assert_int_equal(fleet.starts.count, 1);
}

static pid_t one_that(bool works)
{
    pid_t pid = fork();
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (pid != 0)
        return pid;
    sched_setaffinity(0, sizeof first, &first);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (works)
        ;
    pause();
    _exit(0);
}

static void test_what_a_worker_waits_for_a_processor_is_no_part_of_its_time(void **state)
{
    if (access("/proc/self/schedstat", R_OK) != 0)
        skip();
    pid_t busy[] = {one_that(true), one_that(true)}, sleeper = one_that(false);
    int64_t began = clock_monotonic_ms(), more = 0;
    all[0].worker.pid = busy[0];
    while (more == 0 && clock_monotonic_ms() < began + 60000) {
        usleep(2000000); /* figures add up only from one reading to the next */
        more = starts_stretch(&all[0]);
    }
    assert_in_range(more, 1, clock_monotonic_ms() - began + 1000);
    all[0].worker.pid = sleeper;
    all[0].worker.start.stood = 0;
    assert_int_equal(starts_stretch(&all[0]), 0);
    all[0].worker.pid = 0;
    assert_int_equal(starts_stretch(&all[0]), 0);
    all[0].worker.spawning = true; /* the zygote has not come to it */
    assert_true(starts_stretch(&all[0]) > 0);
    all[0].worker.spawning = false;
    for (size_t i = 0; i < 2; i++)
        kill(busy[i], SIGKILL);
    kill(sleeper, SIGKILL);
    while (wait(NULL) > 0)
        ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_so_many_start_at_once_and_the_others_wait, begin, end),
        cmocka_unit_test_setup_teardown(
            test_each_that_is_ready_lets_one_in_the_woken_first_then_in_their_order, begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_is_stopped_while_it_waits_is_not_started, begin, end),
        cmocka_unit_test_setup_teardown(test_starts_that_take_long_hold_up_nobody, begin, end),
        cmocka_unit_test_setup_teardown(test_what_a_worker_waits_for_a_processor_is_no_part_of_its_time,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
