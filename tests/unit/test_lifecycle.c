/* The table of a worker's life: each state's answer to each event. */
#include <signal.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/agent/lifecycle.h"
#include "supervisor/process/backoff.h"
#include "tests/unit/cmocka.h"

/* A world that only writes down the table's requests. */
struct world {
    struct life life;
    int spawns, stops, signals[4], signal_count, changes;
    int64_t timer;
    int paused; /* -1: never asked */
    bool unable_to_spawn, nothing_to_stop;
};

static void world_spawn(void *context)
{
    struct world *world = context;
    world->spawns++;
    if (world->unable_to_spawn)
        life_event(&world->life, EVENT_UNABLE);
}

static void world_stop(void *context, int64_t grace_ms)
{
    struct world *world = context;
    assert_int_equal(grace_ms, 8000);
    world->stops++;
    if (world->nothing_to_stop)
        life_event(&world->life, EVENT_EXIT);
}

static void world_pause(void *context, bool pause)
{
    ((struct world *)context)->paused = pause;
}

static void world_signal(void *context, int signal)
{
    struct world *world = context;
    if (world->signal_count < 4)
        world->signals[world->signal_count++] = signal;
}

static void world_timer(void *context, int64_t in_ms)
{
    ((struct world *)context)->timer = in_ms;
}

static void world_changed(void *context, enum life_state before)
{
    struct world *world = context;
    assert_int_not_equal(before, world->life.state);
    world->changes++;
}

static const struct life_operations operations = {
    .spawn = world_spawn,
    .ask_stop = world_stop,
    .ask_pause = world_pause,
    .signal = world_signal,
    .timer = world_timer,
    .changed = world_changed,
};

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->paused = -1;
    life_begin(&world->life, &operations, world, 8000);
}

static void begin_up(struct world *world)
{
    begin(world);
    life_event(&world->life, EVENT_START);
    life_event(&world->life, EVENT_READY);
    assert_int_equal(world->life.state, STATE_IDLE);
}

static void test_the_first_restart_is_at_once_then_a_tenth_of_a_second_doubling_to_a_minute(void **state)
{
    static const int64_t delays[] = {0,    100,   200,   400,   800,   1600, 3200,
                                     6400, 12800, 25600, 51200, 60000, 60000};
    for (unsigned i = 0; i < sizeof delays / sizeof delays[0]; i++)
        assert_int_equal(backoff_ms(i), delays[i]);
    assert_int_equal(backoff_ms(4000000000u), 60000);
}

static void test_a_worker_that_keeps_ending_is_started_ever_more_slowly(void **state)
{
    struct world world;
    begin(&world);
    life_event(&world.life, EVENT_START);
    for (unsigned failure = 0; failure < 12; failure++) {
        life_event(&world.life, EVENT_EXIT);
        assert_int_equal(world.life.state, STATE_BACKOFF);
        int64_t whole = backoff_ms(failure);
        assert_true(world.timer >= whole * 6 / 10 && world.timer <= whole);
        life_event(&world.life, EVENT_TIMER);
        assert_int_equal(world.life.state, STATE_STARTING);
    }
    assert_int_equal(world.spawns, 13);
}

static void test_a_minute_of_health_forgets_the_failures(void **state)
{
    struct world world;
    begin_up(&world);
    world.life.failures = 9;
    world.life.ready_at = clock_monotonic_ms() - BACKOFF_HEALTHY_MS;
    life_event(&world.life, EVENT_EXIT);
    assert_int_equal(world.timer, 0);
    begin_up(&world);
    world.life.failures = 9;
    life_event(&world.life, EVENT_EXIT);
    assert_true(world.timer >= 15000);
}

static void test_a_stop_asks_then_terms_then_kills(void **state)
{
    struct world world;
    begin_up(&world);
    life_event(&world.life, EVENT_WORKING);
    life_event(&world.life, EVENT_STOP);
    assert_int_equal(world.life.state, STATE_STOPPING);
    assert_int_equal(world.stops, 1);
    assert_int_equal(world.timer, 8000);
    life_event(&world.life, EVENT_TIMER);
    life_event(&world.life, EVENT_TIMER);
    life_event(&world.life, EVENT_TIMER);
    assert_int_equal(world.signals[0], SIGTERM);
    assert_int_equal(world.signals[1], SIGKILL);
    assert_int_equal(world.signals[2], SIGKILL);
    life_event(&world.life, EVENT_EXIT);
    assert_int_equal(world.life.state, STATE_STOPPED);
    assert_int_equal(world.timer, -1);
    assert_int_equal(world.spawns, 1);
}

static void test_a_worker_that_ends_while_it_is_stopped_is_not_started_again(void **state)
{
    struct world world;
    begin_up(&world);
    life_event(&world.life, EVENT_STOP);
    life_event(&world.life, EVENT_UNABLE);
    assert_int_equal(world.life.state, STATE_STOPPED);
}

static void test_a_start_or_restart_while_stopping_starts_it_again_and_a_stop_takes_that_back(void **state)
{
    struct world world;
    begin_up(&world);
    life_event(&world.life, EVENT_STOP);
    life_event(&world.life, EVENT_START);
    life_event(&world.life, EVENT_EXIT);
    assert_int_equal(world.life.state, STATE_STARTING);
    life_event(&world.life, EVENT_READY);
    life_event(&world.life, EVENT_RESTART);
    life_event(&world.life, EVENT_STOP);
    life_event(&world.life, EVENT_EXIT);
    assert_int_equal(world.life.state, STATE_STOPPED);
}

static void test_a_kill_is_followed_by_a_restart_like_any_death(void **state)
{
    struct world world;
    begin_up(&world);
    life_event(&world.life, EVENT_KILL);
    assert_int_equal(world.signals[0], SIGKILL);
    assert_int_equal(world.life.state, STATE_IDLE);
    life_event(&world.life, EVENT_EXIT);
    assert_int_equal(world.life.state, STATE_BACKOFF);
}

static void test_a_worker_that_is_not_ready_in_time_is_killed(void **state)
{
    struct world world;
    begin(&world);
    life_event(&world.life, EVENT_START);
    assert_int_equal(world.timer, LIFE_START_MS);
    life_event(&world.life, EVENT_TIMER);
    assert_int_equal(world.signals[0], SIGKILL);
}

static void test_a_stop_before_there_is_a_process_is_done_at_once(void **state)
{
    struct world world;
    begin(&world);
    world.nothing_to_stop = true;
    life_event(&world.life, EVENT_START);
    life_event(&world.life, EVENT_STOP);
    assert_int_equal(world.life.state, STATE_STOPPED);
}

static void test_what_cannot_be_started_is_failed_and_tried_again_each_minute(void **state)
{
    struct world world;
    begin(&world);
    world.unable_to_spawn = true;
    life_event(&world.life, EVENT_START);
    assert_int_equal(world.life.state, STATE_FAILED);
    assert_int_equal(world.timer, LIFE_FAILED_MS);
    world.unable_to_spawn = false;
    life_event(&world.life, EVENT_TIMER);
    assert_int_equal(world.life.state, STATE_STARTING);
}

static void test_late_news_of_a_dead_worker_changes_nothing(void **state)
{
    static const enum life_event news[] = {EVENT_READY,   EVENT_IDLE,   EVENT_WORKING,
                                           EVENT_WAITING, EVENT_PAUSED, EVENT_HUNG};
    static const enum life_state down[] = {STATE_STOPPED, STATE_BACKOFF, STATE_HIBERNATING, STATE_FAILED};
    for (size_t i = 0; i < sizeof down / sizeof down[0]; i++)
        for (size_t k = 0; k < sizeof news / sizeof news[0]; k++) {
            struct world world;
            begin(&world);
            world.life.state = down[i];
            life_event(&world.life, news[k]);
            assert_int_equal(world.life.state, down[i]);
            assert_int_equal(world.spawns + world.stops + world.signal_count, 0);
        }
}

static void test_a_pause_is_remembered_by_one_that_is_down(void **state)
{
    struct world world;
    begin(&world);
    life_event(&world.life, EVENT_PAUSE);
    assert_true(world.life.paused);
    assert_int_equal(world.paused, -1);
    life_event(&world.life, EVENT_RESUME);
    assert_false(world.life.paused);
    begin_up(&world);
    life_event(&world.life, EVENT_PAUSE);
    assert_int_equal(world.paused, 1);
    life_event(&world.life, EVENT_PAUSED);
    assert_int_equal(world.life.state, STATE_PAUSED);
    life_event(&world.life, EVENT_RESUME);
    assert_int_equal(world.paused, 0);
}

static void test_one_that_left_for_lack_of_work_hibernates_until_there_is_some(void **state)
{
    struct world world;
    begin(&world);
    life_event(&world.life, EVENT_START);
    life_event(&world.life, EVENT_REST); /* not ready yet: no one asked the worker to */
    assert_int_equal(world.life.state, STATE_STARTING);
    life_event(&world.life, EVENT_READY);
    life_event(&world.life, EVENT_WAKE); /* the agent is awake */
    life_event(&world.life, EVENT_REST);
    assert_int_equal(world.life.state, STATE_HIBERNATING);
    assert_false(life_has_process(&world.life));
    assert_int_equal(world.spawns, 1);
    life_event(&world.life, EVENT_WAKE);
    assert_int_equal(world.life.state, STATE_STARTING);
    assert_int_equal(world.spawns, 2);
}

static void test_a_hibernating_one_obeys_orders(void **state)
{
    static const enum life_event starting[] = {EVENT_START, EVENT_RESTART, EVENT_WAKE};
    struct world world;
    for (size_t i = 0; i < sizeof starting / sizeof starting[0]; i++) {
        begin(&world);
        world.life.state = STATE_HIBERNATING;
        life_event(&world.life, starting[i]);
        assert_int_equal(world.life.state, STATE_STARTING);
    }
    begin(&world);
    world.life.state = STATE_HIBERNATING;
    life_event(&world.life, EVENT_PAUSE);
    life_event(&world.life, EVENT_KILL);
    assert_int_equal(world.life.state, STATE_HIBERNATING);
    assert_true(world.life.paused);
    life_event(&world.life, EVENT_STOP);
    assert_int_equal(world.life.state, STATE_STOPPED);
    life_event(&world.life, EVENT_WAKE); /* work does not undo a stop */
    assert_int_equal(world.life.state, STATE_STOPPED);
    assert_int_equal(world.spawns, 0);
}

/* A walk through random events: in any order of events, the life stays one of the ten, and a process is never asked for
 * while one is there. */
static void test_no_order_of_events_asks_for_a_second_process(void **state)
{
    struct world world;
    unsigned random = 12345;
    begin(&world);
    int processes = 0;
    for (int step = 0; step < 200000; step++) {
        random = random * 1103515245u + 12345u;
        enum life_event event = (enum life_event)((random >> 16) % EVENT_COUNT);
        bool ends = event == EVENT_EXIT || event == EVENT_UNABLE ||
                    (event == EVENT_REST && world.life.state == STATE_IDLE);
        if (ends && processes == 0)
            continue; /* the owner only says so of a process that was there */
        if (ends)
            processes--;
        int before = world.spawns;
        life_event(&world.life, event);
        processes += world.spawns - before;
        world.signal_count = 0;
        assert_true(world.life.state < STATE_COUNT);
        assert_true(processes == 0 || processes == 1);
        assert_int_equal(processes == 1, life_has_process(&world.life));
    }
}

static void test_every_state_has_its_name(void **state)
{
    static const char *const names[] = {"starting", "idle",    "working", "waiting",     "paused",
                                        "stopping", "stopped", "backoff", "hibernating", "failed"};
    for (int i = 0; i < STATE_COUNT; i++)
        assert_string_equal(life_state_name((enum life_state)i), names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_restart_is_at_once_then_a_tenth_of_a_second_doubling_to_a_minute),
        cmocka_unit_test(test_a_worker_that_keeps_ending_is_started_ever_more_slowly),
        cmocka_unit_test(test_a_minute_of_health_forgets_the_failures),
        cmocka_unit_test(test_a_stop_asks_then_terms_then_kills),
        cmocka_unit_test(test_a_worker_that_ends_while_it_is_stopped_is_not_started_again),
        cmocka_unit_test(test_a_start_or_restart_while_stopping_starts_it_again_and_a_stop_takes_that_back),
        cmocka_unit_test(test_a_kill_is_followed_by_a_restart_like_any_death),
        cmocka_unit_test(test_a_worker_that_is_not_ready_in_time_is_killed),
        cmocka_unit_test(test_a_stop_before_there_is_a_process_is_done_at_once),
        cmocka_unit_test(test_what_cannot_be_started_is_failed_and_tried_again_each_minute),
        cmocka_unit_test(test_late_news_of_a_dead_worker_changes_nothing),
        cmocka_unit_test(test_a_pause_is_remembered_by_one_that_is_down),
        cmocka_unit_test(test_one_that_left_for_lack_of_work_hibernates_until_there_is_some),
        cmocka_unit_test(test_a_hibernating_one_obeys_orders),
        cmocka_unit_test(test_no_order_of_events_asks_for_a_second_process),
        cmocka_unit_test(test_every_state_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
