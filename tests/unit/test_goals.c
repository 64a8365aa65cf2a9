#include <string.h>

#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/memory/goals.h"

static struct goals parse(const char *text)
{
    struct goals goals;
    goals_parse(&goals, text, strlen(text));
    return goals;
}

static void assert_prints(struct goals *goals, const char *expected)
{
    OWNED_BUFFER struct buffer out = {0};
    goals_print(goals, &out);
    assert_string_equal(out.data ? out.data : "", expected);
    goals_free(goals);
}

static void test_what_people_wrote_stays_as_it_is(void **state)
{
    const char *text =
        "# Goals\n\nMy words.\n\n* [ ] one\n  more of it\n1. [x] two\n- no box\n- [y] no box\n";
    struct goals goals = parse(text);
    assert_int_equal(goals_active(&goals), 1);
    assert_prints(&goals, text);
}

static void test_a_done_goal_goes_with_what_belongs_to_it(void **state)
{
    struct goals goals = parse("- [x] one\r\n  detail\r\n- [ ] two\r\n  detail\r\n- [X] three\r\ntext\r\n");
    goals_drop_done(&goals);
    assert_prints(&goals, "- [ ] two\n  detail\ntext\n");
}

static void test_a_goal_is_recognised_whatever_its_case_and_punctuation(void **state)
{
    struct goals goals = parse("- [ ] Handle streaming SSE endpoints robustly\n");
    assert_true(goals_finish(&goals, "handle  streaming SSE-endpoints robustly."));
    assert_false(goals_finish(&goals, "Handle streaming SSE endpoints robustly"));
    assert_prints(&goals, "- [x] Handle streaming SSE endpoints robustly\n");
}

static void test_the_sixth_active_goal_finds_no_room(void **state)
{
    struct goals goals = parse("# Goals\n");
    assert_int_equal(goals_add(&goals, " a\nb "), GOAL_ADDED);
    assert_int_equal(goals_add(&goals, "A B"), GOAL_KNOWN);
    for (int i = 1; i < 5; i++) {
        OWNED char *text = memory_print("goal %d", i);
        assert_int_equal(goals_add(&goals, text), GOAL_ADDED);
    }
    assert_int_equal(goals_add(&goals, "goal 6"), GOAL_NO_ROOM);
    assert_int_equal(goals_active(&goals), 5);
    assert_prints(&goals, "# Goals\n\n- [ ] a b\n- [ ] goal 1\n- [ ] goal 2\n- [ ] goal 3\n- [ ] goal 4\n");
}

static void test_a_box_inside_a_code_fence_is_no_goal(void **state)
{
    struct goals goals = parse("```\n- [ ] example\n```\n- [ ] real\n");
    assert_int_equal(goals_active(&goals), 1);
    assert_prints(&goals, "```\n- [ ] example\n```\n- [ ] real\n");
}

static void test_the_prompt_shows_five_at_most(void **state)
{
    struct goals goals = parse("- [ ] 1\n- [x] no\n- [ ] 2\n- [ ] 3\n- [ ] 4\n- [ ] 5\n- [ ] 6\n");
    OWNED_BUFFER struct buffer out = {0};
    goals_prompt(&goals, &out);
    assert_string_equal(out.data, "- 1\n- 2\n- 3\n- 4\n- 5\n");
    goals_free(&goals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_people_wrote_stays_as_it_is),
        cmocka_unit_test(test_a_done_goal_goes_with_what_belongs_to_it),
        cmocka_unit_test(test_a_goal_is_recognised_whatever_its_case_and_punctuation),
        cmocka_unit_test(test_the_sixth_active_goal_finds_no_room),
        cmocka_unit_test(test_a_box_inside_a_code_fence_is_no_goal),
        cmocka_unit_test(test_the_prompt_shows_five_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
