/* The supervisor's loop under the test clock that skips every wait: weeks of timers in milliseconds. */
#include "common/clock.h"
#include "common/format/cron.h"
#include "common/test_clock.h"
#include "supervisor/agent/lifecycle.h"
#include "supervisor/process/backoff.h"
#include "supervisor/process/loop.h"
#include "tests/unit/cmocka.h"

enum { MINUTE_MS = 60 * 1000, DAY_S = 86400 };

static struct loop *loop;

static int begin(void **state)
{
    loop = loop_new();
    test_clock_skip_waits(true);
    return loop ? 0 : -1;
}

static int end(void **state)
{
    test_clock_skip_waits(false);
    loop_free(loop);
    return 0;
}

static void set_wall(const char *text)
{
    int64_t at;
    assert_true(clock_parse(text, &at));
    test_clock_move(at * 1000 - clock_now_ms(), 0);
}

/* --- a worker that ends as soon as it is up, or lives for a while --- */

struct patient {
    struct life life;
    struct timer timer, death;
    int64_t lives_ms, began, pauses[32];
    size_t count;
};

static void rings(void *context)
{
    life_event(&((struct patient *)context)->life, EVENT_TIMER);
}

static void dies(void *context)
{
    life_event(&((struct patient *)context)->life, EVENT_EXIT);
}

static void spawn(void *context)
{
    struct patient *patient = context;
    timer_set(loop, &patient->death, patient->lives_ms);
}

static void set_timer(void *context, int64_t in_ms)
{
    struct patient *patient = context;
    if (in_ms < 0)
        timer_clear(loop, &patient->timer);
    else
        timer_set(loop, &patient->timer, in_ms);
}

static void changed(void *context, enum life_state before)
{
    struct patient *patient = context;
    if (patient->life.state == STATE_BACKOFF)
        patient->began = clock_monotonic_ms();
    if (patient->life.state == STATE_STARTING && patient->began && patient->count < 32)
        patient->pauses[patient->count++] = clock_monotonic_ms() - patient->began;
}

static void ask_stop(void *context, int64_t grace_ms)
{
}

static void ask_pause(void *context, bool pause)
{
}

static void send_signal(void *context, int signal)
{
}

static const struct life_operations operations = {.spawn = spawn,
                                                  .ask_stop = ask_stop,
                                                  .ask_pause = ask_pause,
                                                  .signal = send_signal,
                                                  .timer = set_timer,
                                                  .changed = changed};

static void turns_until_pauses(struct patient *patient, size_t count)
{
    for (int turns = 0; patient->count < count; turns++) {
        assert_true(turns < 10000);
        if (patient->life.state == STATE_STARTING)
            life_event(&patient->life, EVENT_READY);
        loop_turn(loop, -1);
    }
}

static void test_restarts_slow_down_to_a_minute_and_a_minute_of_health_is_forgotten(void **state)
{
    struct patient patient = {.lives_ms = 1000};
    patient.timer = (struct timer){.ring = rings, .context = &patient};
    patient.death = (struct timer){.ring = dies, .context = &patient};
    life_begin(&patient.life, &operations, &patient, 8000);
    life_event(&patient.life, EVENT_START);
    turns_until_pauses(&patient, 16);
    assert_in_range(patient.pauses[0], 0, 50);
    for (unsigned i = 1; i < 16; i++) {
        int64_t whole = backoff_ms(i);
        assert_in_range(patient.pauses[i], whole * 6 / 10, whole + 50);
    }
    assert_in_range(patient.pauses[15], 36 * 1000, MINUTE_MS + 50);
    patient.lives_ms = BACKOFF_HEALTHY_MS + 1000;
    turns_until_pauses(&patient, 18);
    assert_in_range(patient.pauses[17], 0, 50);
    timer_clear(loop, &patient.timer);
    timer_clear(loop, &patient.death);
}

/* --- cron: as the schedule does, a timer to the next time by the wall clock --- */

struct cron_run {
    struct cron cron;
    struct timer timer;
    int64_t next;
    int given;
    char last[CLOCK_TEXT];
};

static void wait_for_next(struct cron_run *run)
{
    timer_set(loop, &run->timer, run->next * 1000 - clock_now_ms());
}

static void cron_rings(void *context)
{
    struct cron_run *run = context;
    if (run->next <= clock_now()) {
        assert_in_range(clock_now() - run->next, 0, 1); /* in its minute, not in a minute that is over */
        run->given++;
        clock_format(run->next, run->last);
        run->next = cron_next(&run->cron, run->next);
    }
    wait_for_next(run);
}

static void turns_until(const char *text)
{
    int64_t at;
    assert_true(clock_parse(text, &at));
    for (int64_t left; (left = at * 1000 - clock_now_ms()) > 0;)
        loop_turn(loop, left < DAY_S * 1000 ? (int)left : DAY_S * 1000);
}

static void test_four_weeks_of_every_minute_have_each_minute_once(void **state)
{
    struct cron_run run = {.timer = {.ring = cron_rings, .context = &run}};
    set_wall("2028-02-14T00:00:30Z");
    assert_true(cron_parse(&run.cron, "* * * * *", NULL));
    run.next = cron_next(&run.cron, clock_now());
    wait_for_next(&run);
    turns_until("2028-03-13T00:00:30Z");
    timer_clear(loop, &run.timer);
    assert_int_equal(run.given, 28 * DAY_S / 60);
}

static void test_the_last_days_of_months_come_where_the_calendar_has_them(void **state)
{
    static const struct {
        const char *line, *from, *until, *last;
        int given;
    } cases[] = {
        {"0 7 31 * *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026-12-31T07:00:00Z", 7},
        {"0 7 30 * *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026-12-30T07:00:00Z", 11},
        {"0 0 29 2 *", "2025-01-01T00:00:00Z", "2033-01-01T00:00:00Z", "2032-02-29T00:00:00Z", 2},
        {"59 23 28 2 *", "2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z", "2028-02-28T23:59:00Z", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cron_run run = {.timer = {.ring = cron_rings, .context = &run}};
        set_wall(cases[i].from);
        assert_true(cron_parse(&run.cron, cases[i].line, NULL));
        run.next = cron_next(&run.cron, clock_now());
        wait_for_next(&run);
        turns_until(cases[i].until);
        assert_int_equal(run.given, cases[i].given);
        assert_string_equal(run.last, cases[i].last);
        timer_clear(loop, &run.timer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_restarts_slow_down_to_a_minute_and_a_minute_of_health_is_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(test_four_weeks_of_every_minute_have_each_minute_once, begin, end),
        cmocka_unit_test_setup_teardown(test_the_last_days_of_months_come_where_the_calendar_has_them, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
