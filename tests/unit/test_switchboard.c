#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdlib.h>
#include <string.h>
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

static void test_a_line_whose_connection_never_ends_is_given_up_and_the_next_one_works(void **state)
{
    (void)state;
    char folder[] = "/tmp/agentos-board-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct fault fault;
    struct heard first = {0}, second = {0};
    struct loop *loop = loop_new();
    struct switchboard *board = switchboard_open(loop, folder, &fault);
    struct line *stuck = line_open(board, "orion", &owner, &first, &fault);
    line_expect(stuck, getpid());
    nng_socket former = dial(line_url(stuck));
    say_until_heard(stuck, former, &first);

    line_abandon(stuck);
    struct line *line = line_open(board, "orion", &owner, &second, &fault);
    assert_non_null(line);
    line_expect(line, getpid());
    nng_socket next = dial(line_url(line));
    say_until_heard(line, next, &second);
    line_await_free(line);
    assert_int_equal(second.free, 0);
    assert_int_equal(first.lost + first.free, 0);

    nng_close(former);
    nng_close(next);
    line_close(line);
    switchboard_close(board);
    loop_free(loop);
    char path[64];
    snprintf(path, sizeof path, "%s/orion.sock", folder);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_whose_connection_never_ends_is_given_up_and_the_next_one_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
