#include "tests/unit/cmocka.h"
#include "worker/memory/rollback_diff.h"

static void check(const struct learned_texts *now, const struct learned_texts *becomes, const char *expected)
{
    OWNED_BUFFER struct buffer out = {0};
    undone_tell(now, becomes, &out);
    buffer_add(&out, "", 0);
    assert_string_equal(out.data, expected);
}

static void test_the_same_is_nothing(void **state)
{
    const struct learned_texts texts = {.skills = "# Skills\n\n### a\n- reward_evidence: 1\n",
                                        .goals = "- [ ] one\n",
                                        .reflections = "## t\n- text: x\n"};
    check(&texts, &texts, "");
    check(&(struct learned_texts){0}, &(struct learned_texts){0}, "");
}

static void test_skills_that_go_come_and_lose_evidence_are_named_with_it(void **state)
{
    const struct learned_texts now = {
        .skills = "### gone\n- reward_evidence: 3\n- last_success: 2026-11-01\n\n### bare\n\n"
                  "### same\n- reward_evidence: 2\n\n### less\n- reward_evidence: 5\n\n### words\n- "
                  "description: new\n"};
    const struct learned_texts becomes = {.skills = "### back\n- reward_evidence: 4\n\n### same\n- "
                                                    "reward_evidence: 2\n\n### less\n- reward_evidence: 2\n\n"
                                                    "### words\n- description: old\n"};
    check(&now, &becomes,
          "skill gone: gone (evidence 3, last success 2026-11-01)\nskill gone: bare (evidence not noted)\n"
          "skill restored: back (evidence 4)\nskill put back: less (evidence 5 becomes 2)\nskill put back: "
          "words\n");
}

static void test_a_file_that_was_not_there_means_that_all_of_it_goes(void **state)
{
    const struct learned_texts now = {.skills = "### a\n- reward_evidence: 1\n",
                                      .goals = "- [ ] one\n",
                                      .reflections = "## t\n- text: x\n"};
    const struct learned_texts nothing = {0};
    check(&now, &nothing, "skill gone: a (evidence 1)\ngoal gone: one\nreflection gone: t\n");
    check(&nothing, &now, "skill restored: a (evidence 1)\ngoal restored: one\nreflection restored: t\n");
}

static void test_goals_that_were_done_since_are_open_again(void **state)
{
    const struct learned_texts now = {.goals = "Words.\n- [x] one\n- [ ] two\n- [ ] three\n"};
    const struct learned_texts becomes = {.goals = "- [ ] one\n- [x] two\n- [ ] four\n"};
    check(&now, &becomes,
          "goal gone: three\ngoal restored: four\ngoal open again: one\ngoal done again: two\n");
}

static void test_two_reflections_of_one_task_are_two(void **state)
{
    const struct learned_texts now = {.reflections = "## t\n- text: first\n\n## t\n- text: second\n"};
    const struct learned_texts becomes = {.reflections = "## t\n- text: first\n"};
    check(&now, &becomes, "reflection gone: t\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_is_nothing),
        cmocka_unit_test(test_skills_that_go_come_and_lose_evidence_are_named_with_it),
        cmocka_unit_test(test_a_file_that_was_not_there_means_that_all_of_it_goes),
        cmocka_unit_test(test_goals_that_were_done_since_are_open_again),
        cmocka_unit_test(test_two_reflections_of_one_task_are_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
