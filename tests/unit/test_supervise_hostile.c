/* The whole supervisor against hostile workers and clients: the supervisor goes on, and so do the other agents. */
#include "supervised.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/file.h>

static int begin(void **state)
{
    struct supervised *supervised = memory_new(1, sizeof *supervised);
    supervised_place(supervised, 0);
    *state = supervised;
    return 0;
}

static int end(void **state)
{
    supervised_end(*state);
    free(*state);
    return 0;
}

/* A whole task of an agent that behaves: question, answer, end. */
static void assert_works(const struct supervised *supervised, const char *agent)
{
    OWNED char *request = memory_print(
        "{\"verb\":\"task\",\"agent\":\"%s\",\"text\":\"t\",\"id\":\"%s\",\"wait\":true}\n", agent, agent);
    OWNED_FD int fd = supervised_connect(supervised);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    json_t *accepted = supervised_hear(fd), *ended = supervised_hear(fd);
    assert_string_equal(json_string_value(json_object_get(ended, "end")), "done");
    json_decref(accepted);
    json_decref(ended);
}

/* The kernel would end it after lease-break-time. */
static void test_a_worker_that_keeps_a_lease_on_a_file_that_others_want_is_ended(void **state)
{
    struct supervised *supervised = *state;
    pid_t before = supervised_start_until_idle(supervised, "lessor orion", "lessor");
    OWNED char *path = memory_print("%s/agents/lessor/leased", supervised->data);
    EVENTUALLY(access(path, F_OK) == 0);
    OWNED_FD int refused = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (refused >= 0)
        skip(); /* no leases on this file system */
    assert_int_equal(errno, EWOULDBLOCK);
    EVENTUALLY(supervised_logged(supervised, "it keeps a lease on a file that others want to read"));
    EVENTUALLY(supervised_pid(supervised, "lessor") != before);
    assert_works(supervised, "orion");
}

static void test_a_worker_that_says_what_it_may_not_is_killed_and_nobody_else_is_harmed(void **state)
{
    static const char *const kinds[] = {"liar",   "empty",     "torn",    "unknown",  "trailing", "version",
                                        "beyond", "nul",       "twice",   "stranger", "greedy",   "huge",
                                        "wild",   "generous",  "wordy",   "flooder",  "silent",   "misnamed",
                                        "ahead",  "ungreeted", "accuser", "judge",    "nested",   "hidden",
                                        "cut",    "hasty",     "boaster", "spender",  "sulker"};
    struct supervised *supervised = *state;
    OWNED_BUFFER struct buffer names = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        buffer_print(&names, "%s ", kinds[i]);
    buffer_text(&names, "orion");
    /* A worker's messages are counted from one beat to the next: without a second one, however slow the flooder is. */
    supervised->heartbeat_ms = 3600 * 1000;
    supervised_agents(supervised, names.data);
    supervised_start(supervised);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        OWNED char *end_of_it = memory_print("Worker of agent '%s'", kinds[i]);
        EVENTUALLY(supervised_logged(supervised, end_of_it));
    }
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    pid_t orion = supervised_pid(supervised, "orion");
    assert_works(supervised, "orion");
    assert_int_equal(supervised_pid(supervised, "orion"), orion);
    assert_false(supervised_logged(supervised, "Worker of agent 'orion'"));
}

static void test_words_that_are_no_utf_8_hide_neither_their_agent_nor_its_problem(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "mumbler");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "mumbler", "working"));
    json_t *detail = supervised_field(supervised, "mumbler", "detail");
    assert_string_equal(json_string_value(detail), "working: \xef\xbf\xbd\xef\xbf\xbd");
    json_decref(detail);
    json_t *problems = supervised_field(supervised, "mumbler", "problems");
    assert_string_equal(json_string_value(json_array_get(problems, 0)),
                        "the file \xef\xbf\xbd.md has no task");
    json_decref(problems);
}

static void test_a_workers_second_connection_changes_nothing(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "double");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "double", "idle"));
    assert_works(supervised, "double");
    EVENTUALLY(supervised_is(supervised, "double", "idle"));
    assert_false(supervised_logged(supervised, "Worker of agent 'double'"));
}

/* A killed supervisor's lock outlives it for a moment in a process that it was just making. */
static void test_a_lock_that_a_dead_supervisor_left_behind_is_waited_for(void **state)
{
    struct supervised *supervised = *state;
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    OWNED char *path = memory_print("%s/.run/lock", supervised->data);
    OWNED_FD int lock = open(path, O_RDONLY | O_CLOEXEC);
    kill(supervised->pid, SIGKILL);
    supervised_wait(supervised);
    EVENTUALLY(flock(lock, LOCK_EX | LOCK_NB) == 0);
    supervised_start(supervised);
    /* The process has opened the lock, and not ended for want of it. Where no process may look into a process that
     * isn't dumpable (a container without CAP_SYS_PTRACE), only the second can be seen. */
    OWNED char *has_it = memory_print(
        "ls -l /proc/%d/fd 2>/dev/null | grep -q %s || { kill -0 %d && ! readlink /proc/%d/fd/0; }",
        (int)supervised->pid, path, (int)supervised->pid, (int)supervised->pid);
    EVENTUALLY(system(has_it) == 0);
    supervised_nap();
    flock(lock, LOCK_UN);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
}

/* The refusals that a container's seccomp profile may make. */
static void refuse_clone_parent(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    assert_non_null(filter);
    assert_int_equal(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                      SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_PARENT, CLONE_PARENT)),
                     0);
    assert_int_equal(seccomp_load(filter), 0);
    seccomp_release(filter);
}

/* The last: this process keeps the filter. */
static void test_workers_are_the_supervisors_also_where_a_clone_for_the_parent_is_refused(void **state)
{
    struct supervised *supervised = *state;
    refuse_clone_parent();
    supervised_agents(supervised, "orion");
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    pid_t before = supervised_pid(supervised, "orion");
    kill(before, SIGKILL);
    EVENTUALLY(supervised_pid(supervised, "orion") > 0 && supervised_pid(supervised, "orion") != before);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    OWNED char *is_child = memory_print("test \"$(ps -o ppid= -p %d)\" -eq %d",
                                        (int)supervised_pid(supervised, "orion"), (int)supervised->pid);
    assert_int_equal(system(is_child), 0);
}

int main(int count, char **arguments)
{
    supervised_main(count, arguments);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_a_worker_that_keeps_a_lease_on_a_file_that_others_want_is_ended),
        TEST(test_a_worker_that_says_what_it_may_not_is_killed_and_nobody_else_is_harmed),
        TEST(test_words_that_are_no_utf_8_hide_neither_their_agent_nor_its_problem),
        TEST(test_a_workers_second_connection_changes_nothing),
        TEST(test_a_lock_that_a_dead_supervisor_left_behind_is_waited_for),
        TEST(test_workers_are_the_supervisors_also_where_a_clone_for_the_parent_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
