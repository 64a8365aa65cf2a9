/* The machine's limits: threads that can't be had, limits that are too low, locks that another process holds. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/capacity.h"
#include "common/held.h"
#include "common/memory.h"
#include "common/threads.h"
#include "tests/unit/cmocka.h"

static void limit(__rlimit_resource_t resource, rlim_t most)
{
    assert_int_equal(setrlimit(resource, &(struct rlimit){most, most}), 0);
}

static void become_somebody_with(rlim_t processes)
{
    enum { NOBODY = 65533 };
    if (geteuid() == 0)
        assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
    limit(RLIMIT_NPROC, processes);
}

static void test_threads_that_cannot_be_had_are_a_sentence_that_names_the_limits(void **state)
{
    struct fault fault;
    assert_true(threads_for_nng(NULL));
    pid_t child = fork();
    if (child == 0) {
        become_somebody_with(4);
        bool had = threads_for_nng(&fault);
        _exit(!had && strstr(fault.text, "RLIMIT_NPROC") && strstr(fault.text, "pids.max") ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(threads_for_nng(NULL));
}

static bool ample_with(rlim_t processes)
{
    bool ample = false;
    pid_t child = fork();
    if (child == 0) {
        become_somebody_with(processes);
        _exit(capacity_for_worker(1, 0, &ample, NULL) ? ample : 2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status);
}

static void test_a_worker_tries_for_its_threads_where_few_are_left(void **state)
{
    if (geteuid() != 0)
        skip(); /* this user's own processes count, too */
    assert_false(ample_with(100));
    assert_true(ample_with(10 * 1000));
}

static void *wait_for_byte(void *pipe)
{
    char byte;
    return read(*(int *)pipe, &byte, 1) == 1 ? pipe : NULL;
}

static void test_a_threads_name_is_not_looked_up_below_proc_by_another_thread(void **state)
{
    char name[16] = "", own[16] = "";
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_byte, &ends[0]), 0);
    assert_int_equal(pthread_setname_np(thread, "another"), 0);
    assert_int_equal(pthread_getname_np(thread, name, sizeof name), 0);
    assert_string_not_equal(name, "another");
    assert_int_equal(pthread_setname_np(pthread_self(), "itself"), 0);
    assert_int_equal(pthread_getname_np(pthread_self(), own, sizeof own), 0);
    assert_string_equal(own, "itself");
    assert_int_equal(write(ends[1], "x", 1), 1);
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
}

static const struct capacity *find(const struct capacity *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].limit, name) == 0)
            return &list[i];
    fail();
    return NULL;
}

static void test_each_limit_is_compared_and_the_number_that_would_do_does(void **state)
{
    static const char *const names[] = {"RLIMIT_NOFILE",
                                        "RLIMIT_NPROC",
                                        "pids.max",
                                        "kernel.pid_max",
                                        "kernel.threads-max",
                                        "fs.inotify.max_user_watches",
                                        "fs.inotify.max_user_instances"};
    struct capacity list[CAPACITY_LIMITS];
    struct rlimit before;
    size_t count = capacity_list(1000, 1000, 0, list);
    assert_int_equal(count, sizeof names / sizeof *names);
    for (size_t i = 0; i < count; i++)
        find(list, count, names[i]);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    rlim_t would_do = (rlim_t)find(list, count, "RLIMIT_NOFILE")->would_do;
    pid_t child = fork();
    if (child == 0) {
        limit(RLIMIT_NOFILE, would_do);
        capacity_list(1000, 1000, 0, list);
        OWNED char *enough = capacity_lack(find(list, count, "RLIMIT_NOFILE"));
        limit(RLIMIT_NOFILE, would_do - 1);
        capacity_list(1000, 1000, 0, list);
        OWNED char *lacks = capacity_lack(find(list, count, "RLIMIT_NOFILE"));
        OWNED char *number = memory_print("%llu would do for all 1000 agent(s), and 999 of them fit",
                                          (unsigned long long)would_do);
        _exit(!enough && lacks && strstr(lacks, number) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_agents_that_hibernate_need_a_watch_and_nothing_else(void **state)
{
    struct capacity few[CAPACITY_LIMITS], many[CAPACITY_LIMITS];
    size_t count = capacity_list(256, 256, 0, few);
    capacity_list(10000, 256, 0, many);
    assert_int_equal(find(many, count, "RLIMIT_NOFILE")->would_do,
                     find(few, count, "RLIMIT_NOFILE")->would_do);
    assert_int_equal(find(many, count, "fs.inotify.max_user_watches")->would_do,
                     find(few, count, "fs.inotify.max_user_watches")->would_do + 10000 - 256);
    struct capacity lacking = *find(many, count, "RLIMIT_NOFILE");
    lacking.most = lacking.would_do - 1;
    OWNED char *sentence = capacity_lack(&lacking);
    assert_non_null(strstr(sentence, " would do for 256 workers (warm_workers) of 10000 agent(s)"));
}

static void test_who_holds_a_lock_is_known_by_number_and_nobody_is_nobody(void **state)
{
    char path[] = "/tmp/agentos-held-XXXXXX";
    OWNED_FD int fd = mkstemp(path);
    assert_int_equal(held_by(path), 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    pid_t found = held_by(path);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    unlink(path);
    assert_int_equal(found, getpid());
    assert_int_equal(held_by(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_that_cannot_be_had_are_a_sentence_that_names_the_limits),
        cmocka_unit_test(test_a_worker_tries_for_its_threads_where_few_are_left),
        cmocka_unit_test(test_a_threads_name_is_not_looked_up_below_proc_by_another_thread),
        cmocka_unit_test(test_each_limit_is_compared_and_the_number_that_would_do_does),
        cmocka_unit_test(test_agents_that_hibernate_need_a_watch_and_nothing_else),
        cmocka_unit_test(test_who_holds_a_lock_is_known_by_number_and_nobody_is_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
