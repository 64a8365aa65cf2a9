/* The form of a cron line, and the times that it means. */
#include <string.h>

#include "common/clock.h"
#include "common/format/cron.h"
#include "tests/unit/cmocka.h"

static int64_t at(const char *time)
{
    int64_t seconds;
    assert_true(clock_parse(time, &seconds));
    return seconds;
}

static struct cron line_of(const char *line)
{
    struct cron cron;
    struct fault fault;
    if (!cron_parse(&cron, line, &fault))
        fail_msg("%s", fault.text);
    return cron;
}

/* After a time comes the next one, and it is also the latest until then. */
static void assert_next(const char *line, const char *after, const char *next)
{
    char text[CLOCK_TEXT];
    int64_t latest;
    struct cron cron = line_of(line);
    int64_t found = cron_next(&cron, at(after));
    if (found != at(next))
        fail_msg("%s after %s is %s, not %s", line, after, next, clock_format(found, text));
    assert_true(cron_latest(&cron, at(after), found, &latest));
    assert_int_equal(latest, found);
    assert_false(cron_latest(&cron, at(after), found - 1, &latest));
}

static void test_the_next_time_is_found(void **state)
{
    assert_next("* * * * *", "2026-04-29T10:05:00Z", "2026-04-29T10:06:00Z");
    assert_next("* * * * *", "2026-04-29T10:05:59Z", "2026-04-29T10:06:00Z");
    assert_next("0 7 * * 1-5", "2026-05-01T07:00:00Z", "2026-05-04T07:00:00Z");
    assert_next("0 7 * * 1-5", "2026-05-01T06:59:59Z", "2026-05-01T07:00:00Z");
    assert_next("*/15 * * * *", "2026-12-31T23:46:00Z", "2027-01-01T00:00:00Z");
    assert_next("@monthly", "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z");
    assert_next("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_next("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
    assert_next("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
    assert_next("30 12 31 * *", "2026-08-31T12:30:00Z", "2026-10-31T12:30:00Z");
    assert_next("0 0 * * sun", "2026-04-29T00:00:00Z", "2026-05-03T00:00:00Z");
    assert_next("0 0 * * 7", "2026-04-29T00:00:00Z", "2026-05-03T00:00:00Z");
    assert_next("0 0 1 1 *", "1969-06-01T00:00:00Z", "1970-01-01T00:00:00Z");
    assert_next("0 0 1 1 *", "1960-06-01T00:00:00Z", "1961-01-01T00:00:00Z");
}

static void test_a_day_and_a_weekday_are_either_unless_one_begins_with_a_star(void **state)
{
    assert_next("0 0 13 * 5", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z");
    assert_next("0 0 13 * 5", "2026-04-10T00:00:00Z", "2026-04-13T00:00:00Z");
    assert_next("0 0 */2 * 1", "2026-04-29T00:00:00Z", "2026-05-11T00:00:00Z");
}

static void test_the_latest_of_many_is_found(void **state)
{
    int64_t latest;
    struct cron cron = line_of("0 7 * * 1-5");
    assert_true(cron_latest(&cron, at("2019-01-01T00:00:00Z"), at("2026-05-03T12:00:00Z"), &latest));
    assert_int_equal(latest, at("2026-05-01T07:00:00Z"));
    assert_false(cron_latest(&cron, at("2026-05-01T07:00:00Z"), at("2026-05-03T12:00:00Z"), &latest));
    assert_false(cron_latest(&cron, at("2026-05-01T07:00:00Z"), at("2020-01-01T00:00:00Z"), &latest));
}

static bool means(const struct cron *cron, int64_t time)
{
    return cron_next(cron, time - 1) == time;
}

static void test_going_from_one_to_the_next_leaves_none_out(void **state)
{
    static const char *const lines[] = {"7,37 */5 * * *", "0 0 13 * 5", "59 23 28-31 2,4 *",
                                        "*/40 22-23 * jan sat,sun"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct cron cron = line_of(lines[i]);
        int64_t end = at("2026-03-01T00:00:00Z"), next = cron_next(&cron, at("2026-01-01T00:00:00Z") - 1);
        for (int64_t time = at("2026-01-01T00:00:00Z"); time < end; time += 60) {
            assert_int_equal(means(&cron, time), time == next);
            if (time == next)
                next = cron_next(&cron, time);
        }
    }
}

static void test_cron_lines_mean_what_cron_means(void **state)
{
    struct cron cron;
    assert_true(cron_parse(&cron, "0 7 * * 1-5", NULL));
    assert_true(cron.minutes == 1 && cron.hours == 1 << 7 && cron.weekdays == 0x3e && cron.every_day);
    assert_true(cron_parse(&cron, "*/15 9-17/4 1,15 jan-MAR,dec sun", NULL));
    assert_true(cron.minutes == (1ULL << 0 | 1ULL << 15 | 1ULL << 30 | 1ULL << 45));
    assert_true(cron.hours == (1 << 9 | 1 << 13 | 1 << 17) && cron.days == (1 << 1 | 1 << 15));
    assert_true(cron.months == (0xe | 1 << 12) && cron.weekdays == 1 && !cron.every_weekday);
    assert_true(cron_parse(&cron, "  0\t0  * * 5-7 ", NULL) && cron.weekdays == (1 << 5 | 1 << 6 | 1));
    assert_true(cron_parse(&cron, "@Weekly", NULL) && cron.weekdays == 1 && cron.hours == 1);
    assert_true(cron_parse(&cron, "0 0 29 2 *", NULL));
    assert_true(cron_parse(&cron, "0 0 30 2 1", NULL));
}

static void test_what_is_no_cron_line_says_which_field(void **state)
{
    static const char *const cases[][2] = {
        {"", "fewer than five fields"},
        {"* * * *", "fewer than five"},
        {"* * * * * *", "more than five"},
        {"60 * * * *", "'60' is no minute (0 to 59)"},
        {"* 24 * * *", "'24' is no hour"},
        {"* * 0 * *", "no day of month"},
        {"* * 32 * *", "no day of month"},
        {"* * * 13 *", "no month (1 to 12, or a name such as feb)"},
        {"* * * 0 *", "no month"},
        {"* * * * 8", "no day of week"},
        {"* * * * monday", "no day of week"},
        {"5-1 * * * *", "no minute"},
        {"*/0 * * * *", "no minute"},
        {"5/15 * * * *", "no minute"},
        {"1, * * * *", "no minute"},
        {"1,,2 * * * *", "no minute"},
        {"-1 * * * *", "no minute"},
        {"1- * * * *", "no minute"},
        {"** * * * *", "no minute"},
        {"*/ * * * *", "no minute"},
        {"99999999999 * * * *", "no minute"},
        {"? * * * *", "no minute"},
        {"0 0 30 2 *", "a day that no month has"},
        {"0 0 31 4,6 *", "a day that no month has"},
        {"@reboot", "none of @hourly"},
        {"@dailyy", "none of @hourly"},
        {"@daily x", "none of @hourly"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cron cron;
        struct fault fault = {0};
        if (cron_parse(&cron, cases[i][0], &fault) || !strstr(fault.text, cases[i][1]))
            fail_msg("'%s' gives: %s", cases[i][0], fault.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cron_lines_mean_what_cron_means),
        cmocka_unit_test(test_what_is_no_cron_line_says_which_field),
        cmocka_unit_test(test_the_next_time_is_found),
        cmocka_unit_test(test_a_day_and_a_weekday_are_either_unless_one_begins_with_a_star),
        cmocka_unit_test(test_the_latest_of_many_is_found),
        cmocka_unit_test(test_going_from_one_to_the_next_leaves_none_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
