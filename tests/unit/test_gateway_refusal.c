/* supervisor/gateway/refusal, words and problem: which words of a provider count, and which are shown. */
#include <string.h>

#include <jansson.h>

#include "common/memory.h"
#include "supervisor/gateway/refusal.h"
#include "supervisor/gateway/response.h"
#include "supervisor/gateway/words.h"
#include "tests/unit/cmocka.h"

struct row {
    const char *who, *body;
    unsigned plain, learned;
};

static const struct row rows[] = {
    {"OpenAI, max_tokens",
     "{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not supported with this model. Use "
     "'max_completion_tokens' instead.\",\"param\":\"max_tokens\",\"code\":\"unsupported_parameter\"}}",
     FORM_COMPLETION_TOKENS, 0},
    {"the other way round",
     "{\"error\":{\"message\":\"Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' "
     "instead.\"}}",
     0, FORM_COMPLETION_TOKENS},
    {"Azure, an older version",
     "{\"error\":{\"message\":\"Unrecognized request argument supplied: max_completion_tokens\"}}", 0,
     FORM_COMPLETION_TOKENS},
    {"pydantic, with the prompt repeated",
     "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"max_completion_tokens\"],\"msg\":"
     "\"Extra inputs "
     "are not permitted\",\"input\":\"the temperature of the system role\"}]}",
     0, FORM_COMPLETION_TOKENS},
    {"OpenAI, max_tokens too large",
     "{\"error\":{\"message\":\"max_tokens is too large: 50000. This model supports at most 16384 completion "
     "tokens, use max_completion_tokens within "
     "that.\",\"param\":\"max_tokens\",\"code\":\"unsupported_value\"}}",
     0, 0},
    {"vLLM, too large",
     "{\"message\":\"'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum "
     "context length is "
     "4096 tokens and your request has 3000 input tokens.\"}",
     0, 0},
    {"Qwen, streams only",
     "{\"error\":{\"message\":\"This model only support stream mode, please enable the stream parameter to "
     "access "
     "the model. \"}}",
     FORM_STREAM, 0},
    {"a server that streams only", "{\"error\":\"'stream' must be true\"}", FORM_STREAM, 0},
    {"pydantic, streams only",
     "{\"detail\":[{\"type\":\"literal_error\",\"loc\":[\"body\",\"stream\"],\"msg\":\"Input should be "
     "True\"}]}",
     FORM_STREAM, 0},
    {"a server that never streams", "{\"error\":\"streaming is not supported\"}", 0, FORM_STREAM},
    {"stream_options", "{\"error\":\"Unrecognized request argument supplied: stream_options\"}", 0,
     FORM_STREAM},
    {"an upstream", "{\"error\":\"the upstream requires a key\"}", 0, 0},
    {"a name alone", "{\"error\":{\"message\":\"max_tokens must be positive; see max_completion_tokens\"}}",
     0, 0},
    {"OpenAI, temperature's value",
     "{\"error\":{\"message\":\"Unsupported value: 'temperature' does not support 0.2 with this model. Only "
     "the "
     "default (1) value is supported.\",\"param\":\"temperature\"}}",
     FORM_NO_TEMPERATURE, 0},
    {"Anthropic, temperature", "{\"error\":{\"message\":\"`temperature` is deprecated for this model.\"}}",
     FORM_NO_TEMPERATURE, 0},
    {"temperature out of range",
     "{\"error\":{\"message\":\"temperature 1.7 is not supported: it must be between 0 and 1\"}}", 0, 0},
    {"temperature missed",
     "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\",\"temperature\"],\"msg\":\"Field required\"}]}", 0,
     FORM_NO_TEMPERATURE},
    {"OpenAI, response_format",
     "{\"error\":{\"message\":\"Invalid parameter: 'response_format' of type 'json_schema' is not supported "
     "with this "
     "model.\",\"param\":\"response_format\"}}",
     FORM_NO_FORMAT, 0},
    {"DeepSeek, response_format",
     "{\"error\":{\"message\":\"This response_format type is unavailable now\"}}", FORM_NO_FORMAT, 0},
    {"a schema that is refused",
     "{\"error\":{\"message\":\"Invalid schema for response_format 'agentos_reply': In context=(), "
     "'additionalProperties' is invalid\"}}",
     0, 0},
    {"OpenAI, system role",
     "{\"error\":{\"message\":\"Unsupported value: 'messages[0].role' does not support 'system' with this "
     "model.\"}}",
     FORM_NO_SYSTEM, 0},
    {"Gemini, Gemma",
     "[{\"error\":{\"message\":\"Developer instruction is not enabled for models/gemma-3-27b-it\"}}]",
     FORM_NO_SYSTEM, 0},
    {"vLLM, Gemma", "{\"message\":\"System role not supported\",\"code\":400}", FORM_NO_SYSTEM, 0},
    {"plain text", "System role not supported", FORM_NO_SYSTEM, 0},
    {"system missed", "{\"error\":\"a system message is required\"}", 0, FORM_NO_SYSTEM},
    {"something else", "{\"error\":{\"message\":\"The model `x` does not exist\"}}", 0, 0},
    {"nothing", "", 0, 0},
};

static struct refused read_as(long status, const char *body)
{
    json_t *root = json_loads(body, 0, NULL);
    OWNED char *words = words_gather(root, body);
    struct refused refused = refusal_read(status, words);
    json_decref(root);
    return refused;
}

static void test_only_unsupported_parameters_change_the_form(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct refused refused = read_as(i % 2 ? 422 : 400, rows[i].body);
        if (refused.plain != rows[i].plain || refused.learned != rows[i].learned)
            fail_msg("%s: plain %u, learned %u", rows[i].who, refused.plain, refused.learned);
    }
}

static void test_other_statuses_say_nothing_but_a_template_that_raises(void **state)
{
    static const long statuses[] = {401, 403, 404, 429, 500, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        assert_int_equal(read_as(statuses[i], rows[0].body).plain, 0);
    assert_int_equal(
        read_as(500, "{\"error\":{\"code\":500,\"message\":\"Jinja Exception: System role not supported\"}}")
            .plain,
        FORM_NO_SYSTEM);
}

/* Some routers break a reply off so. */
static void test_the_words_of_a_model_that_an_error_broke_off_are_no_words_of_its_provider(void **state)
{
    static const char *const words[] = {"The maximum context length is 300 tokens", "He was unauthorized",
                                        "a credit balance", "it must be a secret"};
    static const char *const bodies[][2] = {
        {"{\"choices\":[{\"message\":{\"content\":\"", "\"},\"finish_reason\":\"error\"}]}"},
        {"data: {\"choices\":[{\"delta\":{\"content\":\"", "\"},\"finish_reason\":\"error\"}]}\n\n"},
        {"{\"choices\":[{\"text\":\"", "\",\"error\":{\"code\":502,\"message\":\"lost\"}}]}"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (size_t k = 0; k < sizeof bodies / sizeof *bodies; k++) {
            OWNED char *body = memory_print("%s%s%s", bodies[k][0], words[i], bodies[k][1]);
            struct response got;
            response_read(&got, &(struct exchange){.status = 200, .body = body, .length = strlen(body)});
            assert_int_equal(got.kind, ANSWER_PASSING);
            assert_false(got.length.said);
            assert_null(strstr(got.text, words[i]));
            response_free(&got);
        }
}

static char *mask(const void *secrets, char *text)
{
    for (char *at = text; (at = strstr(at, secrets));)
        memset(at, '*', strlen(secrets));
    return text;
}

static void test_no_cut_through_a_secret_leaves_its_beginning(void **state)
{
    static const char secret[] = "a-key-of-another-form";
    static const struct {
        long status;
        const char *before, *behind;
    } bodies[] = {{401, "{\"error\":{\"message\":\"", " is wrong\"}}"},
                  {403, "<html>", "</html>"},
                  {200, "no JSON: ", ""},
                  {502, "[{\"strange\": \"", "\"}]"}};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (int filling = 240; filling < 310; filling++) {
            OWNED char *body =
                memory_print("%s%0*d %s%s", bodies[i].before, filling, 0, secret, bodies[i].behind);
            struct response got;
            response_read(&got, &(struct exchange){.status = bodies[i].status,
                                                   .body = body,
                                                   .length = strlen(body),
                                                   .mask = mask,
                                                   .secrets = secret});
            assert_null(strstr(got.text, "a-k"));
            response_free(&got);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_unsupported_parameters_change_the_form),
        cmocka_unit_test(test_other_statuses_say_nothing_but_a_template_that_raises),
        cmocka_unit_test(test_the_words_of_a_model_that_an_error_broke_off_are_no_words_of_its_provider),
        cmocka_unit_test(test_no_cut_through_a_secret_leaves_its_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
