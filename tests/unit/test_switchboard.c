#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "supervisor/switchboard.h"

struct heard {
    int messages, lost, free;
};

static bool on_message(void *context, const void *bytes, size_t length)
{
    (void)bytes;
    (void)length;
    ((struct heard *)context)->messages++;
    return true;
}

static void on_lost(void *context)
{
    ((struct heard *)context)->lost++;
}

static void on_free(void *context)
{
    ((struct heard *)context)->free++;
}

static const struct line_owner owner = {.message = on_message, .lost = on_lost, .free = on_free};

static nng_socket dial(const char *url)
{
    nng_socket socket;
    assert_int_equal(nng_pair0_open(&socket), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    return socket;
}

/* Says something until it is heard: the connection may be refused or be on its way at first. */
static void say_until_heard(struct line *line, nng_socket socket, const struct heard *heard)
{
    int before = heard->messages;
    int64_t end = clock_monotonic_ms() + 20000;
    while (heard->messages == before && clock_monotonic_ms() < end) {
        nng_send(socket, "x", 1, NNG_FLAG_NONBLOCK);
        usleep(1000);
        line_drain(line);
    }
    assert_true(heard->messages > before);
}

struct place {
    char folder[32];
    struct loop *loop;
    struct switchboard *board;
    struct heard heard;
    struct line *line;
};

static int begin(void **state)
{
    struct fault fault;
    struct place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/agentos-board-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    place->loop = loop_new();
    place->board = switchboard_open(place->loop, place->folder, &fault);
    place->line = line_open(place->board, "orion", &owner, &place->heard, &fault);
    assert_non_null(place->line);
    assert_true(line_expect(place->line, getpid(), &fault));
    *state = place;
    return 0;
}

static int end(void **state)
{
    struct place *place = *state;
    char path[64];
    line_close(place->line);
    switchboard_close(place->board);
    loop_free(place->loop);
    snprintf(path, sizeof path, "%s/orion.sock", place->folder);
    unlink(path);
    assert_int_equal(rmdir(place->folder), 0);
    free(place);
    return 0;
}

static void await_free(struct place *place)
{
    int64_t over = clock_monotonic_ms() + 20000;
    place->heard.free = 0;
    line_await_free(place->line);
    while (!place->heard.free && clock_monotonic_ms() < over)
        loop_turn(place->loop, 1);
    assert_int_equal(place->heard.free, 1);
}

static void test_a_line_whose_connection_never_ends_is_given_up_and_the_next_one_works(void **state)
{
    struct place *place = *state;
    struct fault fault;
    struct heard second = {0};
    nng_socket former = dial(line_url(place->line));
    say_until_heard(place->line, former, &place->heard);

    line_abandon(place->line);
    place->line = line_open(place->board, "orion", &owner, &second, &fault);
    assert_non_null(place->line);
    assert_true(line_expect(place->line, getpid(), &fault));
    nng_socket next = dial(line_url(place->line));
    say_until_heard(place->line, next, &second);
    line_await_free(place->line);
    assert_int_equal(second.free, 0);
    assert_int_equal(place->heard.lost + place->heard.free, 0);
    nng_close(former);
    nng_close(next);
}

static void test_what_a_connection_says_when_the_line_is_nobodys_is_told_to_nobody(void **state)
{
    struct place *place = *state;
    nng_socket former = dial(line_url(place->line));
    say_until_heard(place->line, former, &place->heard);
    int messages = place->heard.messages;
    line_leave(place->line);
    line_await_free(place->line);
    for (int i = 0; i < 100; i++) {
        nng_send(former, "x", 1, NNG_FLAG_NONBLOCK);
        loop_turn(place->loop, 1);
    }
    assert_int_equal(place->heard.messages, messages);
    assert_int_equal(place->heard.free, 0);
    nng_close(former);
    await_free(place);
    assert_int_equal(place->heard.lost, 0);
}

/* As a worker does that is killed just when it has connected. */
static void connect_and_leave(const struct place *place)
{
    static const char greeting[] = {0, 'S', 'P', 0, 0, 16 /* pair */, 0, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/orion.sock", place->folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, greeting, sizeof greeting), sizeof greeting);
    close(fd);
}

static void test_whoever_connects_and_leaves_at_once_keeps_no_worker_from_its_line(void **state)
{
    struct place *place = *state;
    struct fault fault;
    for (int i = 0; i < 100; i++) {
        connect_and_leave(place);
        if (i % 4)
            loop_turn(place->loop, 0);
        line_leave(place->line);
        await_free(place);
        assert_true(line_expect(place->line, getpid(), &fault));
    }
    nng_socket next = dial(line_url(place->line));
    say_until_heard(place->line, next, &place->heard);
    nng_close(next);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_a_line_whose_connection_never_ends_is_given_up_and_the_next_one_works),
        TEST(test_what_a_connection_says_when_the_line_is_nobodys_is_told_to_nobody),
        TEST(test_whoever_connects_and_leaves_at_once_keeps_no_worker_from_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
