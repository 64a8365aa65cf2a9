/* Values that are valid and yet probably not meant. */
#include <stdlib.h>
#include <string.h>

#include "common/format/config_warnings.h"
#include "common/memory.h"
#include "common/secrets.h"
#include "tests/unit/cmocka.h"

static const char *const variables[] = {
    "LLM_MODEL__GHOST",        "LLM_MODEL__ORION",     "LLM_MODEL__BACK_UP", "LLM_FALLBACKS",
    "AGENTOS_LISTEN",          "AGENTOS_TOKEN",        "AGENTOS_TOKEN_FILE", "AGENTOS_BUS",
    "AGENTOS_BUS_CA_FILE",     "LLM_MAX_TOKENS",       "LLM_API_KEY__GHOST", "LLM_API_KEY__ORION_FILE",
    "LLM_API_KEY_FILE__GHOST", "LLM_FALLBACKS__ORION", "AGENTOS_NODE"};

static int clear(void **state)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    return 0;
}

static char *doubts(const char *yaml)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct buffer out = {0};
    struct roster *roster = roster_parse(yaml, strlen(yaml), "agents.yaml", &faults);
    if (!roster)
        fail_msg("%s", faults.data);
    config_warnings_list(roster, "/tmp", &out);
    roster_free(roster);
    return buffer_take(&out);
}

#define ORION "agents:\n- name: orion\n  persona: P\n"

static void test_nothing_odd_is_nothing_said(void **state)
{
    setenv("LLM_MODEL__ORION", "m", 1);
    setenv("LLM_FALLBACKS", "back-up, other", 1);
    setenv("LLM_MODEL__BACK_UP", "m", 1);
    setenv("LLM_API_KEY__ORION_FILE", "/f", 1);
    setenv("AGENTOS_LISTEN", "", 1);
    OWNED char *said = doubts(ORION "  limits: {tokens_per_day: 100000}\n");
    assert_string_equal(said, "");
}

static void test_an_agent_of_another_node_is_told_of_where_there_is_no_bus(void **state)
{
    setenv("AGENTOS_LISTEN", "", 1);
    setenv("AGENTOS_NODE", "here", 1);
    OWNED char *said = doubts(ORION "  node: there\n- {name: iris, persona: P, node: here}\n");
    assert_string_equal(said, "agents.yaml:2:1: agent 'orion' lives on node 'there', and this is node 'here' "
                              "(AGENTOS_NODE, else the host's name); it does not run here\n");
}

static void test_a_text_that_a_comment_cuts_off_is_doubted(void **state)
{
    OWNED char *said = doubts("agents:\n- name: orion\n  persona: C # programmer\n  tone: calm  # always\n"
                              "  domain: \"C # too\"\n  hints: [C#, a]\n");
    assert_string_equal(said, "agents.yaml:3:14: '#' behind a blank begins a comment, so the persona is only "
                              "'C'; in quotes the whole line counts\n");
}

static void test_goals_that_find_no_room_are_doubted(void **state)
{
    (void)state;
    OWNED char *five = doubts(ORION "  goals: [a, b, c, d, e]\n");
    assert_string_equal(five, "");
    OWNED char *six = doubts(ORION "  goals: [a, b, c, d, e, f]\n");
    assert_string_equal(six, "agents.yaml:2:1: agent 'orion' is given 6 goals, and at most 5 are active: it "
                             "begins with the first 5\n");
}

static void test_a_setting_for_nobody_is_doubted(void **state)
{
    setenv("LLM_MODEL__GHOST", "m", 1);
    setenv("LLM_API_KEY_FILE__GHOST", "/f", 1);
    OWNED char *said = doubts(ORION);
    assert_non_null(strstr(said, "LLM_MODEL__GHOST is set, but no agent"));
    assert_non_null(strstr(said, "LLM_API_KEY_FILE__GHOST is set, but no agent"));
}

static void test_an_agents_own_fallback_is_somebody(void **state)
{
    setenv("LLM_MODEL__GHOST", "m", 1);
    setenv("LLM_FALLBACKS__ORION", "ghost", 1);
    OWNED char *said = doubts(ORION);
    assert_string_equal(said, "");
}

static void test_files_for_a_bus_that_is_not_there_are_doubted(void **state)
{
    setenv("AGENTOS_BUS_CA_FILE", "/etc/hostname", 1);
    OWNED char *said = doubts(ORION);
    assert_non_null(strstr(said, "AGENTOS_BUS_CA_FILE is set, but AGENTOS_BUS is not"));
    setenv("AGENTOS_BUS", "nats://bus", 1);
    OWNED char *right = doubts(ORION);
    assert_string_equal(right, "");
}

static void test_listening_beyond_this_machine_without_a_token_is_doubted(void **state)
{
    static const char *const beyond[] = {"0.0.0.0:8080", "[::]:8080", "192.0.2.7:8080"};
    static const char *const within[] = {"127.0.0.1:9000", "localhost:0", "[::1]:9000", "127.9.9.9:1"};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        setenv("AGENTOS_LISTEN", beyond[i], 1);
        OWNED char *said = doubts(ORION);
        assert_non_null(strstr(said, "the supervisor will not listen there"));
    }
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++) {
        setenv("AGENTOS_LISTEN", within[i], 1);
        OWNED char *said = doubts(ORION);
        assert_string_equal(said, "");
    }
    setenv("AGENTOS_LISTEN", beyond[0], 1);
    setenv("AGENTOS_TOKEN_FILE", "/token", 1);
    OWNED char *said = doubts(ORION);
    assert_string_equal(said, "");
}

static void test_a_limit_that_allows_nothing_is_doubted(void **state)
{
    setenv("LLM_MAX_TOKENS", "500", 1);
    OWNED char *said = doubts(ORION "  limits: {tokens_per_day: 500}\nbudget: {tokens_per_day: 400}\n");
    assert_non_null(strstr(said, "limits.tokens_per_day of agent 'orion' is 500"));
    assert_non_null(strstr(said, "budget.tokens_per_day is 400"));
}

static void test_keys_are_doubted_by_their_names(void **state)
{
    setenv("LLM_API_KEY__GHOST", "sk-secret", 1);
    setenv("AGENTOS_TOKEN", "secret", 1);
    setenv("AGENTOS_LISTEN", "", 1);
    secrets_wipe();
    OWNED char *said = doubts(ORION);
    assert_non_null(strstr(said, "LLM_API_KEY__GHOST is set, but no agent"));
    assert_non_null(strstr(said, "AGENTOS_TOKEN is set, but"));
    assert_null(strstr(said, "secret"));
}

static void test_a_checker_that_is_not_there_is_doubted_where_it_stands(void **state)
{
    OWNED char *said =
        doubts(ORION "  reward_audit: {method: command, command: [/nowhere/check, --strict]}\n");
    assert_non_null(
        strstr(said, "agents.yaml:4:44: there is no program /nowhere/check that can be executed"));
    OWNED char *file = doubts(ORION "  reward_audit: {method: command, command: [/etc/passwd]}\n");
    assert_non_null(strstr(file, "no program /etc/passwd that can be executed"));
    OWNED char *relative = doubts(ORION "  reward_audit: {method: command, command: [tools/check]}\n");
    assert_non_null(strstr(relative, "no program tools/check"));
}

static void test_a_checker_that_is_there_or_switched_off_is_not_doubted(void **state)
{
    OWNED char *there = doubts(ORION "  reward_audit: {method: command, command: [sh, -c, 'true']}\n");
    assert_null(strstr(there, "program"));
    OWNED char *off =
        doubts(ORION "  reward_audit: {enabled: false, method: command, command: [/nowhere/check]}\n");
    assert_null(strstr(off, "program"));
}

static void test_a_checker_for_all_is_doubted_once(void **state)
{
    OWNED char *said =
        doubts("defaults:\n  reward_audit: {method: command, command: [/nowhere/check]}\n" ORION
               "- name: iris\n  persona: P\n");
    char *first = strstr(said, "/nowhere/check");
    assert_non_null(first);
    assert_null(strstr(first + 1, "/nowhere/check"));
}

int main(void)
{
    clear(NULL);
#define TEST(name) cmocka_unit_test_teardown(name, clear)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_odd_is_nothing_said),
        TEST(test_an_agent_of_another_node_is_told_of_where_there_is_no_bus),
        TEST(test_a_text_that_a_comment_cuts_off_is_doubted),
        TEST(test_goals_that_find_no_room_are_doubted),
        TEST(test_a_setting_for_nobody_is_doubted),
        TEST(test_an_agents_own_fallback_is_somebody),
        TEST(test_files_for_a_bus_that_is_not_there_are_doubted),
        TEST(test_listening_beyond_this_machine_without_a_token_is_doubted),
        TEST(test_a_limit_that_allows_nothing_is_doubted),
        TEST(test_keys_are_doubted_by_their_names),
        TEST(test_a_checker_that_is_not_there_is_doubted_where_it_stands),
        TEST(test_a_checker_that_is_there_or_switched_off_is_not_doubted),
        TEST(test_a_checker_for_all_is_doubted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
