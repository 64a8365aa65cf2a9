/* common/settings: the environment as one table. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/settings.h"
#include "tests/unit/cmocka.h"

static int clean(void **state)
{
    clearenv();
    return 0;
}

static void assert_fault(const char *variable, const char *value, const char *part)
{
    clearenv();
    setenv(variable, value, 1);
    OWNED_BUFFER struct buffer faults = {0};
    if (settings_check(&faults))
        fail_msg("%s=%s passed", variable, value);
    if (!strstr(faults.data, part) || strncmp(faults.data, variable, strlen(variable)) != 0)
        fail_msg("%s=%s: the sentence is: %s", variable, value, faults.data);
}

static void assert_fine(const char *variable, const char *value)
{
    clearenv();
    setenv(variable, value, 1);
    OWNED_BUFFER struct buffer faults = {0};
    if (!settings_check(&faults))
        fail_msg("%s=%s: %s", variable, value, faults.data);
}

static void test_an_owners_own_value_goes_before_the_general_one_and_that_before_the_default(void **state)
{
    assert_string_equal(setting_text(SET_LLM_MODEL, "my-agent"), "gpt-4o");
    setenv("LLM_MODEL", "general", 1);
    assert_string_equal(setting_text(SET_LLM_MODEL, "my-agent"), "general");
    assert_null(setting_own(SET_LLM_MODEL, "my-agent"));
    setenv("LLM_MODEL__MY_AGENT", "own", 1);
    assert_string_equal(setting_text(SET_LLM_MODEL, "my-agent"), "own");
    assert_string_equal(setting_text(SET_LLM_MODEL, NULL), "general");
    OWNED char *variable = setting_variable(SET_LLM_MODEL, "my-agent");
    assert_string_equal(variable, "LLM_MODEL__MY_AGENT");
}

static void test_an_empty_variable_counts_as_unset_but_an_empty_listen_means_none(void **state)
{
    setenv("LLM_MODEL", "", 1);
    setenv("LLM_MODEL__ORION", "", 1);
    setenv("AGENTOS_LISTEN", "", 1);
    assert_string_equal(setting_text(SET_LLM_MODEL, "orion"), "gpt-4o");
    assert_string_equal(setting_text(SET_AGENTOS_LISTEN, NULL), "");
    OWNED_BUFFER struct buffer faults = {0};
    assert_true(settings_check(&faults));
}

static void test_a_wrong_value_is_named_with_its_variable_and_what_is_allowed(void **state)
{
    assert_fault("POLL_INTERVAL", "0", "from 1 to 3600");
    assert_fault("POLL_INTERVAL", "5s", "whole number");
    assert_fault("LLM_MAX_RETRIES__ORION", "-1", "from 0 to 100");
    assert_fault("LLM_TIMEOUT", "99999999999999999999", "whole number");
    assert_fault("LLM_TEMPERATURE", "nan", "from 0 to 2");
    assert_fault("LLM_TEMPERATURE", "2.5", "from 0 to 2");
    assert_fault("AGENTOS_SANDBOX", "maybe", "require");
    assert_fault("AGENTOS_SANDBOX", "OFF", "require");
    assert_fault("LLM_MAX_CONCURRENCY__ORION", "2", "one agent");
    assert_fault("AGENTOS_LISTEN", "8080", "ADDRESS:PORT");
    assert_fault("AGENTOS_LISTEN", "::1:99999", "ADDRESS:PORT");
    assert_fault("AGENTOS_LISTEN", "::1:9999", "number as");
    assert_fault("AGENTOS_LISTEN", "example.org:8080", "number as");
}

static void test_a_base_url_that_could_not_be_joined_or_would_hold_a_password_is_refused(void **state)
{
    assert_fault("LLM_BASE_URL", "api.openai.com/v1", "http://");
    assert_fault("LLM_BASE_URL", "file:///etc/passwd", "http://");
    assert_fault("LLM_BASE_URL", "https://", "no host");
    assert_fault("LLM_BASE_URL__ORION", "https://host/v1#x", "fragment");
    assert_fault("LLM_BASE_URL", "https://host/v1?x=1&api_key=abc", "key in its query");
    assert_fault("LLM_BASE_URL", "\"https://host/v1\"", "quotes");
    assert_fault("LLM_BASE_URL", "https://host/v1/chat/completions", "put behind it: https://host/v1\n");
    assert_fault("LLM_BASE_URL", "https://host/v1/completions/", "put behind it: https://host/v1\n");
    assert_fault("LLM_BASE_URL", "https://host/d/chat/completions?api-version=1",
                 "put behind it: https://host/d?api-version=1\n");
    assert_fault("LLM_BASE_URL", "https://user:pass@host/v1", "password");
    assert_fault("LLM_BASE_URL", "https://host/v 1", "blanks");
    assert_fault("LLM_BASE_URL", "https://host:99999/v1", "port");
    assert_fault("LLM_BASE_URL", "http://host:port/v1", "port");
    assert_fault("LLM_BASE_URL", "http://[::1]:0/v1", "port");
    assert_fine("LLM_BASE_URL", "http://[::1]/v1");
    assert_fine("LLM_BASE_URL", "http://host:65535");
    assert_fine("LLM_BASE_URL", "offline");
    assert_fine("LLM_BASE_URL", "http://127.0.0.1:11434/v1/");
    assert_fine("LLM_BASE_URL", "https://[::1]:8443/a@b");
    assert_fine("LLM_BASE_URL", "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21");
}

static void test_a_model_in_quotes_or_with_blanks_around_it_is_refused(void **state)
{
    assert_fault("LLM_MODEL", "\"gpt-4o\"", "quotes");
    assert_fault("LLM_MODEL__ORION", "'m'", "quotes");
    assert_fault("LLM_MODEL", "gpt-4o ", "ends with a blank");
    assert_fault("LLM_MODEL", "\ngpt-4o", "begins");
    assert_fault("LLM_MODEL", "gpt\n4o", "line break");
    assert_fine("LLM_MODEL", "my model:7b");
}

static void test_good_values_pass_and_other_peoples_variables_are_none_of_ours(void **state)
{
    assert_fine("LLM_TEMPERATURE", "0.7");
    assert_fine("LOG_LEVEL", "WARNING");
    assert_fine("AGENTOS_LISTEN", "[::]:0");
    assert_fine("AGENTOS_LISTEN", "localhost:8080");
    assert_fine("POLL_INTERVALS", "x");
    assert_fine("LLM_RESPONSE_FORMAT__IRIS", "json_schema");
}

static void test_a_key_given_twice_is_an_error_in_each_spelling(void **state)
{
    static const char *const pairs[][2] = {{"LLM_API_KEY", "LLM_API_KEY_FILE"},
                                           {"LLM_API_KEY__NOVA", "LLM_API_KEY_FILE__NOVA"},
                                           {"LLM_API_KEY__NOVA", "LLM_API_KEY__NOVA_FILE"},
                                           {"AGENTOS_TOKEN", "AGENTOS_TOKEN_FILE"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        clearenv();
        setenv(pairs[i][0], "value-one", 1);
        setenv(pairs[i][1], "/run/secrets/key", 1);
        OWNED_BUFFER struct buffer faults = {0};
        assert_false(settings_check(&faults));
        assert_non_null(strstr(faults.data, pairs[i][0]));
        assert_null(strstr(faults.data, "value-one"));
    }
    assert_fine("LLM_API_KEY_FILE", "/etc/passwd");
}

static void test_a_key_file_that_cannot_be_read_is_an_error(void **state)
{
    clearenv();
    setenv("LLM_API_KEY__NOVA_FILE", "/nowhere/key", 1);
    OWNED_BUFFER struct buffer faults = {0};
    assert_false(settings_check(&faults));
    assert_non_null(strstr(faults.data, "LLM_API_KEY__NOVA_FILE names /nowhere/key, which cannot be read: "));
    assert_fault("LLM_API_KEY_FILE", "/tmp", "names /tmp, which is no regular file");
}

static void test_a_key_file_is_found_in_both_spellings(void **state)
{
    setenv("LLM_API_KEY__BACKUP_FILE", "/a", 1);
    setenv("LLM_API_KEY_FILE__OTHER", "/b", 1);
    assert_string_equal(setting_own(SET_LLM_API_KEY_FILE, "backup"), "/a");
    assert_string_equal(setting_own(SET_LLM_API_KEY_FILE, "other"), "/b");
    assert_null(setting_own(SET_LLM_API_KEY_FILE, "third"));
}

static void test_a_fallback_that_nothing_describes_is_refused(void **state)
{
    assert_fault("LLM_FALLBACKS", "backup", "LLM_BASE_URL__BACKUP");
    assert_fault("LLM_FALLBACKS", "a b", "neither");
    assert_fault("LLM_FALLBACKS", "a/b", "no name");
    clearenv();
    setenv("LLM_FALLBACKS", " backup , ,other", 1);
    setenv("LLM_BASE_URL__BACKUP", "http://b/v1", 1);
    setenv("LLM_MODEL__OTHER", "small", 1);
    OWNED_BUFFER struct buffer faults = {0};
    assert_true(settings_check(&faults));
}

static void test_no_fallback_is_dropped_for_a_blank_in_the_place_of_a_comma(void **state)
{
    (void)state;
    setenv("LLM_BASE_URL__A", "http://a/v1", 1);
    setenv("LLM_FALLBACKS", "a b", 1);
    OWNED_BUFFER struct buffer faults = {0};
    assert_false(settings_check(&faults));
    assert_non_null(strstr(faults.data, "LLM_BASE_URL__B"));
    setenv("LLM_MODEL__B", "small", 1);
    struct setting_provider provider;
    assert_true(setting_provider(NULL, 2, &provider));
    assert_string_equal(provider.fallback, "b");
    free(provider.fallback);
    assert_false(setting_provider(NULL, 3, &provider));
}

static void test_a_number_out_of_range_is_read_as_the_default(void **state)
{
    setenv("LLM_TIMEOUT", "0", 1);
    assert_int_equal(setting_integer(SET_LLM_TIMEOUT, NULL), 60);
    setenv("LLM_TIMEOUT__ORION", "7", 1);
    assert_int_equal(setting_integer(SET_LLM_TIMEOUT, "orion"), 7);
}

static void test_help_names_every_setting_and_its_default(void **state)
{
    OWNED_BUFFER struct buffer help = {0};
    settings_help(&help);
    for (unsigned i = 0; i < SETTING_COUNT; i++)
        assert_non_null(strstr(help.data, setting_name((enum setting)i)));
    assert_non_null(strstr(help.data, "127.0.0.1:8080"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, clean)
    const struct CMUnitTest tests[] = {
        TEST(test_an_owners_own_value_goes_before_the_general_one_and_that_before_the_default),
        TEST(test_an_empty_variable_counts_as_unset_but_an_empty_listen_means_none),
        TEST(test_a_wrong_value_is_named_with_its_variable_and_what_is_allowed),
        TEST(test_a_base_url_that_could_not_be_joined_or_would_hold_a_password_is_refused),
        TEST(test_a_model_in_quotes_or_with_blanks_around_it_is_refused),
        TEST(test_good_values_pass_and_other_peoples_variables_are_none_of_ours),
        TEST(test_a_key_given_twice_is_an_error_in_each_spelling),
        TEST(test_a_key_file_that_cannot_be_read_is_an_error),
        TEST(test_a_key_file_is_found_in_both_spellings),
        TEST(test_a_fallback_that_nothing_describes_is_refused),
        TEST(test_no_fallback_is_dropped_for_a_blank_in_the_place_of_a_comma),
        TEST(test_a_number_out_of_range_is_read_as_the_default),
        TEST(test_help_names_every_setting_and_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
