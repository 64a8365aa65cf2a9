/* The ledger of tokens and tasks: limits hold over days, hours, jumps of the clock, and through its text. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/model/budget.h"
#include "tests/unit/cmocka.h"

enum { HOUR = 3600, DAY = 24 * HOUR };

static int64_t at(const char *time)
{
    int64_t seconds;
    assert_true(clock_parse(time, &seconds));
    return seconds;
}

static int begin(void **state)
{
    *state = budget_new();
    return 0;
}

static int end(void **state)
{
    budget_free(*state);
    return 0;
}

static bool settle(struct budget *budget, uint64_t serial, uint64_t tokens)
{
    return budget_settle(budget, serial, &(struct budget_used){.tokens = tokens, .requests = 1});
}

/* The question is reserved, and its usage is known at once. Else the time until which it waits. */
static int64_t spend(struct budget *budget, const char *agent, uint64_t tokens, uint64_t limit,
                     uint64_t all_limit, int64_t now)
{
    int64_t until = 0;
    struct fault why;
    const struct budget_request request = {.agent = agent,
                                           .serial = 1,
                                           .tokens = tokens,
                                           .tokens_per_day = limit,
                                           .all_tokens_per_day = all_limit};
    if (!budget_reserve(budget, &request, now, &until, &why))
        return until;
    assert_true(settle(budget, 1, tokens));
    return 0;
}

static int64_t start(struct budget *budget, const char *task, uint64_t limit, int64_t now)
{
    int64_t until = 0;
    struct fault why;
    const struct budget_request request = {
        .agent = "orion", .serial = 1, .task = task, .tokens_per_day = 0, .tasks_per_hour = limit};
    return budget_reserve(budget, &request, now, &until, &why) ? 0 : until;
}

static void start_and_end(struct budget *budget, const char *task, uint64_t limit, int64_t now)
{
    assert_int_equal(start(budget, task, limit, now), 0);
    budget_task_ended(budget, "orion", task);
}

static void test_a_day_has_so_many_tokens_and_the_next_one_has_them_again(void **state)
{
    int64_t now = at("2026-04-29T23:00:00Z");
    assert_int_equal(spend(*state, "orion", 900, 1000, 0, now), 0);
    assert_int_equal(spend(*state, "orion", 101, 1000, 0, now), at("2026-04-30T00:00:00Z"));
    assert_int_equal(spend(*state, "orion", 100, 1000, 0, now), 0);
    assert_int_equal(spend(*state, "orion", 1, 1000, 0, now + HOUR - 1), at("2026-04-30T00:00:00Z"));
    assert_int_equal(spend(*state, "orion", 1000, 1000, 0, now + HOUR), 0);
}

static void test_what_is_reserved_counts_until_it_is_settled(void **state)
{
    struct fault why;
    int64_t until, now = at("2026-04-29T12:00:00Z");
    struct budget_request request = {.agent = "orion", .serial = 7, .tokens = 600, .tokens_per_day = 1000};
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_int_equal(budget_spent(*state, "orion", now).tokens, 600);
    request.serial = 8;
    assert_false(budget_reserve(*state, &request, now, &until, &why));
    assert_true(settle(*state, 7, 50));
    assert_false(settle(*state, 7, 50));
    assert_int_equal(budget_spent(*state, "orion", now).tokens, 50);
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    budget_keep(*state, 8);
    assert_false(settle(*state, 8, 0));
    assert_int_equal(budget_spent(*state, "orion", now).tokens, 650);
}

static void test_asked_again_of_another_gateway_is_paid_twice(void **state)
{
    struct fault why;
    int64_t until, now = at("2026-04-29T12:00:00Z");
    const struct budget_request request = {
        .agent = "orion", .serial = 7, .tokens = 400, .tokens_per_day = 1000};
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_int_equal(budget_spent(*state, "orion", now).tokens, 800);
    assert_false(budget_reserve(*state, &request, now, &until, &why));
}

static void test_a_reservation_is_settled_on_the_day_it_was_made(void **state)
{
    struct fault why;
    int64_t until, now = at("2026-04-29T23:59:59Z");
    const struct budget_request request = {.agent = "orion", .serial = 7, .tokens = 400};
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_true(settle(*state, 7, 300));
    assert_int_equal(budget_spent(*state, "orion", now).tokens, 300);
    assert_int_equal(budget_spent(*state, "orion", now + 1).tokens, 0);
}

static void test_the_budget_of_all_counts_those_without_a_limit_too(void **state)
{
    int64_t now = at("2026-04-29T12:00:00Z");
    assert_int_equal(spend(*state, "orion", 600, 0, 1000, now), 0);
    assert_int_equal(spend(*state, "iris", 300, 0, 1000, now), 0);
    assert_int_equal(spend(*state, "nova", 101, 5000, 1000, now), at("2026-04-30T00:00:00Z"));
    assert_int_equal(budget_spent(*state, NULL, now).tokens, 900);
}

static void test_a_request_that_no_day_allows_is_told_so(void **state)
{
    struct fault why;
    int64_t until;
    const struct budget_request request = {
        .agent = "orion", .serial = 1, .tokens = 2600, .tokens_per_day = 1000};
    assert_false(budget_reserve(*state, &request, 1000000, &until, &why));
    assert_non_null(strstr(why.text, "no day is long enough"));
}

static bool reserve_money(struct budget *budget, const char *agent, uint64_t cost, uint64_t limit,
                          uint64_t all_limit)
{
    struct fault why;
    int64_t until;
    const struct budget_request request = {.agent = agent,
                                           .serial = 3,
                                           .tokens = 10,
                                           .cost = cost,
                                           .cost_per_day = limit,
                                           .all_cost_per_day = all_limit};
    bool allowed = budget_reserve(budget, &request, at("2026-04-29T12:00:00Z"), &until, &why);
    assert_true(allowed || strstr(why.text, "cost_per_day is 0.001000"));
    return allowed;
}

static void test_a_day_has_so_much_money(void **state)
{
    assert_true(reserve_money(*state, "orion", 900000, 1000000, 0));
    assert_false(reserve_money(*state, "orion", 100001, 1000000, 0));
    assert_true(budget_settle(*state, 3, &(struct budget_used){.tokens = 8, .cost = 300000, .requests = 1}) ==
                false);
    assert_false(reserve_money(*state, "iris", 100001, 0, 1000000));
    assert_true(reserve_money(*state, "iris", 100000, 0, 1000000));
}

static void test_every_request_is_counted_with_what_it_took(void **state)
{
    struct fault why;
    int64_t until, now = at("2026-04-29T12:00:00Z");
    struct budget_request request = {.agent = "orion", .serial = 7, .tokens = 600, .cost = 50};
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_true(budget_settle(*state, 7, &(struct budget_used){100, 40, 1, 5}));
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_true(budget_settle(*state, 7, &(struct budget_used){0}));
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    struct budget_used used = budget_spent(*state, "orion", now);
    assert_int_equal(used.tokens, 700);
    assert_int_equal(used.cached, 40);
    assert_int_equal(used.requests, 2);
    assert_int_equal(used.cost, 55);
}

static void test_a_clock_that_jumps_away_and_back_gives_no_tokens(void **state)
{
    int64_t now = at("2026-04-29T12:00:00Z");
    assert_int_equal(spend(*state, "orion", 1000, 1000, 0, now), 0);
    assert_int_equal(spend(*state, "orion", 10, 1000, 0, at("2036-01-01T00:00:00Z")), 0);
    assert_int_not_equal(spend(*state, "orion", 1, 1000, 0, now), 0);
    assert_int_equal(spend(*state, "orion", 10, 1000, 0, at("1969-12-31T23:00:00Z")), 0);
    assert_int_not_equal(spend(*state, "orion", 1, 1000, 0, now), 0);
    for (int day = 1; day < 10; day++) {
        assert_int_equal(spend(*state, "orion", 1000, 1000, 0, now + day * DAY), 0);
        assert_int_not_equal(spend(*state, "orion", 1, 1000, 0, now + day * DAY), 0);
    }
}

static void test_an_hour_has_so_many_tasks_whenever_it_begins(void **state)
{
    int64_t now = at("2026-04-29T12:30:00Z");
    start_and_end(*state, "a", 2, now);
    start_and_end(*state, "b", 2, now + 600);
    assert_int_equal(start(*state, "c", 2, now + 601), now + HOUR);
    assert_int_equal(start(*state, "c", 2, now + HOUR - 1), now + HOUR);
    start_and_end(*state, "c", 2, now + HOUR);
    assert_int_equal(start(*state, "d", 2, now + HOUR), now + 600 + HOUR);
}

static void test_a_lowered_limit_waits_until_enough_have_aged(void **state)
{
    int64_t now = at("2026-04-29T12:30:00Z");
    for (int i = 0; i < 4; i++)
        start_and_end(*state, "a", 10, now + i * 60);
    assert_int_equal(start(*state, "b", 2, now + 300), now + 2 * 60 + HOUR);
}

static void test_a_task_that_is_begun_again_counts_once_until_it_has_ended(void **state)
{
    int64_t now = at("2026-04-29T12:30:00Z");
    for (int i = 0; i < 5; i++)
        assert_int_equal(start(*state, "a", 1, now + i * 60), 0);
    assert_int_equal(start(*state, "b", 1, now + 300), now + HOUR);
    assert_int_equal(start(*state, "a", 1, now + 5 * HOUR), 0);
    start_and_end(*state, "b", 1, now + 5 * HOUR);
    budget_task_ended(*state, "orion", "a");
    assert_int_not_equal(start(*state, "a", 1, now + 5 * HOUR), 0);
}

static void test_many_tasks_an_hour_are_counted_in_few_lines(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    int64_t now = at("2026-04-29T12:00:00Z");
    unsigned lines = 0;
    for (int i = 0; i < 3600; i++)
        start_and_end(*state, "a", 3600, now + i);
    assert_int_equal(start(*state, "b", 3600, now + 3599), now + 14 + HOUR);
    budget_print(*state, now + 3599, &text);
    for (const char *line = text.data; (line = strstr(line, "- begun: ")); line++)
        lines++;
    assert_int_equal(lines, 240);
}

static void test_tasks_begun_in_the_future_hold_nobody_up_longer_than_an_hour(void **state)
{
    int64_t now = at("2026-04-29T12:00:00Z");
    start_and_end(*state, "a", 1, at("2036-04-29T12:00:00Z"));
    int64_t until = start(*state, "b", 1, now);
    assert_true(until > now && until <= now + HOUR);
    start_and_end(*state, "c", 2, now); /* from here on the future one counts as begun now */
    assert_int_equal(start(*state, "b", 2, now + HOUR), 0);
}

static void test_a_task_begun_in_the_future_holds_its_limit_for_an_hour_at_most(void **state)
{
    int64_t now = at("2026-04-29T12:00:00Z");
    start_and_end(*state, "a", 1, at("2036-04-29T12:00:00Z"));
    int64_t until = start(*state, "b", 1, now);
    assert_int_equal(start(*state, "b", 1, until), 0);
}

/* The ledger of one text. */
static struct budget *read_text(const char *text)
{
    struct budget *budget = budget_new();
    OWNED char *copy = memory_text(text), *agent = memory_text("");
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *colon = strstr(line, ": ");
        if (strncmp(line, "## ", 3) == 0) {
            free(agent);
            agent = memory_text(line + 3);
        } else if (strncmp(line, "- ", 2) == 0 && colon) {
            *colon = '\0';
            if (!budget_line(budget, agent, line + 2, colon + 2))
                fail_msg("not read: %s %s: %s", agent, line, colon + 2);
        }
    }
    return budget;
}

static void test_its_text_is_read_back_as_the_same(void **state)
{
    OWNED_BUFFER struct buffer text = {0}, again = {0};
    int64_t now = at("2026-04-29T12:00:00Z");
    spend(*state, "orion", 123, 0, 0, now - DAY);
    spend(*state, "orion", 456, 0, 0, now);
    spend(*state, "iris", 7, 0, 0, now);
    start_and_end(*state, "a", 3, now - 60);
    start(*state, "in hand: still", 3, now);
    start_and_end(*state, "wide", 1000, now);
    budget_print(*state, now, &text);
    struct budget *other = read_text(text.data);
    budget_print(other, now, &again);
    assert_string_equal(text.data, again.data);
    assert_int_equal(budget_spent(other, "orion", now).tokens, 456);
    assert_int_equal(start(other, "in hand: still", 3, now), 0);
    assert_int_not_equal(start(other, "b", 3, now), 0);
    budget_free(other);
}

static void test_what_a_line_cannot_mean_is_refused(void **state)
{
    static const char *const lines[][2] = {
        {"tokens", "12"},
        {"tokens", "-5 on 2026-04-29"},
        {"tokens", "many on 2026-04-29"},
        {"tokens", "5 on "},
        {"tokens", "5 on the day after"},
        {"begun", "1 at noon"},
        {"begun", "at"},
        {"in hand", ""},
        {"nonsense", "5 on 2026-04-29"},
        {"tokens", ""},
        {"begun", "1 on 2026-04-29T10:00:00Z"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (budget_line(*state, "orion", lines[i][0], lines[i][1]))
            fail_msg("%s: %s", lines[i][0], lines[i][1]);
    assert_false(budget_line(*state, "", "tokens", "5 on 2026-04-29"));
    assert_true(budget_line(*state, "orion", "tokens", "99999999999999999999999 on 2026-04-29"));
    assert_true(budget_line(*state, "orion", "tokens", "99999999999999999999999 on 2026-04-29"));
    assert_int_equal(budget_spent(*state, NULL, at("2026-04-29T10:00:00Z")).tokens, UINT64_MAX);
}

static void test_another_task_of_an_id_in_hand_counts(void **state)
{
    struct fault why;
    int64_t until, now = at("2026-04-29T12:00:00Z");
    struct budget_request request = {.agent = "orion", .serial = 1, .task = "same", .tasks_per_hour = 3};
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    assert_true(budget_reserve(*state, &request, now, &until, &why)); /* the same one again */
    request.another = true;
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    budget_task_ended(*state, "orion", "same");
    request.another = false; /* the second task again: it is still in hand */
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    request.another = true;
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    budget_task_ended(*state, "orion", "same");
    assert_false(budget_reserve(*state, &request, now, &until, &why));
}

static void test_money_and_requests_outlive_the_text(void **state)
{
    int64_t now = at("2026-04-29T12:00:00Z");
    assert_true(budget_line(*state, "orion", "tokens", "500 on 2026-04-29"));
    assert_true(budget_line(*state, "orion", "cached", "20 on 2026-04-29"));
    assert_true(budget_line(*state, "orion", "requests", "3 on 2026-04-29"));
    assert_true(budget_line(*state, "orion", "cost", "1.5 on 2026-04-29"));
    assert_true(budget_line(*state, "orion", "cost", "0.000000001 on 2026-04-29"));
    assert_false(budget_line(*state, "orion", "cost", ".5 on 2026-04-29"));
    OWNED_BUFFER struct buffer text = {0};
    budget_print(*state, now, &text);
    assert_non_null(strstr(text.data, "- cost: 1.500000001 on 2026-04-29\n"));
    assert_non_null(strstr(text.data, "- cached: 20 on 2026-04-29\n"));
    assert_non_null(strstr(text.data, "- requests: 3 on 2026-04-29\n"));
}

static void test_no_agent_of_a_long_text_is_forgotten_when_the_text_is_read_again(void **state)
{
    enum { MANY = 30000 };
    for (int reading = 0; reading < 2; reading++) {
        budget_clear(*state);
        for (int i = 0; i < MANY; i++) {
            OWNED char *agent = memory_print("agent-%d", i);
            assert_true(budget_line(*state, agent, "tokens", "7 on 2026-04-29"));
        }
        int64_t now = at("2026-04-29T10:00:00Z");
        assert_int_equal(budget_spent(*state, "agent-0", now).tokens, 7);
        assert_int_equal(budget_spent(*state, "agent-29999", now).tokens, 7);
        assert_int_equal(budget_spent(*state, NULL, now).tokens, 7 * MANY);
    }
}

static void test_sums_of_money_end_at_a_most_that_is_neither_nothing_nor_unknown(void **state)
{
    struct question_usage sum = {.cost = USAGE_NO_COST};
    struct question_usage more = {.requests = 1, .cost = usage_cost(1e300)};
    for (int i = 0; i < 3; i++)
        usage_add(&sum, &more);
    assert_int_equal(sum.requests, 3);
    assert_true(sum.cost == USAGE_COST_MOST);
    more.cost = usage_cost(0.9e9);
    sum.cost = USAGE_NO_COST;
    for (int i = 0; i < 40; i++)
        usage_add(&sum, &more);
    assert_true(sum.cost == USAGE_COST_MOST);
    assert_true(usage_sum_costs(USAGE_COST_MOST, USAGE_COST_MOST) == USAGE_COST_MOST);
    assert_int_equal(usage_sum_costs(2, 3), 5);
}

static void test_what_is_under_way_while_the_text_is_read_anew_is_settled_all_the_same(void **state)
{
    struct fault why;
    int64_t until, now = at("2026-04-29T12:00:00Z");
    const struct budget_request request = {.agent = "orion", .serial = 7, .tokens = 400};
    assert_true(budget_reserve(*state, &request, now, &until, &why));
    budget_clear(*state);
    assert_true(budget_line(*state, "orion", "tokens", "100 on 2026-04-29"));
    assert_true(settle(*state, 7, 30));
    assert_int_equal(budget_spent(*state, "orion", now).tokens, 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_day_has_so_many_tokens_and_the_next_one_has_them_again),
        TEST(test_what_is_reserved_counts_until_it_is_settled),
        TEST(test_asked_again_of_another_gateway_is_paid_twice),
        TEST(test_a_day_has_so_much_money),
        TEST(test_every_request_is_counted_with_what_it_took),
        TEST(test_another_task_of_an_id_in_hand_counts),
        TEST(test_money_and_requests_outlive_the_text),
        TEST(test_a_reservation_is_settled_on_the_day_it_was_made),
        TEST(test_the_budget_of_all_counts_those_without_a_limit_too),
        TEST(test_a_request_that_no_day_allows_is_told_so),
        TEST(test_a_clock_that_jumps_away_and_back_gives_no_tokens),
        TEST(test_an_hour_has_so_many_tasks_whenever_it_begins),
        TEST(test_a_lowered_limit_waits_until_enough_have_aged),
        TEST(test_a_task_that_is_begun_again_counts_once_until_it_has_ended),
        TEST(test_many_tasks_an_hour_are_counted_in_few_lines),
        TEST(test_tasks_begun_in_the_future_hold_nobody_up_longer_than_an_hour),
        TEST(test_a_task_begun_in_the_future_holds_its_limit_for_an_hour_at_most),
        TEST(test_its_text_is_read_back_as_the_same),
        TEST(test_what_a_line_cannot_mean_is_refused),
        TEST(test_no_agent_of_a_long_text_is_forgotten_when_the_text_is_read_again),
        TEST(test_sums_of_money_end_at_a_most_that_is_neither_nothing_nor_unknown),
        TEST(test_what_is_under_way_while_the_text_is_read_anew_is_settled_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
