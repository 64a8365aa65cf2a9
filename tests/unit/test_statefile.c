#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/memory/statefile.h"

static char folder[64];
static int tree;
static struct statefile file;

static int start(void **state)
{
    strcpy(folder, "/tmp/agentos-statefile-XXXXXX");
    assert_non_null(mkdtemp(folder));
    tree = files_open_path(folder, NULL);
    file = (struct statefile){.path = "goals.md"};
    return 0;
}

static int end(void **state)
{
    statefile_free(&file);
    close(tree);
    OWNED char *command = memory_print("chmod u+w %s && rm -rf %s", folder, folder);
    return system(command);
}

static void put(const char *text)
{
    OWNED_FD int fd = files_open(tree, file.path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(files_write_all(fd, text, strlen(text)));
}

static void propose(const char *text)
{
    OWNED_BUFFER struct buffer buffer = {0};
    buffer_text(&buffer, text);
    assert_true(statefile_propose(&file, &buffer));
}

static void test_a_change_is_seen_once(void **state)
{
    put("one");
    assert_int_equal(statefile_look(&file, tree), STATEFILE_CHANGED);
    assert_string_equal(file.known, "one");
    assert_int_equal(statefile_look(&file, tree), STATEFILE_SAME);
    put("two");
    assert_int_equal(statefile_look(&file, tree), STATEFILE_CHANGED);
    unlinkat(tree, file.path, 0);
    assert_int_equal(statefile_look(&file, tree), STATEFILE_CHANGED);
    assert_string_equal(file.known, "");
}

/* Time stamps step by the kernel's tick: here somebody saves within the step of our own commit. */
static void test_a_save_that_no_stamp_can_tell_from_ours_is_seen(void **state)
{
    propose("ours");
    put("ours");
    statefile_kept(&file, tree);
    put("them");
    file.stamp = files_stamp_at(tree, file.path);
    assert_int_equal(statefile_look(&file, tree), STATEFILE_CHANGED);
    assert_string_equal(file.known, "them");
}

/* The same for a caller that has only a prompt to write; a caller that writes the file looks. */
static void test_a_glance_takes_our_own_stamp_for_our_text_and_no_other(void **state)
{
    propose("ours");
    put("ours");
    statefile_kept(&file, tree);
    assert_int_equal(statefile_glance(&file, tree), STATEFILE_SAME);
    put("theirs");
    assert_int_equal(statefile_glance(&file, tree), STATEFILE_CHANGED);
    assert_string_equal(file.known, "theirs");
}

static void test_the_text_of_a_commit_serves_while_its_stamp_stands_and_no_longer(void **state)
{
    size_t length = 0;
    bool sure = false;
    put("a person's");
    propose("ours"); /* a person saved between the commit's rename and the look at its stamp */
    statefile_kept(&file, tree);
    struct file_stamp now = files_stamp_at(tree, file.path), other = now;
    const char *text;
    while ((text = statefile_text(&file, &now, &length, &sure)) !=
           NULL) { /* for a moment only, and said so */
        assert_false(sure);
        assert_int_equal(length, strlen("ours"));
    }
    assert_int_equal(statefile_look(&file, tree), STATEFILE_CHANGED);
    text = statefile_text(&file, &now, &length, &sure);
    assert_string_equal(text, "a person's");
    assert_true(sure);
    other.changed_ns++;
    assert_null(statefile_text(&file, &other, &length, &sure));
    assert_null(statefile_text(&file, &(struct file_stamp){0}, &length, &sure));
}

static void test_what_stands_there_already_is_not_written(void **state)
{
    OWNED_BUFFER struct buffer same = {0};
    put("same");
    statefile_look(&file, tree);
    buffer_text(&same, "same");
    assert_false(statefile_propose(&file, &same));
}

static void test_after_forgetting_the_file_counts_again(void **state)
{
    put("disk");
    statefile_look(&file, tree);
    propose("not committed");
    statefile_forget(&file);
    assert_int_equal(statefile_look(&file, tree), STATEFILE_CHANGED);
    assert_string_equal(file.known, "disk");
}

static void test_what_is_set_aside_is_never_lost_and_known_things_stay(void **state)
{
    put("known");
    statefile_look(&file, tree);
    unlinkat(tree, file.path, 0);
    assert_int_equal(mkdirat(tree, file.path, 0755), 0);
    assert_int_equal(statefile_look(&file, tree), STATEFILE_SALVAGED);
    assert_string_equal(file.known, "known");
    statefile_mend(&file, tree, file.known, file.known_length);
    assert_int_equal(statefile_look(&file, tree), STATEFILE_SAME);
    OWNED_BUFFER struct buffer problems = {0};
    statefile_report_aside(tree, &problems);
    assert_non_null(strstr(problems.data, "goals.md.unreadable-"));
}

static void test_two_in_one_second_are_both_kept(void **state)
{
    for (int i = 0; i < 2; i++) {
        put("\xff");
        assert_int_equal(statefile_look(&file, tree), STATEFILE_SALVAGED);
        statefile_mend(&file, tree, "good", 4);
    }
    OWNED char *command = memory_print("test $(ls %s | grep -c unreadable) = 2", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_a_change_is_seen_once),
        T(test_a_save_that_no_stamp_can_tell_from_ours_is_seen),
        T(test_a_glance_takes_our_own_stamp_for_our_text_and_no_other),
        T(test_the_text_of_a_commit_serves_while_its_stamp_stands_and_no_longer),
        T(test_what_stands_there_already_is_not_written),
        T(test_after_forgetting_the_file_counts_again),
        T(test_what_is_set_aside_is_never_lost_and_known_things_stay),
        T(test_two_in_one_second_are_both_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
