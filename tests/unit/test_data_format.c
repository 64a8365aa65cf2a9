/* A data directory says its format: an older one is taken up once, a newer one is left alone (contract section 14). */
#include <string.h>
#include <sys/stat.h>

#include "common/files.h"
#include "common/format/data_format.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

static void write_file(const char *text)
{
    assert_true(files_write(scratch.data, DATA_FORMAT_FILE, text, strlen(text), false, NULL));
}

static void assert_file(const char *expected)
{
    size_t length;
    OWNED char *text = NULL;
    assert_int_equal(files_read(scratch.data, DATA_FORMAT_FILE, 100, &text, &length, NULL, NULL), 1);
    assert_string_equal(text, expected);
}

/* So many lines were told. */
static size_t forward(int expected)
{
    struct fault fault;
    OWNED_BUFFER struct buffer changes = {0};
    size_t lines = 0;
    assert_int_equal(data_format_bring_forward(scratch.data, &changes, &fault), expected);
    for (size_t i = 0; i < changes.length; i++)
        lines += changes.data[i] == '\n';
    return lines;
}

static void test_a_new_directory_gets_the_format_and_nothing_is_told(void **state)
{
    assert_int_equal(forward(1), 0);
    assert_file("format: 2\n");
    assert_int_equal(forward(1), 0);
}

static void test_an_older_directory_is_taken_up_and_its_changes_are_told_once(void **state)
{
    struct fault fault;
    assert_int_equal(mkdirat(scratch.data, "agents", 0755), 0);
    assert_true(data_format_is_known(scratch.data, &fault));
    assert_int_equal(forward(1), 3);
    assert_int_equal(forward(1), 0);
    write_file("format: 1\n");
    assert_int_equal(forward(1), 3);
    assert_file("format: 2\n");
}

static void test_a_newer_or_unknown_format_is_refused_and_left_as_it_is(void **state)
{
    static const char *const texts[] = {"format: 3\n", "format: 999999999\nmore\n", "format: 0\n", "", "2\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fault fault;
        write_file(texts[i]);
        assert_false(data_format_is_known(scratch.data, &fault));
        assert_non_null(strstr(fault.text, "nothing is touched"));
        assert_int_equal(forward(-1), 0);
        assert_file(texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_new_directory_gets_the_format_and_nothing_is_told,
                                        scratch_begin, scratch_end),
        cmocka_unit_test_setup_teardown(test_an_older_directory_is_taken_up_and_its_changes_are_told_once,
                                        scratch_begin, scratch_end),
        cmocka_unit_test_setup_teardown(test_a_newer_or_unknown_format_is_refused_and_left_as_it_is,
                                        scratch_begin, scratch_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
