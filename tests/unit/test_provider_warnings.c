/* The usual mistakes in what describes a provider. */
#include <stdlib.h>
#include <string.h>

#include "common/format/provider_warnings.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static const struct {
    const char *url, *model, *key; /* NULL: not set */
    const char *says;              /* a part of the only sentence; NULL: no warning */
} cases[] = {
    {NULL, NULL, "sk-proj-0123456789", NULL},
    {"http://127.0.0.1:11434/v1", "qwen3:8b", NULL, NULL},
    {"http://localhost/v1", NULL, "sk-ant-0123456789", NULL},
    {"https://x.openai.azure.com/openai/deployments/d?api-version=1", "d", "0123456789abcdef", NULL},
    {"https://anthropic.helicone.ai/v1", "m", "sk-ant-0123456789", NULL},
    {"https://litellm.corp/v1", "m", "sk-proj-0123456789", NULL},
    {NULL, NULL, NULL, "LLM_API_KEY is not set"},
    {NULL, NULL, "\"sk-0123456789\"", "LLM_API_KEY stands in quotes"},
    {NULL, NULL, "'sk-0123456789'", "LLM_API_KEY stands in quotes"},
    {NULL, NULL, "Bearer sk-0123456789", "LLM_API_KEY begins with 'Bearer '"},
    {NULL, NULL, "sk-01234\n56789", "line break"},
    {NULL, NULL, "sk-0123456789\n", "LLM_API_KEY has blanks or line breaks around it"},
    {NULL, NULL, "sk-01234 56789", "LLM_API_KEY has a blank in it"},
    {NULL, NULL, "sk-ant-0123456789", "'sk-ant-' as keys of Anthropic do"},
    {NULL, NULL, "gsk_0123456789", "https://api.groq.com/openai/v1"},
    {NULL, NULL, "AIza0123456789", "Google"},
    {NULL, NULL, "sk-or-v1-0123456789", "OpenRouter"},
    {NULL, NULL, "hf_0123456789", "Hugging Face"},
    {"https://api.groq.com/openai/v1", "m", "sk-proj-0123456789", "OpenAI"},
    {"https://litellm.corp/v1", "m", "gsk_0123456789", "Groq"},
    {"http://llm.corp/v1", "m", "0123456789", "without encryption"},
    {"http://ollama:11434/v1", "m", "ollama", NULL},
    {"https://api.openai.com", NULL, "sk-0123456789", "OpenAI is asked at https://api.openai.com/v1"},
    {"https://api.groq.com/", "m", "gsk_0123456789", "https://api.groq.com/openai/v1"},
    {"https://x.openai.azure.com/openai/deployments/d", "d", "0123456789", "api-version"},
    {NULL, "gpt 4o", "sk-0123456789", "LLM_MODEL is 'gpt 4o'"},
};

static void give(const char *variable, const char *value)
{
    if (value)
        setenv(variable, value, 1);
}

static void expect(const struct buffer *said, const char *part, const char *about)
{
    const char *text = said->length ? said->data : "";
    if (part ? !strstr(text, part) || strchr(text, '\n') != text + strlen(text) - 1 : *text)
        fail_msg("%s: %s", about, text);
}

static void test_every_usual_mistake_is_said_once_and_nothing_else_is(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clearenv();
        give("LLM_BASE_URL", cases[i].url);
        give("LLM_MODEL", cases[i].model);
        give("LLM_API_KEY", cases[i].key);
        OWNED_FD int fd = secrets_collect(NULL);
        struct secrets *secrets = secrets_read(fd, NULL);
        OWNED_BUFFER struct buffer out = {0};
        provider_warnings_list(NULL, secrets, &out);
        OWNED char *about =
            memory_print("%s %s %s", cases[i].url ? cases[i].url : "-", cases[i].model ? cases[i].model : "-",
                         cases[i].key ? cases[i].key : "-");
        expect(&out, cases[i].says, about);
        secrets_free(secrets);
    }
}

static void test_a_fallback_and_an_agent_are_looked_at_by_their_own_variables(void **state)
{
    static const char yaml[] = "agents:\n- name: iris\n  persona: P\n";
    clearenv();
    setenv("LLM_BASE_URL", "offline", 1);
    setenv("LLM_FALLBACKS", "spare", 1);
    setenv("LLM_BASE_URL__SPARE", "https://spare.example/v1", 1);
    setenv("LLM_BASE_URL__IRIS", "https://api.mistral.ai/v1", 1);
    setenv("LLM_API_KEY__IRIS", "gsk_0123456789", 1);
    OWNED_FD int fd = secrets_collect(NULL);
    struct secrets *secrets = secrets_read(fd, NULL);
    OWNED_BUFFER struct buffer faults = {0}, warnings = {0};
    struct roster *roster = roster_parse(yaml, strlen(yaml), "agents.yaml", &faults);
    assert_non_null(roster);
    provider_warnings_list(roster, secrets, &warnings);
    assert_non_null(strstr(warnings.data, "LLM_API_KEY__SPARE is not set"));
    assert_non_null(strstr(warnings.data, "LLM_API_KEY__IRIS begins with 'gsk_'"));
    assert_null(strstr(warnings.data, "0123456789"));
    roster_free(roster);
    secrets_free(secrets);
}

static void test_authorities_that_cannot_be_found_are_said(void **state)
{
    clearenv();
    setenv("LLM_BASE_URL", "offline", 1);
    setenv("SSL_CERT_FILE", "/nowhere/ca.pem", 1);
    setenv("SSL_CERT_DIR", "/", 1);
    OWNED_BUFFER struct buffer out = {0};
    provider_warnings_list(NULL, NULL, &out);
    assert_non_null(strstr(out.data, "SSL_CERT_FILE is /nowhere/ca.pem, which can't be read"));
    assert_non_null(strstr(out.data, "SSL_CERT_DIR is /, which is no folder with an authority"));
}

static void test_a_token_that_no_client_could_send_is_said_without_showing_it(void **state)
{
    (void)state;
    static const char *const tokens[] = {"to ken", "to\tken", "token\n"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        clearenv();
        setenv("LLM_BASE_URL", "offline", 1);
        setenv("AGENTOS_TOKEN", tokens[i], 1);
        OWNED_FD int fd = secrets_collect(NULL);
        struct secrets *secrets = secrets_read(fd, NULL);
        OWNED_BUFFER struct buffer out = {0}, without = {0};
        provider_warnings_list(NULL, secrets, &out);
        expect(&out, "AGENTOS_TOKEN holds a blank", "token");
        assert_null(strstr(out.data, "ken\n"));
        setenv("AGENTOS_LISTEN", "", 1); /* config_warnings says that nobody asks for the token */
        provider_warnings_list(NULL, secrets, &without);
        assert_int_equal(without.length, 0);
        secrets_free(secrets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_usual_mistake_is_said_once_and_nothing_else_is),
        cmocka_unit_test(test_a_token_that_no_client_could_send_is_said_without_showing_it),
        cmocka_unit_test(test_authorities_that_cannot_be_found_are_said),
        cmocka_unit_test(test_a_fallback_and_an_agent_are_looked_at_by_their_own_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
