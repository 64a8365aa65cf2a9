/* supervisor/process/report: the end of a program that the supervisor keeps running. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/channel.h"
#include "supervisor/process/report.h"
#include "tests/unit/cmocka.h"

static int told; /* the program writes a byte here when it ends */

static bool hear(void *context, unsigned type, struct reader *reader)
{
    return false;
}

static void ends(void *context)
{
    if (write(told, "e", 1) != 1)
        abort();
}

static void run_program(int channel)
{
    struct loop *loop = loop_new();
    struct report_owner owner = {.hear = hear, .ends = ends};
    if (!loop || !report_open(loop, channel, PARTY_GATEWAY, &owner))
        abort();
    loop_run(loop);
}

/* The program's last act is to be told of its end, once. */
static void expect_told_end(const void *sent, size_t length)
{
    int pair[2], pipes[2], status;
    char bytes[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        told = pipes[1];
        run_program(pair[1]);
        abort();
    }
    close(pair[1]);
    close(pipes[1]);
    if (sent) {
        struct channel channel;
        channel_open(&channel, pair[0]);
        channel_send(&channel, &(struct buffer){.data = (char *)sent, .length = length});
        assert_int_equal(waitpid(pid, &status, 0), pid);
        channel_close(&channel);
    } else {
        close(pair[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EX_OK);
    assert_int_equal(read(pipes[0], bytes, sizeof bytes), 1);
    close(pipes[0]);
}

static void test_the_end_of_the_supervisor_is_told_before_the_program_ends(void **state)
{
    expect_told_end(NULL, 0);
}

static void test_a_message_that_is_none_lets_the_program_forget_its_secrets_before_it_ends(void **state)
{
    expect_told_end("junk", 4);
}

static void test_a_message_that_the_program_refuses_lets_it_forget_its_secrets_before_it_ends(void **state)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_RETRY, "orion");
    expect_told_end(message.data, message.length);
}

/* A program's reports, and the supervisor's end of their channel. Nothing frees reports but their program's end. */
static struct {
    struct loop *loop;
    struct report *report;
    int supervisor;
} reports;

static int open_reports(void **state)
{
    static const struct report_owner owner = {.hear = hear, .ends = ends};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
        return -1;
    reports.loop = loop_new();
    reports.report = report_open(reports.loop, pair[1], PARTY_GATEWAY, &owner);
    reports.supervisor = pair[0];
    return reports.report ? 0 : -1;
}

static bool has_written(void)
{
    char byte;
    return recv(reports.supervisor, &byte, 1, MSG_PEEK) == 1;
}

static size_t take_messages(void)
{
    struct channel channel;
    const void *bytes;
    size_t length, count = 0;
    channel_open(&channel, dup(reports.supervisor));
    assert_true(channel_fill(&channel));
    while (channel_next(&channel, &bytes, &length))
        count++;
    channel_close(&channel);
    return count;
}

/* An answer of the model is three messages: each write of its own would wake the supervisor. */
static void test_the_messages_of_one_turn_are_written_together_at_its_end(void **state)
{
    for (int i = 0; i < 3; i++) {
        report_send(reports.report, MESSAGE_LEARNED, "url", "model", "news");
        assert_false(has_written());
    }
    loop_turn(reports.loop, 0);
    assert_int_equal(take_messages(), 3);
}

/* A program that leaves its loop in the turn in which it knew of something. */
static void test_a_flush_writes_the_messages_that_wait(void **state)
{
    report_send(reports.report, MESSAGE_LEARNED, "url", "model", "news");
    assert_false(has_written());
    report_flush(reports.report);
    assert_int_equal(take_messages(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end_of_the_supervisor_is_told_before_the_program_ends),
        cmocka_unit_test(test_a_message_that_is_none_lets_the_program_forget_its_secrets_before_it_ends),
        cmocka_unit_test(test_a_message_that_the_program_refuses_lets_it_forget_its_secrets_before_it_ends),
        cmocka_unit_test(test_the_messages_of_one_turn_are_written_together_at_its_end),
        cmocka_unit_test(test_a_flush_writes_the_messages_that_wait),
    };
    return cmocka_run_group_tests(tests, open_reports, NULL);
}
