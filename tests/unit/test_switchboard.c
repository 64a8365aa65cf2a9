#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "supervisor/process/switchboard.h"
#include "tests/unit/cmocka.h"

enum { TURNS = 20000 /* of a millisecond at least: none is waited for longer */ };

/* In the loop's thread time passes only when the test says so; nng's threads have the true time. */
static _Thread_local int64_t stands_at; /* seconds; 0: the connection doesn't stand */

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC || stands_at == 0)
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = (struct timespec){.tv_sec = stands_at};
    return 0;
}

struct heard {
    int messages, lost;
    int parts; /* of messages that aren't whole at once */
};

static bool on_message(void *context, const void *bytes, size_t length, struct line_turn *turn)
{
    turn->heard = turn->heard + 1 < length ? turn->heard + 1 : 0; /* a byte a call: "x" is whole at once */
    ((struct heard *)context)->messages++;
    ((struct heard *)context)->parts += length > 1;
    return true;
}

static void on_lost(void *context)
{
    ((struct heard *)context)->lost++;
}

static const struct line_owner owner = {.message = on_message, .lost = on_lost};

/* Says something until it is heard: the connection may be refused or be on its way at first. */
static void say_until_heard(struct line *line, nng_socket socket, const struct heard *heard)
{
    int before = heard->messages;
    for (int turns = 0; heard->messages == before && turns < TURNS; turns++) {
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

static struct line *open_line(struct place *place, struct heard *heard)
{
    struct fault fault;
    struct line *line = line_open(place->board, "orion", getpid(), &owner, heard, &fault);
    assert_non_null(line);
    return line;
}

static nng_socket dial(const struct place *place)
{
    nng_socket socket;
    char *url = switchboard_url(place->board, "orion");
    assert_int_equal(nng_pair0_open(&socket), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    free(url);
    return socket;
}

static int begin(void **state)
{
    struct fault fault;
    struct place *place = calloc(1, sizeof *place);
    stands_at = 1000;
    strcpy(place->folder, "/tmp/agentos-board-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    place->loop = loop_new();
    place->board = switchboard_open(place->loop, place->folder, &fault);
    place->line = open_line(place, &place->heard);
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

/* The next worker's, which is told of in another place. */
static void next_line(struct place *place, struct heard *heard)
{
    line_close(place->line);
    place->line = open_line(place, heard);
}

static void test_a_connection_that_never_ends_keeps_nobody_from_a_line(void **state)
{
    struct place *place = *state;
    struct heard second = {0};
    nng_socket former = dial(place);
    say_until_heard(place->line, former, &place->heard);
    next_line(place, &second);
    nng_socket next = dial(place);
    say_until_heard(place->line, next, &second);
    for (int i = 0; i < 100; i++) {
        nng_send(former, "four", 4, NNG_FLAG_NONBLOCK);
        loop_turn(place->loop, 1);
    }
    assert_int_equal(place->heard.parts + second.parts, 0);
    assert_int_equal(place->heard.lost + second.lost, 0);
    nng_close(former);
    nng_close(next);
}

/* As a worker does that is killed just when it has connected. */
static int connect_to(const struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/orion.sock", place->folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void greet(int fd)
{
    static const char greeting[] = {0, 'S', 'P', 0, 0, 16 /* pair */, 0, 0};
    assert_int_equal(write(fd, greeting, sizeof greeting), sizeof greeting);
}

static void say(int fd, const char *text)
{
    char frame[32] = {1};
    frame[8] = (char)strlen(text);
    strcpy(frame + 9, text);
    assert_int_equal(write(fd, frame, 9 + strlen(text)), 9 + strlen(text));
}

/* A worker that is heard once: of no nng, whose close hangs when it comes in the middle of a message. */
static int come_and_say(struct place *place, const struct heard *heard)
{
    int fd = connect_to(place), before = heard->messages;
    greet(fd);
    say(fd, "x");
    for (int turns = 0; heard->messages == before && turns < TURNS; turns++)
        loop_turn(place->loop, 1);
    assert_int_equal(heard->messages, before + 1);
    return fd;
}

/* Many workers in turn: each leaves a message that the supervisor has not heard, and messages that it has not read. */
static void test_a_late_message_reaches_neither_the_next_worker_nor_its_owner(void **state)
{
    struct place *place = *state;
    OWNED_BUFFER struct buffer unread = {0};
    char bytes[16];
    buffer_add(&unread, "late", 4);
    for (int i = 0; i < 20; i++) {
        place->heard = (struct heard){0};
        int worker = come_and_say(place, &place->heard);
        say(worker, "four");
        if (i % 2)
            usleep(2000); /* nng has it already */
        for (int sent = 0; sent < 50; sent++)
            line_send(place->line, &unread); /* nng takes one at a time */
        line_close(place->line);
        close(worker);
        for (int turns = 0; i % 4 > 1 && turns < 10; turns++)
            loop_turn(place->loop, 1);
        place->heard = (struct heard){0};
        place->line = open_line(place, &place->heard);
        int next = come_and_say(place, &place->heard);
        assert_int_equal(recv(next, bytes, 8, MSG_WAITALL), 8); /* the greeting */
        for (int turns = 0; turns < 5; turns++)
            loop_turn(place->loop, 1);
        assert_int_equal(recv(next, bytes, 1, MSG_DONTWAIT), -1);
        assert_int_equal(place->heard.messages, 1);
        assert_int_equal(place->heard.parts, 0);
        close(next);
        next_line(place, &place->heard);
    }
}

static void connect_and_leave(const struct place *place)
{
    int fd = connect_to(place);
    greet(fd);
    close(fd);
}

static void test_whoever_connects_and_leaves_at_once_keeps_no_worker_from_its_line(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 100; i++) {
        connect_and_leave(place);
        if (i % 4)
            loop_turn(place->loop, 0);
        next_line(place, &place->heard);
    }
    nng_socket next = dial(place);
    say_until_heard(place->line, next, &place->heard);
    nng_close(next);
}

static void test_who_came_for_the_worker_before_is_not_taken_for_the_next(void **state)
{
    struct place *place = *state;
    char bytes[16];
    int late = connect_to(place);
    setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 60}, sizeof(struct timeval));
    next_line(place, &place->heard);
    greet(late);
    assert_int_equal(recv(late, bytes, 8, MSG_WAITALL), 8);
    assert_int_equal(read(late, bytes, sizeof bytes), 0);
    nng_socket next = dial(place);
    say_until_heard(place->line, next, &place->heard);
    loop_turn(place->loop, 0);
    assert_int_equal(place->heard.lost, 0);
    nng_close(next);
    close(late);
}

/* The board's own sockets: the ones it listens at and the ones of connections to them. */
static int count_sockets(const struct place *place)
{
    int count = 0;
    for (int fd = 0; fd < 2048; fd++) {
        struct sockaddr_un address = {0};
        socklen_t size = sizeof address;
        count += getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.sun_family == AF_UNIX &&
                 strncmp(address.sun_path, place->folder, strlen(place->folder)) == 0;
    }
    return count;
}

static void test_what_is_left_of_a_message_is_heard_in_later_turns_and_before_the_next_one(void **state)
{
    struct place *place = *state;
    nng_socket worker = dial(place);
    say_until_heard(place->line, worker, &place->heard);
    for (int i = 0; i < 2; i++)
        assert_int_equal(nng_send(worker, "four", 4, 0), 0);
    for (int turns = 0; place->heard.parts < 1 && turns < TURNS; turns++) {
        stands_at += 10;
        loop_turn(place->loop, 1);
    }
    assert_int_equal(place->heard.parts, 1); /* though more has come */
    for (int turns = 0; place->heard.parts < 8 && turns < TURNS; turns++) {
        int so_far = place->heard.parts;
        stands_at += 10;
        loop_turn(place->loop, 1);
        assert_true(place->heard.parts <= so_far + 2); /* the end of one, and the beginning of the next */
    }
    assert_int_equal(place->heard.parts, 8);
    assert_int_equal(nng_send(worker, "four", 4, 0), 0);
    for (int turns = 0; place->heard.parts < 9 && turns < TURNS; turns++) {
        stands_at += 10;
        loop_turn(place->loop, 1);
    }
    next_line(place, &place->heard); /* with the rest unheard: no worker owns it */
    nng_close(worker);
    for (int turns = 0; turns < 20; turns++) {
        stands_at += 10;
        loop_turn(place->loop, 1);
    }
    assert_true(place->heard.parts < 12);
}

static void await_sockets(struct place *place, int count)
{
    for (int turns = 0; count_sockets(place) != count && turns < TURNS; turns++)
        loop_turn(place->loop, 1);
    assert_int_equal(count_sockets(place), count);
}

/* A worker that is heard and leaves: nng has nothing to do for its connection any more. */
static void live_and_leave(struct place *place)
{
    nng_socket worker = dial(place);
    say_until_heard(place->line, worker, &place->heard);
    nng_close(worker);
    next_line(place, &place->heard);
}

/* The connection ends between its worker's end and the next worker's beginning, and the loop hears of that then. */
static void test_the_end_of_the_connection_before_is_not_taken_for_the_next_ones(void **state)
{
    struct place *place = *state;
    nng_socket former = dial(place);
    say_until_heard(place->line, former, &place->heard);
    nng_close(former);
    next_line(place, &place->heard);
    nng_socket next = dial(place);
    say_until_heard(place->line, next, &place->heard);
    loop_turn(place->loop, 0);
    assert_int_equal(place->heard.lost, 0);
    nng_close(next);
    for (int turns = 0; !place->heard.lost && turns < TURNS; turns++)
        loop_turn(place->loop, 1);
    assert_int_equal(place->heard.lost, 1); /* its own is */
}

static int count_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_what_was_open_for_former_workers_is_closed_after_a_while(void **state)
{
    struct place *place = *state;
    live_and_leave(place);
    for (int i = 0; i < 20; i++)
        live_and_leave(place);
    await_sockets(place, 1 + 21);
    stands_at += 16;
    await_sockets(place, 1);
    int descriptors = count_descriptors();
    for (int i = 0; i < 20; i++)
        live_and_leave(place);
    await_sockets(place, 1 + 20);
    stands_at += 16;
    await_sockets(place, 1);
    assert_int_equal(count_descriptors(), descriptors);
}

static void test_however_fast_workers_follow_each_other_not_all_that_was_open_for_them_is_kept(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 300; i++)
        next_line(place, &place->heard);
    await_sockets(place, 1 + 256);
}

/* However many workers lived at once: a worker that is gone leaves only memory behind, which is used again. */
static void test_lines_without_a_worker_have_no_descriptor(void **state)
{
    struct place *place = *state;
    struct line *lines[50];
    struct fault fault;
    char name[16];
    int before = count_descriptors();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            snprintf(name, sizeof name, "agent-%d", i);
            lines[i] = line_open(place->board, name, getpid(), &owner, &place->heard, &fault);
            assert_non_null(lines[i]);
        }
        for (int i = 0; i < 50; i++)
            line_close(lines[i]);
        stands_at += 16;
        await_sockets(place, 1);
        assert_int_equal(count_descriptors(), before);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_a_connection_that_never_ends_keeps_nobody_from_a_line),
        TEST(test_a_late_message_reaches_neither_the_next_worker_nor_its_owner),
        TEST(test_what_is_left_of_a_message_is_heard_in_later_turns_and_before_the_next_one),
        TEST(test_whoever_connects_and_leaves_at_once_keeps_no_worker_from_its_line),
        TEST(test_who_came_for_the_worker_before_is_not_taken_for_the_next),
        TEST(test_the_end_of_the_connection_before_is_not_taken_for_the_next_ones),
        TEST(test_what_was_open_for_former_workers_is_closed_after_a_while),
        TEST(test_however_fast_workers_follow_each_other_not_all_that_was_open_for_them_is_kept),
        TEST(test_lines_without_a_worker_have_no_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
