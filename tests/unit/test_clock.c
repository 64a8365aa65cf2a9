/* How times are written. */
#include "common/clock.h"
#include "tests/unit/cmocka.h"

static void test_every_time_has_twenty_characters_and_reads_back_as_itself(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } table[] = {
        {0, "1970-01-01T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {1777457100, "2026-04-29T10:05:00Z"},
        {1709251199, "2024-02-29T23:59:59Z"},
        {-31760121600, "0963-07-25T00:00:00Z"},
        {-62167219200, "0000-01-01T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[CLOCK_TEXT];
        int64_t seconds;
        assert_string_equal(clock_format(table[i].seconds, text), table[i].text);
        assert_true(clock_parse(text, &seconds));
        assert_int_equal(seconds, table[i].seconds);
    }
}

static void test_seconds_out_of_the_years_are_clamped(void **state)
{
    char text[CLOCK_TEXT];
    assert_string_equal(clock_format(INT64_MIN, text), "0000-01-01T00:00:00Z");
    assert_string_equal(clock_format(INT64_MAX, text), "9999-12-31T23:59:59Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_time_has_twenty_characters_and_reads_back_as_itself),
        cmocka_unit_test(test_seconds_out_of_the_years_are_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
