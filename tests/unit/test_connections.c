/* How long a client holds its place, whatever it sends and however it spreads it. */
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/http/connections.h"
#include "tests/unit/cmocka.h"

struct party {
    struct connections connections;
    struct connection *came[CONNECTIONS_MAX];
    int ours[CONNECTIONS_MAX], theirs[CONNECTIONS_MAX];
    size_t count;
};

static struct connection *come(struct party *party, int64_t now)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    party->ours[party->count] = pair[0];
    party->theirs[party->count] = pair[1];
    return party->came[party->count++] = connections_come(&party->connections, pair[0], now);
}

static bool is_cut(const struct party *party, size_t which)
{
    char byte;
    ssize_t got = recv(party->theirs[which], &byte, 1, 0);
    return got == 0;
}

static void end(struct party *party)
{
    for (size_t i = 0; i < party->count; i++) {
        connections_leave(&party->connections, party->came[i]);
        close(party->ours[i]);
        close(party->theirs[i]);
    }
    assert_int_equal(party->connections.count, 0);
    assert_int_equal(connections_deadline(&party->connections), -1);
}

static void test_one_that_asks_nothing_is_cut_and_no_sooner(void **state)
{
    struct party party = {.count = 0};
    connections_begin(&party.connections);
    come(&party, 5000);
    assert_int_equal(connections_deadline(&party.connections), 5000 + CONNECTIONS_REQUEST_MS);
    connections_expire(&party.connections, 5000 + CONNECTIONS_REQUEST_MS - 1);
    assert_false(is_cut(&party, 0));
    connections_expire(&party.connections, 5000 + CONNECTIONS_REQUEST_MS);
    assert_true(is_cut(&party, 0));
    assert_int_equal(connections_deadline(&party.connections), -1);
    end(&party);
}

static void test_an_answer_has_its_own_time_and_the_next_request_too(void **state)
{
    struct party party = {.count = 0};
    connections_begin(&party.connections);
    struct connection *connection = come(&party, 0);
    connections_ask(connection, CONNECTIONS_REQUEST_MS - 1);
    connections_expire(&party.connections, CONNECTIONS_REQUEST_MS + 1);
    assert_false(is_cut(&party, 0));
    connections_rest(connection, CONNECTIONS_ANSWER_MS);
    assert_int_equal(connections_deadline(&party.connections),
                     CONNECTIONS_ANSWER_MS + CONNECTIONS_REQUEST_MS);
    connections_ask(connection, CONNECTIONS_ANSWER_MS + 1);
    connections_expire(&party.connections, 2 * CONNECTIONS_ANSWER_MS + 1);
    assert_true(is_cut(&party, 0)); /* the client doesn't read */
    end(&party);
}

static void test_in_a_crowd_time_is_short_for_all_and_long_again_after_it(void **state)
{
    struct party party = {.count = 0};
    connections_begin(&party.connections);
    struct connection *busy = come(&party, 0);
    connections_ask(busy, 0);
    while (party.count < CONNECTIONS_CROWD)
        come(&party, 0);
    connections_expire(&party.connections, CONNECTIONS_CROWD_REQUEST_MS);
    assert_false(is_cut(&party, 0));
    for (size_t i = 1; i < party.count; i++)
        assert_true(is_cut(&party, i));
    connections_leave(&party.connections, party.came[--party.count]);
    close(party.ours[party.count]);
    close(party.theirs[party.count]);
    connections_expire(&party.connections, CONNECTIONS_CROWD_ANSWER_MS + 1);
    assert_false(is_cut(&party, 0));
    end(&party);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_asks_nothing_is_cut_and_no_sooner),
        cmocka_unit_test(test_an_answer_has_its_own_time_and_the_next_request_too),
        cmocka_unit_test(test_in_a_crowd_time_is_short_for_all_and_long_again_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
