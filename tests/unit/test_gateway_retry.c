/* supervisor/gateway/retry: when to ask again. */
#include "supervisor/gateway/retry.h"
#include "supervisor/gateway/webhooks.h"
#include "tests/unit/cmocka.h"

enum { NOW = 1777457100 }; /* Wed, 29 Apr 2026 10:05:00 GMT */

static const struct {
    const char *seconds, *milliseconds;
    int64_t wait;
} cases[] = {
    {NULL, NULL, -1},
    {"0", NULL, 0},
    {"7", NULL, 7000},
    {" 1.5 ", NULL, 1500},
    {"60", NULL, 60000},
    {"61", NULL, 60000},
    {"99999999999999999999999999", NULL, 60000},
    {"-1", NULL, -1},
    {"", NULL, -1},
    {"soon", NULL, -1},
    {"nan", NULL, -1},
    {"inf", NULL, -1},
    {"0x10", NULL, -1},
    {"1e3", NULL, -1},
    {"12 apples", NULL, 12000},
    {"12apples", NULL, -1},
    {"Wed, 29 Apr 2026 10:05:10 GMT", NULL, 10000},
    {"Wednesday, 29-Apr-26 10:05:10 GMT", NULL, 10000},
    {"Wed Apr 29 10:05:10 2026", NULL, 10000},
    {"Wed, 29 Apr 2026 12:05:10 GMT", NULL, 60000},
    {"Wed, 29 Apr 2026 10:04:00 GMT", NULL, -1},
    {"Thu, 01 Jan 1970 00:00:00 GMT", NULL, -1},
    {"Wed, 99 Apr 2026 99:99:99 GMT", NULL, -1},
    {"5", "250", 250},
    {"5", "nonsense", 5000},
    {NULL, "120000", 60000},
};

static void test_retry_after_is_read_in_every_form_and_clamped(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t wait = retry_after(cases[i].seconds, cases[i].milliseconds, NOW, RETRY_MOST_MS);
        if (wait != cases[i].wait)
            fail_msg("'%s', '%s': %jd", cases[i].seconds ? cases[i].seconds : "-",
                     cases[i].milliseconds ? cases[i].milliseconds : "-", (intmax_t)wait);
    }
}

static void test_retry_after_of_a_hook_may_be_longer_than_a_providers(void **state)
{
    assert_int_equal(retry_after("3600", NULL, NOW, WEBHOOK_PAUSE_MOST_MS), 3600 * 1000);
    assert_int_equal(retry_after("Wed, 29 Apr 2026 12:05:10 GMT", NULL, NOW, WEBHOOK_PAUSE_MOST_MS),
                     7210 * 1000);
    assert_int_equal(retry_after("9999999", NULL, NOW, WEBHOOK_PAUSE_MOST_MS), WEBHOOK_PAUSE_MOST_MS);
}

static void test_backoff_doubles_has_full_jitter_and_ends_at_a_minute(void **state)
{
    assert_int_equal(retry_backoff(0, 0), 0);
    assert_in_range(retry_backoff(0, UINT32_MAX), 499, 500);
    assert_in_range(retry_backoff(1, UINT32_MAX / 2), 499, 500);
    assert_in_range(retry_backoff(3, UINT32_MAX), 3999, 4000);
    for (unsigned attempt = 7; attempt < 200; attempt++)
        assert_in_range(retry_backoff(attempt, UINT32_MAX), 59999, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after_is_read_in_every_form_and_clamped),
        cmocka_unit_test(test_retry_after_of_a_hook_may_be_longer_than_a_providers),
        cmocka_unit_test(test_backoff_doubles_has_full_jitter_and_ends_at_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
