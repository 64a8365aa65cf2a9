#include <string.h>

#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/reply/reply.h"

static struct reply reply;

static void parse_ended(const char *text, const char *finish_reason)
{
    reply_free(&reply);
    reply_parse(&reply, text, strlen(text), finish_reason);
}

static void parse(const char *text)
{
    parse_ended(text, "stop");
}

static int forget(void **state)
{
    reply_free(&reply);
    return 0;
}

static void assert_faults(const char *part)
{
    if (!reply.faults || !strstr(reply.faults, part))
        fail_msg("the faults are: %s", reply.faults ? reply.faults : "none");
}

static void assert_faultless(void)
{
    if (reply.faults)
        fail_msg("unexpected: %s", reply.faults);
}

static void test_the_contracts_example_is_read_whole(void **state)
{
    parse("The active constraints are …\n\n```agentos\n"
          "reward: 1                     # 1 reusable success, 0 partial, -1 failure\nreason: one line\n"
          "skill:                        # kept only with reward 1\n"
          "  name: paginated-fetch       # 1-64\n  description: When and why to use it.\n  body: |\n    "
          "Markdown.\n"
          "reflection: one line          # optional\ngoals: {add: [\"a\"], done: [\"b\"]}\n"
          "handoffs: [{to: iris, task: \"t\", ttl_seconds: 600, priority: high}]\n"
          "messages: [{to: iris, body: \"m\"}]\nenqueue: [{queue: reviews, task: \"q\"}]\n"
          "segments: [{name: glossary, body: \"s\", base_version: 3}]\n```\n");
    assert_faultless();
    assert_string_equal(reply.answer, "The active constraints are …");
    assert_true(reply.structured && reply.reward_given);
    assert_int_equal(reply.reward, 1);
    assert_string_equal(reply.reason, "one line");
    assert_string_equal(reply.skill.name, "paginated-fetch");
    assert_string_equal(reply.skill.description, "When and why to use it.");
    assert_string_equal(reply.skill.body, "Markdown.");
    assert_string_equal(reply.reflection, "one line");
    assert_string_equal(reply.goals_add.items[0], "a");
    assert_string_equal(reply.goals_done.items[0], "b");
    assert_int_equal(reply.send_count, 3);
    assert_int_equal(reply.sends[0].kind, KIND_HANDOFF);
    assert_int_equal(reply.sends[0].ttl_seconds, 600);
    assert_int_equal(reply.sends[0].priority, PRIORITY_HIGH);
    assert_int_equal(reply.sends[1].kind, KIND_MESSAGE);
    assert_int_equal(reply.sends[1].ttl_seconds, -1);
    assert_string_equal(reply.sends[2].to, "reviews");
    assert_int_equal(reply.segments[0].base_version, 3);
}

static void test_the_last_block_counts(void **state)
{
    parse("a\n```agentos\nreward: -1\n```\nb\n```agentos\nreward: 1\n```\n");
    assert_int_equal(reply.reward, 1);
    assert_non_null(strstr(reply.answer, "reward: -1"));
}

static void test_fences_may_look_different(void **state)
{
    static const char *const texts[] = {
        "x\n~~~~ AgentOS\nreward: 1\n~~~~\n",
        "x\r\n```agentos\r\nreward: 1\r\n```\r\n",
        "x\n   ```yaml agentos\n   reward: 1\n   ```",
        "x\n```agentos\n{\"reward\": 1, \"reason\": \"r\"}\n```",
        "x\n```agentos\nreward: 1",
        "x\n```{agentos}\nreward: 1\n```",
        "x\n```agentos\nreward: 1\n```\n\n",
        "x\n```yaml\nreward: 1\n```\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        parse(texts[i]);
        assert_faultless();
        assert_int_equal(reply.reward, 1);
        assert_string_equal(reply.answer, "x");
    }
}

static void test_an_example_in_a_longer_fence_is_no_block(void **state)
{
    parse("So it looks:\n````\n```agentos\nreward: 1\n```\n````\n");
    assert_false(reply.structured);
    assert_int_equal(reply.reward, 0);
}

static void test_a_code_block_that_was_never_closed_does_not_swallow_the_block(void **state)
{
    parse("Review:\n```python\nprint(1)\n\n```agentos\nreward: 1\n```\n");
    assert_int_equal(reply.reward, 1);
}

static void test_a_fence_inside_the_skills_body_does_not_end_the_block(void **state)
{
    parse("x\n```agentos\nreward: 1\nskill:\n  name: a\n  description: d\n  body: |\n    Do:\n    "
          "```python\n    go()\n"
          "    ```\n  \nreflection: behind\n```\n");
    assert_faultless();
    assert_string_equal(reply.skill.body, "Do:\n```python\ngo()\n```");
    assert_string_equal(reply.reflection, "behind");
}

static void test_a_fence_two_blanks_deep_does_not_end_it_either(void **state)
{
    parse("x\n```agentos\nreward: 1\nskill:\n name: a\n body: |\n  ```sh\n  go\n  ```\nreflection: "
          "behind\n```\n");
    assert_faultless();
    assert_string_equal(reply.skill.body, "```sh\ngo\n```");
    assert_string_equal(reply.reflection, "behind");
}

static void test_a_whole_json_object_is_a_reply(void **state)
{
    parse("{\"answer\": \"Hi \\ud83d\\ude00\\nthere\", \"reward\": 1, \"goals\": {\"add\": [\"g\"]}}");
    assert_faultless();
    assert_string_equal(reply.answer, "Hi \xf0\x9f\x98\x80\nthere");
    assert_int_equal(reply.reward, 1);
    assert_string_equal(reply.goals_add.items[0], "g");
    parse("```json\n{\"answer\": \"a\", \"reward\": -1, \"reward\": -1}\n```");
    assert_string_equal(reply.answer, "a");
    assert_int_equal(reply.reward, -1);
}

static void test_an_answer_that_is_json_itself_stays_an_answer(void **state)
{
    parse("{\"rows\": 3}\n```agentos\nreward: 1\n```");
    assert_string_equal(reply.answer, "{\"rows\": 3}");
    assert_int_equal(reply.reward, 1);
}

static void test_rewards_are_read_as_models_write_them(void **state)
{
    static const struct {
        const char *text;
        int reward;
        bool fault;
    } cases[] = {{"+1", 1, false},
                 {"1", 1, false},
                 {"1.0", 1, false},
                 {"\"1\"", 1, false},
                 {"-1", -1, false},
                 {"\xe2\x88\x92"
                  "1",
                  -1, false},
                 {"success", 1, false},
                 {"Failure", -1, false},
                 {"0", 0, false},
                 {"-0", 0, false},
                 {"+1.", 1, false},
                 {"-1 (failure)", -1, false},
                 {"1 - reusable", 1, false},
                 {"1 or -1", 0, true},
                 {"1/2", 0, true},
                 {"5", 0, true},
                 {"0.5", 0, true},
                 {"[1]", 0, true},
                 {"yes", 1, false},
                 {"1e400", 0, true},
                 {"nan", 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWNED char *text = memory_print("x\n```agentos\nreward: %s\n```\n", cases[i].text);
        parse(text);
        if (reply.reward != cases[i].reward || (reply.faults != NULL) != cases[i].fault)
            fail_msg("%s gave %d, %s", cases[i].text, reply.reward, reply.faults ? reply.faults : "no fault");
    }
}

static void test_keys_are_known_in_any_case_and_in_bold(void **state)
{
    static const char *const blocks[] = {
        "Reward: 1\nReason: it worked\nSkill: {Name: a, Description: d, Body: b}\n",
        "**reward**: 1\n**reason**: it worked\n**skill**: {name: a, description: d, body: b}\n",
        "**Reward:** 1\n**Reason:** it worked\nSKILL:\n  Name: a\n  Body: b: c\n"};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        OWNED char *text = memory_print("x\n```agentos\n%s```\n", blocks[i]);
        parse(text);
        assert_int_equal(reply.reward, 1);
        assert_string_equal(reply.reason, "it worked");
        assert_string_equal(reply.skill.name, "a");
    }
}

static void test_a_key_that_is_unknown_is_told(void **state)
{
    parse("x\n```agentos\nreward: 1\nreason: r\nforward: [{to: iris, task: t}]\n```\n");
    assert_int_equal(reply.reward, 1);
    assert_faults("the key \"forward\" is unknown and was not used");
}

static void test_a_malformed_part_harms_only_itself(void **state)
{
    parse("x\n```agentos\nreward: 1\nreason: fixed: the thing\nskill:\n  name: a-b\n  description: Use when: "
          "always\n"
          "  body: |\n    B\ngoals: {add: [oops\nmessages: [{to: iris, body: hi}]\n```\n");
    assert_int_equal(reply.reward, 1);
    assert_string_equal(reply.reason, "fixed: the thing");
    assert_string_equal(reply.skill.name, "a-b");
    assert_string_equal(reply.skill.description, "Use when: always");
    assert_string_equal(reply.skill.body, "B");
    assert_int_equal(reply.goals_add.count, 0);
    assert_int_equal(reply.send_count, 1);
    assert_faults("goals could not be read");
}

static void test_a_known_key_inside_a_body_does_not_cut_it(void **state)
{
    parse("x\n```agentos\nreward: 1\nreason: a: b\nskill:\n  name: n\n  body: |\n    text\n    reason: "
          "inner\n    end\n```\n");
    assert_string_equal(reply.reason, "a: b");
    assert_string_equal(reply.skill.body, "text\nreason: inner\nend");
}

static void test_wrong_kinds_are_told_and_the_rest_is_used(void **state)
{
    parse("x\n```agentos\nreward: 1\nreason: [a]\nskill: 7\nreflection: {a: b}\ngoals: [one, {b: "
          "c}]\nhandoffs: nobody\n"
          "messages: {to: Iris, text: hello}\nenqueue: [{queue: reviews}]\nsegments: [{name: g}]\n```\n");
    assert_int_equal(reply.reward, 1);
    assert_null(reply.reason);
    assert_string_equal(reply.goals_add.items[0], "one");
    assert_int_equal(reply.goals_add.count, 1);
    assert_int_equal(reply.send_count, 1);
    assert_string_equal(reply.sends[0].to, "iris");
    assert_int_equal(reply.segment_count, 0);
    assert_faults("reason is no text");
    assert_faults("a goal is no text");
    assert_faults("handoffs has no fields");
    assert_faults("has no text");
    assert_faults("segments was not written");
}

static void test_skill_names_are_made_fit_or_refused(void **state)
{
    parse("x\n```agentos\nreward: 1\nskill: {name: Paginated  Fetch_2!, body: '# Do it'}\n```\n");
    assert_string_equal(reply.skill.name, "paginated-fetch-2");
    assert_string_equal(reply.skill.description, "Do it");
    static const char *const bad[] = {"../../etc/passwd", ".ssh", "a/b", "'!!!'", "'a\\\\b'"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        OWNED char *text =
            memory_print("x\n```agentos\nreward: 1\nskill: {name: %s, body: b}\n```\n", bad[i]);
        parse(text);
        assert_null(reply.skill.name);
        assert_faults("can't be a skill's name");
    }
    parse("x\n```agentos\nreward: 1\nskill: known-one\n```\n");
    assert_string_equal(reply.skill.name, "known-one");
    parse("x\n```agentos\nreward: 1\nskill: null\n```\n");
    assert_null(reply.skill.name);
    assert_faultless();
}

static void test_what_is_no_whole_answer_earns_nothing(void **state)
{
    static const struct {
        const char *text, *ended, *fault;
    } cases[] = {
        {"", "stop", "empty"},
        {"  \n", "", "empty"},
        {"Just text.", "stop", "no agentos block"},
        {"Text that ends in the mid", "length", "cut off at the token limit"},
        {"x\n```agentos\nreward: 1\nskill: {name: a}\nhandoffs: [{to: b, task: half", "length", "cut off"},
        {"x\n```agentos\nreward: 1\nhandoffs:\n- to: b\n  task: half of a", "length", "cut off"},
        {"x\n```agentos\nreward: 1\nskill: {name: a}\n```\nAnd then", "length", "cut off"},
        {"I cannot help.\n```agentos\nreward: 1\n```", "refusal", "refused"},
        {"x\n```agentos\nreward: 1\n```", "content_filter", "content filter"},
        {"```agentos\nreward: 1\n```", "stop", "empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse_ended(cases[i].text, cases[i].ended);
        assert_int_equal(reply.reward, 0);
        assert_null(reply.skill.name);
        assert_int_equal(reply.send_count, 0);
        assert_non_null(reply.answer);
        assert_faults(cases[i].fault);
    }
}

static void test_a_block_without_reward_says_so(void **state)
{
    parse("x\n```agentos\nreason: r\n```\n");
    assert_true(reply.structured);
    assert_false(reply.reward_given);
    assert_faults("no reward");
    parse("x\n```agentos\n- a\n- b\n```\n");
    assert_faults("no list of 'key: value' lines");
    assert_string_equal(reply.answer, "x");
}

static void test_texts_and_counts_are_capped(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "x\n```agentos\nreward: 0\nreason: ");
    for (int i = 0; i < 1000; i++)
        buffer_text(&text, "ä");
    buffer_text(&text, "\nmessages:\n");
    for (int i = 0; i < 100; i++)
        buffer_print(&text, "- {to: a%d, body: b}\n", i);
    buffer_text(&text, "```\n");
    parse(text.data);
    assert_int_equal(strlen(reply.reason), 500);
    assert_int_equal(reply.send_count, REPLY_SENDS_MAX);
    assert_faults("reason has 2000 bytes and was cut to 500");
    assert_faults("more than 64 sends");
    assert_true(strlen(reply.faults) < 3000);
}

static void test_bytes_that_are_no_text_do_no_harm(void **state)
{
    const char text[] = "a\xff\0b\n```agentos\nreward: 1\nreason: \x01\xfe\n```\n";
    reply_free(&reply);
    reply_parse(&reply, text, sizeof text - 1, "stop");
    assert_int_equal(reply.reward, 1);
    assert_non_null(reply.reason);
    assert_non_null(strstr(reply.answer, "b"));
}

static void test_anchors_cannot_grow_a_reply(void **state)
{
    parse("x\n```agentos\nreward: 1\nreason: &a [b]\nreflection: *a\n```\n");
    assert_int_equal(reply.reward, 1);
    assert_string_equal(reply.reason, "&a [b]");
    assert_string_equal(reply.reflection, "*a");
}

static void test_thoughts_before_the_answer_are_left_out(void **state)
{
    parse("<think>\n```agentos\nreward: -1\n```\n</think>\nHello\n```agentos\nreward: 1\n```\n");
    assert_string_equal(reply.answer, "Hello");
    assert_int_equal(reply.reward, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_contracts_example_is_read_whole),
        cmocka_unit_test(test_the_last_block_counts),
        cmocka_unit_test(test_fences_may_look_different),
        cmocka_unit_test(test_an_example_in_a_longer_fence_is_no_block),
        cmocka_unit_test(test_a_code_block_that_was_never_closed_does_not_swallow_the_block),
        cmocka_unit_test(test_a_fence_inside_the_skills_body_does_not_end_the_block),
        cmocka_unit_test(test_a_fence_two_blanks_deep_does_not_end_it_either),
        cmocka_unit_test(test_a_whole_json_object_is_a_reply),
        cmocka_unit_test(test_an_answer_that_is_json_itself_stays_an_answer),
        cmocka_unit_test(test_rewards_are_read_as_models_write_them),
        cmocka_unit_test(test_keys_are_known_in_any_case_and_in_bold),
        cmocka_unit_test(test_a_key_that_is_unknown_is_told),
        cmocka_unit_test(test_a_malformed_part_harms_only_itself),
        cmocka_unit_test(test_a_known_key_inside_a_body_does_not_cut_it),
        cmocka_unit_test(test_wrong_kinds_are_told_and_the_rest_is_used),
        cmocka_unit_test(test_skill_names_are_made_fit_or_refused),
        cmocka_unit_test(test_what_is_no_whole_answer_earns_nothing),
        cmocka_unit_test(test_a_block_without_reward_says_so),
        cmocka_unit_test(test_texts_and_counts_are_capped),
        cmocka_unit_test(test_bytes_that_are_no_text_do_no_harm),
        cmocka_unit_test(test_anchors_cannot_grow_a_reply),
        cmocka_unit_test(test_thoughts_before_the_answer_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
