/* A tree's size is counted in slices: every name, no link, nothing of another file system. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/agent/tree_size.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

enum { NAME = 4096, MEGABYTE = 1024 * 1024 };

static void make(const char *name, off_t length)
{
    OWNED char *path = memory_print("%s/%s", scratch.path, name);
    OWNED_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, length), 0);
}

static int64_t counted(int64_t enough)
{
    struct tree_size *size = tree_size_begin(open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), false);
    while (!tree_size_go(size, clock_monotonic_ms() + 1000, enough))
        ;
    int64_t bytes = tree_size_bytes(size);
    tree_size_free(size);
    return bytes;
}

static void test_every_name_counts_at_least_4_kb_and_a_file_its_length(void **state)
{
    assert_int_equal(counted(INT64_MAX), 0);
    make("empty", 0);
    OWNED char *inner = memory_print("%s/inner", scratch.path);
    assert_int_equal(mkdir(inner, 0755), 0);
    make("inner/sparse", 10 * MEGABYTE);
    assert_int_equal(counted(INT64_MAX), 2 * NAME + 10 * MEGABYTE);
}

static void test_a_file_of_two_names_counts_once_and_a_link_not_what_it_leads_to(void **state)
{
    make("file", MEGABYTE);
    OWNED char *file = memory_print("%s/file", scratch.path), *again = memory_print("%s/again", scratch.path),
               *link_path = memory_print("%s/link", scratch.path);
    assert_int_equal(link(file, again), 0);
    assert_int_equal(symlink("/usr", link_path), 0);
    assert_int_equal(counted(INT64_MAX), MEGABYTE + NAME);
}

static void test_a_count_goes_on_where_its_slice_ended_and_ends_when_there_is_enough(void **state)
{
    for (int i = 0; i < 200; i++) {
        OWNED char *name = memory_print("file%d", i);
        make(name, 0);
    }
    struct tree_size *size = tree_size_begin(open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), false);
    unsigned slices = 1;
    while (!tree_size_go(size, 0, INT64_MAX))
        slices++;
    assert_int_equal(tree_size_bytes(size), 200 * NAME);
    assert_true(slices > 2);
    tree_size_free(size);
    assert_int_equal(counted(10 * NAME), 11 * NAME);
}

static void test_folders_too_deep_to_be_counted_count_as_without_end(void **state)
{
    int at = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int inner = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = inner;
    }
    close(at);
    assert_true(counted(INT64_MAX / 8) > INT64_MAX / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_name_counts_at_least_4_kb_and_a_file_its_length,
                                        scratch_begin, scratch_end),
        cmocka_unit_test_setup_teardown(test_a_file_of_two_names_counts_once_and_a_link_not_what_it_leads_to,
                                        scratch_begin, scratch_end),
        cmocka_unit_test_setup_teardown(
            test_a_count_goes_on_where_its_slice_ended_and_ends_when_there_is_enough, scratch_begin,
            scratch_end),
        cmocka_unit_test_setup_teardown(test_folders_too_deep_to_be_counted_count_as_without_end,
                                        scratch_begin, scratch_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
