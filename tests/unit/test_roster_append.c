#include <string.h>

#include "common/memory.h"
#include "supervisor/cli/transfer/roster_append.h"
#include "tests/unit/cmocka.h"

/* The first agent of an agents.yaml; the roster is kept by the caller. */
static struct roster *read_roster(const char *text)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_parse(text, strlen(text), "agents.yaml", &faults);
    if (!roster)
        fail_msg("%s", faults.data);
    return roster;
}

static const char full[] =
    "agents:\n"
    "  - name: nova\n"
    "    persona: \"First line: one.\\nSecond # line, with 'quotes' and \\\"more\\\".\"\n"
    "    domain: \"5\"\n"
    "    hints: [\"yes\", \"- a\", \"x: y\"]\n"
    "    goals: [Learn]\n"
    "    throughput_class: slow\n"
    "    ttl_seconds: 0\n"
    "    may_send_to: []\n"
    "    decay_halflife_days: 0.1\n"
    "    reward_audit: {method: command, command: [/data/tools/check, --strict, 5]}\n"
    "    limits: {memory_mb: 64, tasks_per_hour: 7}\n"
    "    watchdog: {negative_streak: 2, action: pause}\n"
    "    idle_exit_seconds: 9\n"
    "    node: dc1\n"
    "    schedule: [{cron: \"0 7 * * 1-5\", task: \"Do: it\"}, {cron: \"* * * * *\", task: x}]\n";

static void check_written(const struct roster_agent *agent, enum roster_form form, bool whole)
{
    OWNED_BUFFER struct buffer text = {0}, first = {0}, second = {0};
    buffer_text(&text, form == ROSTER_FLOW ? "agents: [" : "agents:\n");
    roster_write(agent, form, 4, whole, &text);
    buffer_text(&text, form == ROSTER_FLOW ? "]\n" : "");
    struct roster *again = read_roster(text.data);
    roster_encode(agent, &first);
    roster_encode(&again->agents[0], &second);
    assert_int_equal(again->agent_count, 1);
    assert_int_equal(again->agents[0].throughput_class, agent->throughput_class);
    assert_int_equal(again->agents[0].reward_audit.method, agent->reward_audit.method);
    assert_int_equal(again->agents[0].watchdog.pause, agent->watchdog.pause);
    assert_int_equal(first.length, second.length);
    assert_memory_equal(first.data, second.data, first.length);
    roster_free(again);
}

static void test_a_definition_that_is_written_reads_back_as_the_same(void **state)
{
    struct roster *one = read_roster(full);
    struct roster *least = read_roster("agents:\n- {name: iris, persona: x}\n");
    for (int form = ROSTER_ITEM; form <= ROSTER_FLOW; form++)
        for (int whole = 0; whole < 2; whole++) {
            check_written(&one->agents[0], (enum roster_form)form, whole);
            check_written(&least->agents[0], (enum roster_form)form, whole);
        }
    roster_free(one);
    roster_free(least);
}

/* The earlier text stays byte for byte, in order, around the added text. */
static void check_kept(const char *before, const char *after)
{
    size_t start = 0, end = 0, n = strlen(before), m = strlen(after);
    while (start < n && before[start] == after[start])
        start++;
    while (end < n - start && before[n - 1 - end] == after[m - 1 - end])
        end++;
    assert_int_equal(start + end, n);
}

static void test_layouts_of_people_get_one_more_agent_and_keep_the_rest(void **state)
{
    static const char *const layouts[] = {
        "agents:\n  - name: orion\n    persona: x\n",
        "agents:\n- name: orion\n  persona: x",
        "# top\nagents: # ours\n      - name: orion # first\n        persona: |\n          Two\n\n          "
        "# no comment\n"
        "\n      # behind\n\n# the queues\nqueues:\n  - {name: q, consumers: [orion]}\n",
        "agents:\n  - name: orion\n    persona: x\n    # more of it\n\nbudget: {tokens_per_day: 5}\n",
        "agents:\r\n  - name: orion\r\n    persona: x\r\n\r\n# end\r\n",
        "{\"agents\": [{\"name\": \"orion\", \"persona\": \"a ] b\", \"hints\": [\"x\"]}], \"budget\": "
        "{\"tokens_per_day\": 1}}\n",
        "agents: [{name: orion, persona: x},\n         {name: iris, persona: y},\n]\n",
        "defaults: {ttl_seconds: 5, hints: [h], schedule: [{cron: \"* * * * *\", task: t}]}\nagents:\n  - "
        "name: orion\n    persona: x\n...\n",
        "\xef\xbb\xbf"
        "agents:\n  - name: orion\n    persona: \"\xc3\xa4 \xe2\x80\xa8      x\"\n",
        "agents:\n  -\n    name: orion\n    persona: >-\n      folded\n      text\n\n\n",
        "agents:\n  - name: orion\n    persona: \"a\n\n      # b\"\n",
    };
    struct roster *nova = read_roster(full);
    struct roster *plain = read_roster("agents:\n- {name: nova, persona: x}\n");
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (int simple = 0; simple < 2; simple++) {
            struct fault fault = {{0}};
            bool differs = true;
            const struct roster_agent *agent = simple ? &plain->agents[0] : &nova->agents[0];
            OWNED char *made = roster_append(layouts[i], strlen(layouts[i]), agent, &differs, &fault);
            if (!made)
                fail_msg("layout %zu: %s", i, fault.text);
            assert_false(differs);
            check_kept(layouts[i], made);
            struct roster *after = read_roster(made);
            assert_string_equal(after->agents[after->agent_count - 1].name, "nova");
            roster_free(after);
        }
    roster_free(nova);
    roster_free(plain);
}

static void test_a_comment_above_the_next_key_stays_above_it(void **state)
{
    static const char text[] = "agents:\n  - name: orion\n    persona: x\n\n# the queues\nqueues: []\n";
    struct roster *plain = read_roster("agents:\n- {name: nova, persona: x}\n");
    bool differs;
    OWNED char *made = roster_append(text, strlen(text), &plain->agents[0], &differs, NULL);
    assert_string_equal(made, "agents:\n  - name: orion\n    persona: x\n  - name: nova\n    persona: x\n"
                              "\n# the queues\nqueues: []\n");
    roster_free(plain);
}

static void test_defaults_that_no_definition_can_lift_are_told(void **state)
{
    static const char text[] =
        "defaults: {throughput_class: fast}\nagents:\n  - name: orion\n    persona: x\n";
    struct roster *plain = read_roster("agents:\n- {name: nova, persona: x}\n");
    bool differs = false;
    OWNED char *made = roster_append(text, strlen(text), &plain->agents[0], &differs, NULL);
    assert_non_null(made);
    assert_true(differs);
    roster_free(plain);
}

static void test_what_cannot_be_added_is_refused_with_the_reason(void **state)
{
    static const char *const texts[][2] = {
        {"agents:\n  - name: nova\n    persona: x\n", "stands here again"},
        {"agents: []\n", "empty list"},
        {"agents:\n  - name: orion\n", "persona"},
        {"not yaml: [", "agents.yaml:"},
        {"agents:\n  - name: no_va\n    persona: x\n  - name: orion\n    persona: y\n", NULL},
    };
    struct roster *plain = read_roster("agents:\n- {name: nova, persona: x}\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fault fault = {{0}};
        bool differs;
        OWNED char *made =
            roster_append(texts[i][0], strlen(texts[i][0]), &plain->agents[0], &differs, &fault);
        assert_true(texts[i][1] ? made == NULL && strstr(fault.text, texts[i][1]) : made != NULL);
    }
    roster_free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_definition_that_is_written_reads_back_as_the_same),
        cmocka_unit_test(test_layouts_of_people_get_one_more_agent_and_keep_the_rest),
        cmocka_unit_test(test_a_comment_above_the_next_key_stays_above_it),
        cmocka_unit_test(test_defaults_that_no_definition_can_lift_are_told),
        cmocka_unit_test(test_what_cannot_be_added_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
