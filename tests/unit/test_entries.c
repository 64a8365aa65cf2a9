#include <string.h>

#include "common/format/entries.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static struct entries parse(int level, const char *text)
{
    struct entries entries;
    entries_parse(&entries, level, text, strlen(text));
    return entries;
}

static void assert_prints(struct entries *entries, const char *expected)
{
    OWNED_BUFFER struct buffer out = {0};
    entries_print(entries, &out);
    assert_string_equal(out.data ? out.data : "", expected);
    entries_free(entries);
}

static void test_a_file_is_printed_as_it_was_read(void **state)
{
    const char *text =
        "# Skills\n\nKept by hand.\n\n### one\n- description: a\n\nfree text\n\n### two\n- file: x\n";
    struct entries entries = parse(3, text);
    assert_int_equal(entries.count, 2);
    assert_string_equal(entries.items[1].heading, "two");
    assert_prints(&entries, text);
}

static void test_carriage_returns_and_a_byte_order_mark_are_fine(void **state)
{
    struct entries entries = parse(2, "\xef\xbb\xbf# R\r\n\r\n## t\r\n- reward: +1\r\n");
    OWNED char *reward = entry_get(&entries.items[0], "reward");
    assert_string_equal(reward, "+1");
    assert_prints(&entries, "# R\n\n## t\n- reward: +1\n");
}

static void test_other_levels_are_no_headings(void **state)
{
    struct entries entries = parse(3, "## above\n### a\n#### deeper\n###no\n### \n");
    assert_int_equal(entries.count, 1);
    assert_prints(&entries, "## above\n\n### a\n#### deeper\n###no\n###\n");
}

static void test_a_heading_inside_a_fence_is_text(void **state)
{
    struct entries entries = parse(3, "### a\n```\n### not one\n```\n### b\n");
    assert_int_equal(entries.count, 2);
    assert_string_equal(entries.items[1].heading, "b");
    entries_free(&entries);
}

static void test_a_fence_that_is_never_closed_hides_nothing(void **state)
{
    struct entries entries = parse(3, "### a\n```python\n### b\n~~~~\n### c\n");
    assert_int_equal(entries.count, 3);
    entries_free(&entries);
}

static void test_setting_a_field_leaves_the_other_lines_alone(void **state)
{
    struct entries entries = parse(3, "### a\n- mine: stays\n- reward_evidence: 1\n\nText: too.\n");
    entry_set(&entries.items[0], "reward_evidence", "2");
    entry_set(&entries.items[0], "file", "two\nlines");
    assert_prints(&entries, "### a\n- mine: stays\n- reward_evidence: 2\n- file: two lines\n\nText: too.\n");
}

static void test_a_field_may_be_written_by_hand(void **state)
{
    struct entries entries = parse(3, "### a\n  *  Reward_Evidence :  7 \n- last_success: 2026-04-29\n");
    int64_t number = 0, seconds = 0;
    assert_true(entry_integer(&entries.items[0], "reward_evidence", &number));
    assert_int_equal(number, 7);
    assert_true(entry_time(&entries.items[0], "last_success", &seconds));
    assert_int_equal(seconds, 1777420800);
    assert_false(entry_integer(&entries.items[0], "last_success", &number));
    assert_null(entry_get(&entries.items[0], "created"));
    entries_free(&entries);
}

static void test_equal_headings_are_both_kept(void **state)
{
    struct entries entries = parse(2, "## t\n- reward: 0\n## t\n- reward: -1\n");
    assert_int_equal(entries.count, 2);
    assert_ptr_equal(entries_find(&entries, "t"), &entries.items[0]);
    entries_remove(&entries, 0);
    assert_prints(&entries, "## t\n- reward: -1\n");
}

static void test_an_appended_heading_is_one_line(void **state)
{
    struct entries entries = parse(2, "");
    entry_set(entries_append(&entries, " a\n## b "), "reward", "0");
    assert_prints(&entries, "## a ## b\n- reward: 0\n");
}

static void test_a_text_of_nothing_but_open_fences_ends_soon(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    for (int i = 0; i < 200000; i++)
        buffer_text(&text, "```a\n");
    struct entries entries = parse(3, text.data);
    assert_int_equal(entries.count, 0);
    entries_free(&entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_printed_as_it_was_read),
        cmocka_unit_test(test_carriage_returns_and_a_byte_order_mark_are_fine),
        cmocka_unit_test(test_other_levels_are_no_headings),
        cmocka_unit_test(test_a_heading_inside_a_fence_is_text),
        cmocka_unit_test(test_a_fence_that_is_never_closed_hides_nothing),
        cmocka_unit_test(test_setting_a_field_leaves_the_other_lines_alone),
        cmocka_unit_test(test_a_field_may_be_written_by_hand),
        cmocka_unit_test(test_equal_headings_are_both_kept),
        cmocka_unit_test(test_an_appended_heading_is_one_line),
        cmocka_unit_test(test_a_text_of_nothing_but_open_fences_ends_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
