/* Poison tasks: how often a task took its worker down outlives the worker. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "worker/queue/attempts.h"

static unsigned failed(const char *id, uint64_t hash)
{
    struct attempts *attempts = attempts_open(scratch.data, NULL);
    unsigned count = attempts_failed(attempts, id, hash);
    attempts_close(attempts);
    return count;
}

/* A worker that begins the task and is killed. */
static void die_in(const char *id, uint64_t hash)
{
    pid_t child = fork();
    if (child == 0) {
        struct attempts *attempts = attempts_open(scratch.data, NULL);
        attempts_begin(attempts, id, hash, NULL);
        attempts_begin(attempts, id, hash, NULL);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void test_each_death_in_a_task_counts_once(void **state)
{
    assert_int_equal(failed("a", 1), 0);
    for (unsigned i = 1; i <= ATTEMPTS_MAX; i++) {
        die_in("a", 1);
        assert_int_equal(failed("a", 1), i);
    }
    die_in("b", 1);
    assert_int_equal(failed("a", 1), 3);
    assert_int_equal(failed("b", 1), 1);
    assert_int_equal(failed("a", 2), 0);
}

static void test_an_attempt_under_way_is_no_failed_one(void **state)
{
    struct attempts *attempts = attempts_open(scratch.data, NULL);
    assert_true(attempts_begin(attempts, "a", 1, NULL));
    assert_int_equal(attempts_failed(attempts, "a", 1), 0);
    attempts_close(attempts);
}

static void test_an_orderly_end_forgets_and_the_file_does_not_grow(void **state)
{
    die_in("a", 1);
    struct attempts *attempts = attempts_open(scratch.data, NULL);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(attempts_begin(attempts, "t", i, NULL));
        attempts_end(attempts, "t", i);
    }
    attempts_end(attempts, "a", 1);
    attempts_end(attempts, "never begun", 1);
    attempts_close(attempts);
    assert_int_equal(failed("a", 1), 0);
    assert_true(files_stamp_at(scratch.data, ".agentos/attempts").size <= 80);
}

static void test_a_damaged_file_counts_as_empty(void **state)
{
    die_in("a", 1);
    assert_true(files_write(scratch.data, ".agentos/attempts", "rubbish\xff\n", 9, false, NULL));
    assert_int_equal(failed("a", 1), 0);
    die_in("a", 1);
    assert_int_equal(failed("a", 1), 1);
}

static void test_an_attempt_that_cannot_be_noted_is_a_fault(void **state)
{
    assert_int_equal(mkfifoat(scratch.data, ".agentos", 0644), 0);
    struct attempts *attempts = attempts_open(scratch.data, NULL);
    struct fault fault = {{0}};
    assert_false(attempts_begin(attempts, "a", 1, &fault));
    assert_non_null(strstr(fault.text, "attempt"));
    attempts_close(attempts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
        TEST(test_each_death_in_a_task_counts_once),
        TEST(test_an_attempt_under_way_is_no_failed_one),
        TEST(test_an_orderly_end_forgets_and_the_file_does_not_grow),
        TEST(test_a_damaged_file_counts_as_empty),
        TEST(test_an_attempt_that_cannot_be_noted_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
