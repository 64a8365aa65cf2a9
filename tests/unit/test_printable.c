#include "common/memory.h"
#include "common/printable.h"
#include "tests/unit/cmocka.h"

static void assert_text(const char *text, size_t length, bool lines, const char *expected)
{
    OWNED char *clean = printable_text(text, length, lines);
    assert_string_equal(clean, expected);
}

static void test_nothing_that_steers_a_terminal_or_turns_the_writing_is_left_in_a_text(void **state)
{
    assert_text("\x1b]0;owned\x07", 10, false, "?]0;owned?");
    assert_text("a\xc2\x9b"
                "31mb\xc2\x80\xc2\x9f\x7f",
                12, true, "a?31mb???");
    assert_text("\xe2\x80\xaa\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", 20, true,
                "???????");
    assert_text("a\xe2\x80\xa8\xe2\x80\xa9", 7, true, "a??");
    assert_text("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x99 \xc2\xa0", 17, true,
                "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x99 \xc2\xa0");
    assert_text("a\0b", 3, true, "a?b");
}

static void test_bytes_that_are_no_utf8_are_replaced_one_by_one(void **state)
{
    assert_text("a\x9b\xff"
                "b\xc3",
                5, true,
                "a\xef\xbf\xbd\xef\xbf\xbd"
                "b\xef\xbf\xbd");
}

static void test_line_ends_stay_where_lines_are_wanted_and_a_lone_return_does_not(void **state)
{
    assert_text("a\r\nb\tc\rd\n", 9, true, "a\nb\tc?d\n");
    assert_text("a\nb\tc\rd", 7, false, "a b c d");
}

static void test_json_says_the_same_in_escapes(void **state)
{
    OWNED char *clean = printable_json("{\n  \"a\": \"\xc2\x9b"
                                       "31m\xe2\x80\xae\x7f\xc3\xa9\"\n}");
    assert_string_equal(clean, "{\n  \"a\": \"\\u009b31m\\u202e\\u007f\xc3\xa9\"\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_that_steers_a_terminal_or_turns_the_writing_is_left_in_a_text),
        cmocka_unit_test(test_bytes_that_are_no_utf8_are_replaced_one_by_one),
        cmocka_unit_test(test_line_ends_stay_where_lines_are_wanted_and_a_lone_return_does_not),
        cmocka_unit_test(test_json_says_the_same_in_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
