#include <string.h>

#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/memory/learning.h"
#include "worker/memory/rewards.h"

static struct entries parse(const char *text)
{
    struct entries rewards;
    entries_parse(&rewards, 2, text, strlen(text));
    return rewards;
}

static void add(struct entries *rewards, int reward, int audit, const char *reason)
{
    rewards_add(rewards, &(struct reward_note){.task_id = "t",
                                               .reward = reward,
                                               .audit_score = audit,
                                               .at = 1777420800,
                                               .reason = reason,
                                               .tokens = 12});
}

static void assert_calls_for(struct entries *rewards, const char *expected)
{
    OWNED char *goal = rewards_call_for_goal(rewards);
    if (expected)
        assert_string_equal(goal, expected);
    else
        assert_null(goal);
    entries_free(rewards);
}

static void test_an_entry_stands_as_the_contract_says(void **state)
{
    struct entries rewards = parse("");
    OWNED_BUFFER struct buffer out = {0};
    add(&rewards, 1, AUDIT_NONE, NULL);
    add(&rewards, 0, -1, "two\nlines");
    entries_print(&rewards, &out);
    assert_string_equal(
        out.data,
        "## t\n- reward: +1\n- audit_score: none\n- at: 2026-04-29T00:00:00Z\n- reason: none given\n"
        "- tokens: 12\n\n## t\n- reward: 0\n- audit_score: -1\n- at: 2026-04-29T00:00:00Z\n"
        "- reason: two lines\n- tokens: 12\n");
    entries_free(&rewards);
}

static void test_thirty_are_kept_and_the_oldest_goes(void **state)
{
    struct entries rewards = parse("## first\n- reward: 0\n");
    for (int i = 0; i < 30; i++)
        add(&rewards, 1, AUDIT_NONE, "r");
    assert_int_equal(rewards.count, 30);
    assert_null(entries_find(&rewards, "first"));
    entries_free(&rewards);
}

static void test_a_streak_ends_at_what_is_no_failure(void **state)
{
    struct entries rewards =
        parse("## a\n- reward: -1\n## b\n- reward: nonsense\n## c\n- reward: -1\n## d\n- reward: -1\n");
    assert_int_equal(rewards_negative_streak(&rewards), 2);
    add(&rewards, 0, AUDIT_NONE, NULL);
    assert_int_equal(rewards_negative_streak(&rewards), 0);
    entries_free(&rewards);
}

static void test_three_failures_of_one_kind_call_for_a_goal(void **state)
{
    struct entries rewards = parse("");
    add(&rewards, -1, AUDIT_NONE, "rate limited while fetching pages");
    add(&rewards, 1, AUDIT_NONE, "fine");
    add(&rewards, -1, AUDIT_NONE, "Fetching the page was rate limited");
    add(&rewards, -1, AUDIT_NONE, "page fetch: rate limit");
    assert_calls_for(&rewards, "Stop failing at: page fetch: rate limit");
}

static void test_three_failures_of_three_kinds_do_not(void **state)
{
    struct entries rewards = parse("");
    add(&rewards, -1, AUDIT_NONE, "rate limited while fetching pages");
    add(&rewards, -1, AUDIT_NONE, "the contract lacks its annex");
    add(&rewards, -1, AUDIT_NONE, "no database credentials");
    assert_calls_for(&rewards, NULL);
}

static void test_a_success_calls_for_nothing_whatever_went_before(void **state)
{
    struct entries rewards = parse("");
    for (int i = 0; i < 3; i++)
        add(&rewards, -1, AUDIT_NONE, "rate limited");
    add(&rewards, 1, AUDIT_NONE, "rate limited no more");
    assert_calls_for(&rewards, NULL);
}

static void test_a_run_of_divergence_calls_for_a_goal(void **state)
{
    struct entries rewards = parse("");
    for (int i = 0; i < 3; i++)
        add(&rewards, 1, -1, "great");
    assert_calls_for(&rewards, "Score my own work as the audit would");
    rewards = parse("");
    add(&rewards, 1, -1, "great");
    add(&rewards, 1, 1, "great");
    add(&rewards, 1, -1, "great");
    assert_calls_for(&rewards, NULL);
}

static void test_the_prompt_gets_the_newest_that_fit(void **state)
{
    struct entries rewards = parse("");
    OWNED_BUFFER struct buffer out = {0};
    add(&rewards, -1, AUDIT_NONE, "old");
    add(&rewards, 1, 0, "new");
    rewards_prompt(&rewards, 50, &out);
    assert_string_equal(out.data, "- 2026-04-29 t: +1 (audit 0), new\n");
    entries_free(&rewards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_stands_as_the_contract_says),
        cmocka_unit_test(test_thirty_are_kept_and_the_oldest_goes),
        cmocka_unit_test(test_a_streak_ends_at_what_is_no_failure),
        cmocka_unit_test(test_three_failures_of_one_kind_call_for_a_goal),
        cmocka_unit_test(test_three_failures_of_three_kinds_do_not),
        cmocka_unit_test(test_a_success_calls_for_nothing_whatever_went_before),
        cmocka_unit_test(test_a_run_of_divergence_calls_for_a_goal),
        cmocka_unit_test(test_the_prompt_gets_the_newest_that_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
