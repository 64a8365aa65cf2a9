/* supervisor/process/child: a program at the limit of descriptors, one that somebody stopped, and one's last words. */
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fcntl.h>
#include <signal.h>

#include "supervisor/process/child.h"
#include "tests/unit/cmocka.h"

enum {
    LIMIT = 64,
    ENDS = 4, /* descriptors that are made before the child's places: a pair and a pipe */
    LONG_MS = 25 * 1000,
};

static int64_t now_ms;

/* The clock stands until a test moves it; the loop stood still for as long as it was moved between two turns. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = (struct timespec){.tv_sec = now_ms / 1000, .tv_nsec = now_ms % 1000 * 1000000};
    return 0;
}

static int kills;

int kill(pid_t pid, int number)
{
    kills++;
    return (int)syscall(SYS_kill, pid, number);
}

static void started(void *context)
{
}

static int messages;

static bool message(void *context, const void *bytes, size_t length)
{
    messages++;
    return false; /* a sleeper says nothing */
}

static int64_t long_patience(void *context)
{
    return LONG_MS;
}

static struct child child;
static struct loop *loop;

static bool begin_program(char **arguments, int extra, int64_t (*patience_ms)(void *context))
{
    static char *environment[] = {NULL};
    return child_begin(&child, loop,
                       &(struct child_plan){.name = "sleeper",
                                            .component = "agentos",
                                            .folder = "/bin",
                                            .arguments = arguments,
                                            .environment = environment,
                                            .extras = {extra, -1},
                                            .message = message,
                                            .started = started,
                                            .patience_ms = patience_ms});
}

static bool begin_sleeper(int extra, int64_t (*patience_ms)(void *context))
{
    static char *arguments[] = {"sleep", "600", NULL};
    return begin_program(arguments, extra, patience_ms);
}

static int begin(void **state)
{
    now_ms = 1000 * 1000;
    loop = loop_new();
    return loop ? 0 : -1;
}

static int end(void **state)
{
    child_end(&child, 0);
    loop_free(loop);
    return 0;
}

/* ---- descriptors ---- */

/* So many descriptors are left. */
static void leave_descriptors(int count, struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    struct rlimit limit = {.rlim_cur = LIMIT, .rlim_max = before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        ;
    for (int fd = LIMIT - 1; count > 0; fd--, count--)
        close(fd);
}

static void free_descriptors(const struct rlimit *before, int above)
{
    for (int fd = above; fd < LIMIT; fd++)
        close(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, before), 0);
}

static void test_a_program_whose_descriptors_cannot_be_made_is_not_started(void **state)
{
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int left = ENDS; left < ENDS + 3; left++) { /* none for the channel, the log, or the plan's own */
        struct rlimit before;
        leave_descriptors(left, &before);
        bool begun = begin_sleeper(left < ENDS + 2 ? -1 : STDIN_FILENO, NULL);
        free_descriptors(&before, first + 1);
        assert_false(begun);
        assert_int_equal(child.pid, 0);
    }
    close(first);
    assert_true(begin_sleeper(STDIN_FILENO, NULL));
}

/* ---- stops ---- */

static void stop_sleeper(void)
{
    int status;
    assert_int_equal(kill(child.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
    child_stopped(child.pid, SIGSTOP);
}

/* Time goes by in steps, as it does for a loop that turns. */
static void pass(int64_t milliseconds)
{
    for (int64_t step; milliseconds > 0; milliseconds -= step) {
        step = milliseconds < 100 ? milliseconds : 100;
        now_ms += step;
        loop_turn(loop, 0);
    }
}

static bool is_waited_for(void)
{
    return child.stopped.place > 0;
}

static void expect_killed(void)
{
    siginfo_t ended = {0};
    assert_false(is_waited_for());
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &ended, WEXITED | WNOWAIT), 0);
    assert_int_equal(ended.si_status, SIGKILL);
}

static void test_a_program_that_does_not_go_on_is_ended_when_the_patience_with_it_is_over(void **state)
{
    assert_true(begin_sleeper(-1, NULL));
    stop_sleeper();
    pass(CHILD_PATIENCE_MS - 1);
    assert_true(is_waited_for());
    pass(1);
    expect_killed();
}

static void test_a_program_that_goes_on_is_left_alone(void **state)
{
    assert_true(begin_sleeper(-1, NULL));
    stop_sleeper();
    pass(CHILD_PATIENCE_MS - 1);
    child_stopped(child.pid, 0);
    assert_false(is_waited_for());
    pass(CHILD_PATIENCE_MS);
    assert_int_equal(kill(child.pid, SIGCONT), 0);
    assert_int_equal(waitpid(child.pid, NULL, WNOHANG), 0);
}

static void test_the_patience_is_the_plans_where_it_has_its_own(void **state)
{
    assert_true(begin_sleeper(-1, long_patience));
    stop_sleeper();
    pass(LONG_MS - 1);
    assert_true(is_waited_for());
    pass(1);
    expect_killed();
}

static void test_time_in_which_the_supervisor_stood_still_is_none_of_a_stopped_programs(void **state)
{
    assert_true(begin_sleeper(-1, NULL));
    stop_sleeper();
    pass(CHILD_PATIENCE_MS / 2);
    now_ms += 2 * CHILD_PATIENCE_MS; /* both were stopped, and the supervisor goes on first */
    loop_turn(loop, 0);
    assert_true(is_waited_for());
    pass(CHILD_PATIENCE_MS - 1);
    assert_true(is_waited_for());
    pass(1);
    expect_killed();
}

/* ---- the end ---- */

static void test_a_fault_in_the_last_words_of_a_reaped_program_ends_no_other_process(void **state)
{
    static char *arguments[] = {"sh", "-c", "printf '\\001\\000\\000\\000x' >&3", NULL};
    int status;
    assert_true(begin_program(arguments, -1, NULL));
    pid_t pid = child.pid;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    messages = kills = 0;
    assert_true(child_reap(pid, status)); /* its number is free now */
    assert_int_equal(messages, 1);
    assert_int_equal(kills, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_program_whose_descriptors_cannot_be_made_is_not_started),
        TEST(test_a_program_that_does_not_go_on_is_ended_when_the_patience_with_it_is_over),
        TEST(test_a_program_that_goes_on_is_left_alone),
        TEST(test_the_patience_is_the_plans_where_it_has_its_own),
        TEST(test_time_in_which_the_supervisor_stood_still_is_none_of_a_stopped_programs),
        TEST(test_a_fault_in_the_last_words_of_a_reaped_program_ends_no_other_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
