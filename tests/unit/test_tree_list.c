/* A tree that was counted is not counted or looked through anew while all of its names stand as they did: every change
 * to it shows. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/agent/tree_list.h"
#include "supervisor/agent/tree_size.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

static int64_t worked;

static void in_tree(const char *commands)
{
    OWNED char *line = memory_print("cd %s && %s", scratch.path, commands);
    assert_int_equal(system(line), 0);
}

static int begin(void **state)
{
    int failed = scratch_begin(state);
    in_tree("mkdir -p .git/refs outputs && echo text > outputs/a.md && echo other > b.md && ln -s b.md link");
    return failed;
}

static struct tree_list *list_now(void)
{
    struct tree_size *size =
        tree_size_begin(openat(scratch.data, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), true);
    while (!tree_size_go(size, clock_monotonic_ms() + 1000, INT64_MAX))
        ;
    struct tree_list *list = tree_size_take_list(size);
    tree_size_free(size);
    return list ? tree_list_end(list, ++worked) : NULL;
}

/* Once nothing in the tree is so new that the kernel's times can't tell. */
static struct tree_list *settled(void)
{
    struct tree_list *list;
    while (!(list = list_now()))
        ;
    return list;
}

static void test_a_tree_that_nobody_touched_stands_as_it_did(void **state)
{
    struct tree_list *list = settled();
    for (int i = 0; i < 3; i++)
        assert_true(tree_list_holds(list, scratch.data, ++worked));
    tree_list_free(list);
}

static void test_whatever_is_done_to_it_shows(void **state)
{
    static const char *const deeds[] = {
        "echo new > c.md",
        "echo new > outputs/.hidden",
        "mkdir .git/hooks",
        "rm outputs/a.md",
        "mv b.md outputs/b.md",
        "echo more >> outputs/b.md",
        "truncate -s 1G outputs/b.md",
        "fallocate -n -l 1M outputs/b.md 2>/dev/null || echo more >> outputs/b.md",
        "printf y | dd of=outputs/b.md bs=1 conv=notrunc status=none && touch -d '2020-01-01' outputs/b.md",
        ("t=$(stat -c %y outputs/b.md) && printf z | dd of=outputs/b.md bs=1 conv=notrunc status=none && "
         "touch -d \"$t\" outputs/b.md"),
        "ln outputs/b.md second",
        "chmod 600 outputs/b.md",
        "rm link && ln -s /etc link",
        "mv outputs elsewhere && ln -s elsewhere outputs",
        "mv elsewhere there && mkdir elsewhere && mv there/* elsewhere/",
        "chmod 700 .",
    };
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        struct tree_list *list = settled();
        in_tree(deeds[i]);
        if (tree_list_holds(list, scratch.data, ++worked))
            fail_msg("unseen: %s", deeds[i]);
        tree_list_free(list);
    }
}

static void test_what_changed_just_before_is_not_listed(void **state)
{
    in_tree("echo more >> b.md");
    assert_null(list_now());
}

static void test_a_tree_whose_worker_did_nothing_is_not_asked_for(void **state)
{
    struct tree_list *list = settled();
    assert_true(tree_list_stands(list, scratch.data, worked));
    in_tree("echo more >> b.md"); /* a person's */
    assert_true(tree_list_holds(list, scratch.data, worked));
    assert_false(tree_list_stands(list, scratch.data, worked)); /* unless it is for people's sake */
    assert_false(tree_list_holds(list, scratch.data, worked + 1));
    assert_false(tree_list_holds(list, scratch.data, worked + 1));
    tree_list_free(list);
}

static void test_times_of_whole_seconds_settle_later(void **state)
{
    static const int64_t second_ns = 1000000000, now_ns = 1000 * second_ns;
    struct file_stamp stamp = {.changed_ns = now_ns - 2 * second_ns};
    assert_false(files_stamp_settled(&stamp, now_ns));
    stamp.changed_ns -= second_ns;
    assert_true(files_stamp_settled(&stamp, now_ns));
    stamp.changed_ns = now_ns - second_ns + 1; /* a file system with fractions */
    assert_true(files_stamp_settled(&stamp, now_ns));
}

static void test_a_folder_that_was_not_read_makes_no_list(void **state)
{
    for (int i = 0; i < 70; i++)
        in_tree("mkdir deep && mv .git deep/ 2>/dev/null; mv deep .git");
    struct stat status;
    do
        assert_null(list_now());
    while (fstat(scratch.data, &status) == 0 &&
           clock_kernel_ns() / 1000000 - status.st_ctim.tv_sec * 1000 < 2000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, scratch_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_tree_that_nobody_touched_stands_as_it_did),
        TEST(test_whatever_is_done_to_it_shows),
        TEST(test_what_changed_just_before_is_not_listed),
        TEST(test_a_tree_whose_worker_did_nothing_is_not_asked_for),
        TEST(test_times_of_whole_seconds_settle_later),
        TEST(test_a_folder_that_was_not_read_makes_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
