/* supervisor/gateway/provider and keys: the provider that is asked for an agent, and its key. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/secrets.h"
#include "supervisor/gateway/keys.h"
#include "supervisor/gateway/provider.h"
#include "tests/unit/cmocka.h"

struct house {
    struct keys *keys;
    struct providers *providers;
};

static struct house open_house(void)
{
    OWNED_FD int fd = secrets_collect(NULL);
    struct house house = {.keys = keys_load(secrets_read(fd, NULL))};
    house.providers = providers_open(house.keys);
    return house;
}

static void close_house(struct house *house)
{
    providers_close(house->providers);
    keys_free(house->keys);
}

static int clean(void **state)
{
    clearenv();
    return 0;
}

static const struct provider *first(struct house *house, const char *agent)
{
    return &providers_route(house->providers, agent)->providers[0];
}

static bool has_header(const struct endpoint *endpoint, const char *line)
{
    for (const struct curl_slist *header = endpoint->headers; header; header = header->next)
        if (strcmp(header->data, line) == 0)
            return true;
    return false;
}

static void test_the_url_is_joined_with_and_without_slashes(void **state)
{
    static const char *const bases[] = {"http://h:1/v1", "http://h:1/v1/", "http://h:1/v1///"};
    for (size_t i = 0; i < 3; i++) {
        setenv("LLM_BASE_URL", bases[i], 1);
        struct house house = open_house();
        assert_string_equal(first(&house, "a")->endpoint->url, "http://h:1/v1/chat/completions");
        assert_string_equal(first(&house, "a")->name, "h:1");
        close_house(&house);
    }
}

static void test_agents_without_own_settings_share_one_route_and_all_share_an_endpoint(void **state)
{
    setenv("LLM_MODEL__IRIS", "own", 1);
    struct house house = open_house();
    assert_ptr_equal(providers_route(house.providers, "orion"), providers_route(house.providers, "nova"));
    assert_ptr_not_equal(providers_route(house.providers, "orion"), providers_route(house.providers, "iris"));
    assert_ptr_equal(first(&house, "orion")->endpoint, first(&house, "iris")->endpoint);
    assert_string_equal(first(&house, "iris")->model, "own");
    close_house(&house);
}

static void test_an_agents_own_key_makes_an_endpoint_of_its_own(void **state)
{
    setenv("LLM_API_KEY", "general-key", 1);
    setenv("LLM_API_KEY__IRIS", "iris-key-0", 1);
    struct house house = open_house();
    assert_string_equal(first(&house, "orion")->endpoint->key, "general-key");
    assert_string_equal(first(&house, "iris")->endpoint->key, "iris-key-0");
    close_house(&house);
}

static void test_the_general_key_goes_to_the_general_address_only(void **state)
{
    setenv("LLM_API_KEY", "general-key", 1);
    setenv("LLM_BASE_URL__IRIS", "http://elsewhere/v1", 1);
    setenv("LLM_BASE_URL__NOVA", "https://api.openai.com/v1", 1);
    struct house house = open_house();
    assert_null(first(&house, "iris")->endpoint->key);
    assert_string_equal(first(&house, "nova")->endpoint->key, "general-key");
    close_house(&house);
}

static void test_fallbacks_follow_in_order_with_limits_of_their_own_or_the_agents(void **state)
{
    setenv("LLM_FALLBACKS", "second, third", 1);
    setenv("LLM_BASE_URL__SECOND", "offline", 1);
    setenv("LLM_MODEL__THIRD", "m3", 1);
    setenv("LLM_TIMEOUT__THIRD", "5", 1);
    setenv("LLM_TIMEOUT__IRIS", "9", 1);
    struct house house = open_house();
    struct route *route = providers_route(house.providers, "iris");
    assert_int_equal(route->count, 3);
    assert_string_equal(route->providers[1].name, "second");
    assert_true(provider_is_offline(&route->providers[1]));
    assert_string_equal(route->providers[2].model, "m3");
    assert_int_equal(route->providers[0].timeout_ms, 9000);
    assert_int_equal(route->providers[1].timeout_ms, 9000);
    assert_int_equal(route->providers[2].timeout_ms, 5000);
    close_house(&house);
}

static void test_every_key_is_masked_wherever_it_stands_but_no_common_word(void **state)
{
    setenv("LLM_API_KEY", "abcdefgh-1", 1);
    setenv("LLM_API_KEY__LOCAL", "ollama", 1);
    setenv("AGENTOS_TOKEN", "the-bearer-token", 1);
    struct house house = open_house();
    OWNED char *text = keys_mask(
        house.keys, memory_text("abcdefgh-1abcdefgh-1 x abcdefgh-1, the-bearer-token of ollama abcdefgh"));
    assert_string_equal(text, "[masked][masked] x [masked], [masked] of ollama abcdefgh");
    assert_null(keys_mask(house.keys, NULL));
    close_house(&house);
}

static void test_a_key_is_masked_however_json_has_escaped_it(void **state)
{
    setenv("LLM_API_KEY", "ab/cd+ef\"g\\h", 1);
    struct house house = open_house();
    OWNED char *text =
        keys_mask(house.keys, memory_text("ab/cd+ef\"g\\h {\"key\":\"ab\\/cd\\u002Bef\\\"g\\\\h\"} "
                                          "\\u0061b/cd+ef\\u0022g\\u005ch ab\\/cd\\u002Cef"));
    assert_string_equal(text, "[masked] {\"key\":\"[masked]\"} [masked] ab\\/cd\\u002Cef");
    close_house(&house);
}

static void test_a_proxys_password_is_masked_in_every_form_and_its_address_is_not(void **state)
{
    setenv("https_proxy", "http://me:pa%40ssword@proxy.corp:3128", 1);
    setenv("http_proxy", "http://ab:pass-12345@proxy.corp:3128", 1);
    setenv("all_proxy", "http://other.corp:3128", 1);
    struct house house = open_house();
    OWNED char *text = keys_mask(
        house.keys, memory_text("http://me:pa%40ssword@proxy.corp:3128 pa@ssword Basic bWU6cGFAc3N3b3Jk "
                                "YWI6cGFzcy0xMjM0NQ== http://other.corp:3128"));
    assert_string_equal(text, "http://me:[masked]@proxy.corp:3128 [masked] Basic [masked] "
                              "[masked] http://other.corp:3128");
    close_house(&house);
}

static void test_a_key_with_a_line_break_is_refused_and_not_shown(void **state)
{
    setenv("LLM_API_KEY", "secret-part\r\nX-Evil: 1", 1);
    struct house house = open_house();
    assert_non_null(strstr(first(&house, "a")->fault, "line break"));
    assert_null(strstr(first(&house, "a")->fault, "secret-part"));
    close_house(&house);
}

static void test_a_query_stays_behind_the_path_and_azure_gets_its_own_header(void **state)
{
    setenv("LLM_BASE_URL", "https://x.openai.azure.com/openai/deployments/d/?api-version=2024-10-21", 1);
    setenv("LLM_API_KEY", "general-key", 1);
    setenv("LLM_BASE_URL__IRIS", "https://openai.azure.com.example/v1", 1);
    setenv("LLM_API_KEY__IRIS", "iris-key-0", 1);
    setenv("LLM_API_KEY__NOVA", "eyJhbGciOi.token", 1);
    struct house house = open_house();
    const struct endpoint *azure = first(&house, "orion")->endpoint;
    assert_string_equal(azure->url, "https://x.openai.azure.com/openai/deployments/d/chat/completions"
                                    "?api-version=2024-10-21");
    assert_string_equal(first(&house, "orion")->name, "x.openai.azure.com");
    assert_true(has_header(azure, "api-key: general-key"));
    assert_false(has_header(azure, "Authorization: Bearer general-key"));
    assert_true(has_header(first(&house, "iris")->endpoint, "Authorization: Bearer iris-key-0"));
    assert_true(has_header(first(&house, "nova")->endpoint, "Authorization: Bearer eyJhbGciOi.token"));
    close_house(&house);
}

static void test_a_key_is_taken_without_blanks_around_it_and_refused_with_words_around_it(void **state)
{
    setenv("LLM_API_KEY", " \tgeneral-key\r\n", 1);
    setenv("LLM_API_KEY__IRIS", "Bearer iris-key-0", 1);
    setenv("LLM_API_KEY__NOVA", "\"nova-key-00\"", 1);
    struct house house = open_house();
    assert_string_equal(first(&house, "orion")->endpoint->key, "general-key");
    assert_non_null(strstr(first(&house, "iris")->fault, "LLM_API_KEY__IRIS begins with 'Bearer '"));
    assert_non_null(strstr(first(&house, "nova")->fault, "LLM_API_KEY__NOVA stands in quotes"));
    close_house(&house);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, clean)
    const struct CMUnitTest tests[] = {
        TEST(test_the_url_is_joined_with_and_without_slashes),
        TEST(test_agents_without_own_settings_share_one_route_and_all_share_an_endpoint),
        TEST(test_an_agents_own_key_makes_an_endpoint_of_its_own),
        TEST(test_the_general_key_goes_to_the_general_address_only),
        TEST(test_fallbacks_follow_in_order_with_limits_of_their_own_or_the_agents),
        TEST(test_every_key_is_masked_wherever_it_stands_but_no_common_word),
        TEST(test_a_key_is_masked_however_json_has_escaped_it),
        TEST(test_a_proxys_password_is_masked_in_every_form_and_its_address_is_not),
        TEST(test_a_key_with_a_line_break_is_refused_and_not_shown),
        TEST(test_a_query_stays_behind_the_path_and_azure_gets_its_own_header),
        TEST(test_a_key_is_taken_without_blanks_around_it_and_refused_with_words_around_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
