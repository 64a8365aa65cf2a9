#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"
#include "tests/unit/cmocka.h"

static bool parse(struct invocation *invocation, struct fault *fault, char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    *invocation = (struct invocation){.secrets = -1};
    return invocation_parse(invocation, VERBS, argc, argv, fault);
}

#define PARSE(invocation, fault, ...) parse(invocation, fault, (char *[]){"agentos", __VA_ARGS__, NULL})

static void test_options_stand_anywhere_and_values_come_both_ways(void **state)
{
    struct invocation invocation;
    struct fault fault;
    assert_true(PARSE(&invocation, &fault, "--data", "/d", "task", "--id=7", "orion", "--wait", "Do it"));
    assert_string_equal(invocation.verb->name, "task");
    assert_string_equal(invocation.options[OPTION_DATA], "/d");
    assert_string_equal(invocation.options[OPTION_ID], "7");
    assert_true(invocation_has(&invocation, OPTION_WAIT));
    assert_false(invocation_has(&invocation, OPTION_JSON));
    assert_int_equal(invocation.word_count, 2);
    assert_string_equal(invocation.words[1], "Do it");
    invocation_free(&invocation);
}

static void test_behind_two_dashes_everything_is_a_word(void **state)
{
    struct invocation invocation;
    struct fault fault;
    assert_true(PARSE(&invocation, &fault, "task", "orion", "--", "--help"));
    assert_string_equal(invocation.words[1], "--help");
    assert_false(invocation_has(&invocation, OPTION_HELP));
    invocation_free(&invocation);
    assert_true(PARSE(&invocation, &fault, "task", "orion", "-"));
    assert_string_equal(invocation.words[1], "-");
    invocation_free(&invocation);
}

static void test_an_option_of_another_verb_is_named(void **state)
{
    struct invocation invocation;
    struct fault fault;
    assert_false(PARSE(&invocation, &fault, "skills", "orion", "--lock", "x"));
    assert_string_equal(fault.text, "skills has no option --lock");
    invocation_free(&invocation);
}

static void test_data_dir_becomes_absolute_and_the_run_dir_follows_it(void **state)
{
    struct invocation invocation;
    struct fault fault;
    (void)unsetenv("AGENTOS_RUN_DIR");
    assert_true(PARSE(&invocation, &fault, "status", "--data", "not-there-yet"));
    assert_true(invocation_locate(&invocation, &fault));
    OWNED char *here = getcwd(NULL, 0);
    OWNED char *data = memory_print("%s/not-there-yet", here);
    OWNED char *run = memory_print("%s/.run", data);
    assert_string_equal(invocation.data_dir, data);
    assert_string_equal(invocation.run_dir, run);
    assert_string_equal(getenv("DATA_DIR"), data);
    invocation_free(&invocation);
    (void)unsetenv("DATA_DIR");
}

static void test_every_verb_has_what_its_page_needs(void **state)
{
    struct buffer page OWNED_BUFFER = {0};
    verbs_help(&page);
    for (const char *line = strstr(page.data, "\n  "); line != NULL && line[3] != ' ';
         line = strchr(line + 1, '\n')) {
        char name[32] = "";
        size_t length = strcspn(line + 3, " ");
        if (strncmp(line, "\n  ", 3) != 0) {
            break;
        }
        memcpy(name, line + 3, length < sizeof(name) ? length : 0);
        struct fault fault;
        const struct verb *verb = invocation_find_verb(VERBS, name, &fault);
        assert_non_null(verb);
        assert_true(verb->least <= verb->most);
        assert_non_null(verb->act);
    }
    struct fault fault;
    assert_null(invocation_find_verb(VERBS, "frobnicate", &fault));
    assert_string_equal(fault.text, "there is no verb 'frobnicate'");
}

static void test_a_mistyped_verb_is_met_with_the_nearest_one(void **state)
{
    static const char *const mistyped[][2] = {{"statsu", "status"}, {"pasue", "pause"},
                                              {"tas", "task"},      {"rewards ", "rewards"},
                                              {"STATUS", "status"}, {"Reloda", "reload"}};
    for (size_t i = 0; i < sizeof mistyped / sizeof *mistyped; i++) {
        struct invocation invocation;
        struct fault fault;
        assert_false(PARSE(&invocation, &fault, (char *)mistyped[i][0], "orion"));
        OWNED char *said =
            memory_print("there is no verb '%s'; did you mean '%s'?", mistyped[i][0], mistyped[i][1]);
        assert_string_equal(fault.text, said);
        invocation_free(&invocation);
    }
}

static void test_an_order_takes_several_agents_or_all_of_them(void **state)
{
    struct invocation invocation;
    struct fault fault;
    assert_true(PARSE(&invocation, &fault, "stop", "orion", "iris", "nova"));
    assert_int_equal(invocation.word_count, 3);
    assert_string_equal(invocation.words[2], "nova");
    invocation_free(&invocation);
    assert_true(PARSE(&invocation, &fault, "stop", "--all"));
    invocation_free(&invocation);
    assert_false(PARSE(&invocation, &fault, "stop", "orion", "--all"));
    invocation_free(&invocation);
    assert_false(PARSE(&invocation, &fault, "stop"));
    invocation_free(&invocation);
}

static void test_a_count_is_a_whole_number_that_is_not_zero(void **state)
{
    struct invocation invocation;
    struct fault fault;
    size_t most = 0;
    assert_true(PARSE(&invocation, &fault, "log", "orion", "-n", "20"));
    assert_true(invocation_newest(&invocation, &most, &fault) && most == 20);
    invocation_free(&invocation);
    assert_true(PARSE(&invocation, &fault, "log", "orion", "-n5"));
    assert_true(invocation_newest(&invocation, &most, &fault) && most == 5);
    invocation_free(&invocation);
    assert_true(PARSE(&invocation, &fault, "log", "orion"));
    assert_true(invocation_newest(&invocation, &most, &fault) && most == SIZE_MAX);
    invocation_free(&invocation);
    static const char *const wrong[] = {"-1", "0", "x", "", "1.5", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_true(PARSE(&invocation, &fault, "log", "orion", "-n", (char *)wrong[i]));
        assert_false(invocation_newest(&invocation, &most, &fault));
        invocation_free(&invocation);
    }
}

static void test_what_could_steer_a_terminal_is_shown_as_a_question_mark(void **state)
{
    OWNED char *line = output_clean("a\x1b[31mb\nc\td\x7f \xc2\x9b \xff ä", 0);
    assert_string_equal(line, "a?[31mb c d? ? \xef\xbf\xbd ä");
    OWNED char *lines = output_clean("a\n\tb\x07", 1);
    assert_string_equal(lines, "a\n\tb?");
}

static void test_durations_and_sizes_read_well(void **state)
{
    char text[32];
    assert_string_equal(output_duration(12, text), "12s");
    assert_string_equal(output_duration(423, text), "7m 3s");
    assert_string_equal(output_duration(7500, text), "2h 5m");
    assert_string_equal(output_duration(273600, text), "3d 4h");
    assert_string_equal(output_bytes(1025, text), "2 kB");
    assert_string_equal(output_bytes(1572864, text), "1.5 MB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_stand_anywhere_and_values_come_both_ways),
        cmocka_unit_test(test_behind_two_dashes_everything_is_a_word),
        cmocka_unit_test(test_an_option_of_another_verb_is_named),
        cmocka_unit_test(test_data_dir_becomes_absolute_and_the_run_dir_follows_it),
        cmocka_unit_test(test_every_verb_has_what_its_page_needs),
        cmocka_unit_test(test_a_mistyped_verb_is_met_with_the_nearest_one),
        cmocka_unit_test(test_an_order_takes_several_agents_or_all_of_them),
        cmocka_unit_test(test_a_count_is_a_whole_number_that_is_not_zero),
        cmocka_unit_test(test_what_could_steer_a_terminal_is_shown_as_a_question_mark),
        cmocka_unit_test(test_durations_and_sizes_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
