/* common/frontmatter: Markdown with YAML in front. */
#include <string.h>

#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static void assert_parts(const char *text, const char *key, const char *value, const char *body)
{
    struct frontmatter matter;
    struct fault fault;
    if (!frontmatter_parse(&matter, text, strlen(text), "persona.md", &fault))
        fail_msg("%s", fault.text);
    if (value)
        assert_string_equal(frontmatter_text(&matter, key), value);
    else
        assert_null(frontmatter_text(&matter, key));
    assert_int_equal(matter.body_length, strlen(body));
    assert_memory_equal(matter.body, body, matter.body_length);
    frontmatter_free(&matter);
}

static void assert_fault(const char *text, size_t length, const char *expected)
{
    struct frontmatter matter;
    struct fault fault;
    assert_false(frontmatter_parse(&matter, text, length, "persona.md", &fault));
    if (strncmp(fault.text, expected, strlen(expected)) != 0)
        fail_msg("the sentence is: %s", fault.text);
}

static void test_head_and_body_are_told_apart_however_the_file_was_saved(void **state)
{
    assert_parts("---\nname: orion\n---\nBody\n", "name", "orion", "Body\n");
    assert_parts("\xef\xbb\xbf---\r\nname: orion\r\n---\r\nBody\r\n", "name", "orion", "Body\r\n");
    assert_parts("--- \nname: orion\n---\t\nBody", "name", "orion", "Body");
    assert_parts("---\nname: orion\n---", "name", "orion", "");
    assert_parts("---\n---\nBody", "name", NULL, "Body");
    assert_parts("---\nname:\n---\n", "name", NULL, "");
    assert_parts("---\nname: [a]\n---\n", "name", NULL, "");
}

static void test_a_file_without_front_matter_is_all_body(void **state)
{
    assert_parts("", "name", NULL, "");
    assert_parts("# Orion\n---\nx\n", "name", NULL, "# Orion\n---\nx\n");
    assert_parts("----\nx\n", "name", NULL, "----\nx\n");
    assert_parts("--- x\n", "name", NULL, "--- x\n");
}

static void test_a_rule_or_a_second_head_in_the_body_stays_body(void **state)
{
    assert_parts("---\na: b\n---\n---\nc: d\n---\n", "a", "b", "---\nc: d\n---\n");
    assert_parts("---\na: 'x --- y'\n---\nz", "a", "x --- y", "z");
}

static void test_faults_count_lines_from_the_files_beginning(void **state)
{
    const char *wrong = "---\nname: orion\ntone: a: b\n---\n";
    assert_fault(wrong, strlen(wrong), "persona.md:3:8: mapping values are not allowed");
    assert_fault("---\n- a\n---\n", 12, "persona.md:2:1: the front matter must be lines of 'key: value'");
}

static void test_a_head_that_does_not_end_is_a_fault_and_costs_no_more_than_its_cap(void **state)
{
    assert_fault("---\nname: orion\n", 16,
                 "persona.md:1:1: the front matter that starts here has no closing '---'");
    size_t length = 1 << 20;
    OWNED char *endless = memory_new(length, 1);
    memset(endless, '\n', length);
    memcpy(endless, "---", 3);
    memcpy(endless + 70000, "---", 3);
    assert_fault(endless, length,
                 "persona.md:1:1: the front matter that starts here has no closing '---' within 64 KiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_and_body_are_told_apart_however_the_file_was_saved),
        cmocka_unit_test(test_a_file_without_front_matter_is_all_body),
        cmocka_unit_test(test_a_rule_or_a_second_head_in_the_body_stays_body),
        cmocka_unit_test(test_faults_count_lines_from_the_files_beginning),
        cmocka_unit_test(test_a_head_that_does_not_end_is_a_fault_and_costs_no_more_than_its_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
