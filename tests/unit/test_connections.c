/* How long a client holds its place, whatever it sends and however it spreads it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/http/connections.h"

struct party {
    struct guests guests;
    struct guest *came[GUESTS_MAX];
    int ours[GUESTS_MAX], theirs[GUESTS_MAX];
    size_t count;
};

static struct guest *come(struct party *party, int64_t now)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    party->ours[party->count] = pair[0];
    party->theirs[party->count] = pair[1];
    return party->came[party->count++] = guests_come(&party->guests, pair[0], now);
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
        guests_leave(&party->guests, party->came[i]);
        close(party->ours[i]);
        close(party->theirs[i]);
    }
    assert_int_equal(party->guests.count, 0);
    assert_int_equal(guests_deadline(&party->guests), -1);
}

static void test_one_that_asks_nothing_is_cut_and_no_sooner(void **state)
{
    (void)state;
    struct party party = {.count = 0};
    guests_begin(&party.guests);
    come(&party, 5000);
    assert_int_equal(guests_deadline(&party.guests), 5000 + GUESTS_REQUEST_MS);
    guests_expire(&party.guests, 5000 + GUESTS_REQUEST_MS - 1);
    assert_false(is_cut(&party, 0));
    guests_expire(&party.guests, 5000 + GUESTS_REQUEST_MS);
    assert_true(is_cut(&party, 0));
    assert_int_equal(guests_deadline(&party.guests), -1);
    end(&party);
}

static void test_an_answer_has_its_own_time_and_the_next_request_too(void **state)
{
    (void)state;
    struct party party = {.count = 0};
    guests_begin(&party.guests);
    struct guest *guest = come(&party, 0);
    guests_ask(guest, GUESTS_REQUEST_MS - 1);
    guests_expire(&party.guests, GUESTS_REQUEST_MS + 1);
    assert_false(is_cut(&party, 0));
    guests_rest(guest, GUESTS_ANSWER_MS);
    assert_int_equal(guests_deadline(&party.guests), GUESTS_ANSWER_MS + GUESTS_REQUEST_MS);
    guests_ask(guest, GUESTS_ANSWER_MS + 1);
    guests_expire(&party.guests, 2 * GUESTS_ANSWER_MS + 1);
    assert_true(is_cut(&party, 0)); /* it doesn't read */
    end(&party);
}

static void test_in_a_crowd_time_is_short_for_all_and_long_again_after_it(void **state)
{
    (void)state;
    struct party party = {.count = 0};
    guests_begin(&party.guests);
    struct guest *busy = come(&party, 0);
    guests_ask(busy, 0);
    while (party.count < GUESTS_CROWD)
        come(&party, 0);
    guests_expire(&party.guests, GUESTS_CROWD_REQUEST_MS);
    assert_false(is_cut(&party, 0));
    for (size_t i = 1; i < party.count; i++)
        assert_true(is_cut(&party, i));
    guests_leave(&party.guests, party.came[--party.count]);
    close(party.ours[party.count]);
    close(party.theirs[party.count]);
    guests_expire(&party.guests, GUESTS_CROWD_ANSWER_MS + 1);
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
