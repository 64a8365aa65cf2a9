/* supervisor/gateway/length and context: refusals for length in providers' own words, and the lessons of refusals and
 * reports. */

#include <jansson.h>

#include "common/memory.h"
#include "supervisor/gateway/context.h"
#include "supervisor/gateway/words.h"
#include "tests/unit/cmocka.h"

static struct length_refusal read_as(long status, const char *body)
{
    json_t *root = json_loads(body, 0, NULL);
    OWNED char *words = words_gather(root, body);
    json_decref(root);
    return length_read(status, words);
}

static const struct {
    const char *who;
    long status;
    uint64_t context, prompt;
    const char *body;
} refusals[] = {
    {"OpenAI", 400, 4097, 5000,
     "{\"error\":{\"message\":\"This model's maximum context length is 4097 tokens. However, your messages "
     "resulted in "
     "5000 tokens. Please reduce the length of the messages.\",\"code\":\"context_length_exceeded\"}}"},
    {"OpenAI, older", 400, 4097, 3072,
     "{\"error\":{\"message\":\"This model's maximum context length is 4,097 tokens, however you requested "
     "5120 tokens "
     "(3072 in the messages, 2048 in the completion). Please reduce your prompt\"}}"},
    {"OpenAI, newer", 400, 0, 0,
     "{\"error\":{\"message\":\"Your input exceeds the context window of this model. Please adjust your "
     "input and try "
     "again.\",\"code\":\"context_length_exceeded\"}}"},
    {"OpenAI, one text", 400, 0, 0,
     "{\"error\":{\"message\":\"Invalid 'messages[1].content': string too long.\",\"code\":"
     "\"string_above_max_length\"}}"},
    {"OpenAI, a minute's tokens", 429, 10000, 0,
     "{\"error\":{\"message\":\"Request too large for gpt-4 in organization org-x on tokens per min (TPM): "
     "Limit 10000, "
     "Requested 12000.\"}}"},
    {"Groq", 413, 6000, 0,
     "{\"error\":{\"message\":\"Request too large for model `x` in organization `y` on tokens per minute "
     "(TPM): Limit "
     "6000, Requested 7503, please reduce your message size and try "
     "again.\",\"code\":\"rate_limit_exceeded\"}}"},
    {"Groq, length", 400, 0, 0,
     "{\"error\":{\"message\":\"Please reduce the length of the messages or completion.\"}}"},
    {"Cerebras", 400, 8192, 9000,
     "{\"message\":\"Please reduce the length of the messages or completion. Current length is 9000 while "
     "limit is "
     "8192\"}"},
    {"vLLM", 400, 4096, 3000,
     "{\"object\":\"error\",\"message\":\"'max_tokens' or 'max_completion_tokens' is too large: 2048. This "
     "model's "
     "maximum context length is 4096 tokens and your request has 3000 input tokens (2048 > 4096 - 3000).\"}"},
    {"llama.cpp", 400, 4096, 5201,
     "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size, try increasing "
     "it\","
     "\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":5201,\"n_ctx\":4096}}"},
    {"llama.cpp, another", 400, 4096, 5201,
     "{\"error\":{\"message\":\"request (5201 tokens) exceeds the available context size (4096 tokens), try "
     "increasing "
     "it\"}}"},
    {"Ollama", 500, 0, 0, "{\"error\":\"the input length exceeds the context length\"}"},
    {"LM Studio", 400, 4096, 0,
     "{\"error\":\"Trying to keep the first 6241 tokens when context the overflows. However, the model is "
     "loaded with "
     "context length of only 4096 tokens, which is not enough.\"}"},
    {"Anthropic", 400, 200000, 210014,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: "
     "210014 "
     "tokens > 200000 maximum\"}}"},
    {"Anthropic, with the reply", 400, 200000, 0,
     "{\"error\":{\"message\":\"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, "
     "decrease "
     "input length or `max_tokens` and try again\"}}"},
    {"Gemini", 400, 32768, 40000,
     "[{\"error\":{\"code\":400,\"message\":\"The input token count (40000) exceeds the maximum number of "
     "tokens "
     "allowed (32768).\",\"status\":\"INVALID_ARGUMENT\"}}]"},
    {"Mistral", 400, 32768, 41265,
     "{\"object\":\"error\",\"message\":\"Prompt contains 41265 tokens and 0 draft tokens, too large for "
     "model with "
     "32768 maximum context length\",\"code\":3051}"},
    {"xAI", 400, 131072, 150000,
     "{\"error\":\"This model's maximum prompt length is 131072 but the request contains 150000 tokens.\"}"},
    {"Cohere", 400, 4081, 5000,
     "{\"message\":\"too many tokens: total number of tokens in the prompt cannot exceed 4081 - received "
     "5000. Try using "
     "a shorter prompt\"}"},
    {"Hugging Face", 422, 8193, 9000,
     "{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 "
     "`inputs` tokens "
     "and 2048 `max_new_tokens`\"}"},
    {"Bedrock", 400, 0, 0, "{\"message\":\"Input is too long for requested model.\"}"},
    {"DashScope", 400, 30720, 0,
     "{\"code\":\"InvalidParameter\",\"message\":\"Range of input length should be [1, 30720]\"}"},
    {"Moonshot", 400, 8192, 0,
     "{\"error\":{\"message\":\"Invalid request: Your request exceeded model token limit: 8192\"}}"},
    {"Watsonx", 400, 4096, 5000,
     "{\"errors\":[{\"message\":\"the number of input tokens 5000 cannot exceed the total tokens limit 4096 "
     "for this "
     "model\"}]}"},
    {"OpenRouter", 400, 8192, 7952,
     "{\"error\":{\"message\":\"This endpoint's maximum context length is 8192 tokens. However, you "
     "requested about "
     "10000 tokens (7952 of text input, 2048 in the output).\"}}"},
    {"a proxy", 413, 0, 0, "<html><head><title>413 Request Entity Too Large</title></head></html>"},
};

static void test_a_refusal_for_length_is_known_in_every_providers_words(void **state)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct length_refusal said = read_as(refusals[i].status, refusals[i].body);
        if (!said.said || said.context != refusals[i].context || said.prompt != refusals[i].prompt)
            fail_msg("%s: said %d, context %ju, prompt %ju", refusals[i].who, said.said,
                     (uintmax_t)said.context, (uintmax_t)said.prompt);
    }
}

static void test_other_refusals_are_not_about_length(void **state)
{
    static const struct {
        long status;
        const char *body;
    } others[] = {
        {400, "{\"error\":{\"message\":\"max_tokens is too large: 50000. This model supports at most 16384 "
              "completion "
              "tokens, whereas you provided 50000.\",\"param\":\"max_tokens\"}}"},
        {429, "{\"error\":{\"message\":\"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, "
              "Used 29500, "
              "Requested 900. Please try again in 800ms.\"}}"},
        {429, "{\"error\":{\"message\":\"Daily token limit reached\"}}"},
        {404, "{\"error\":{\"message\":\"The model `x-context-length` does not exist\"}}"},
        {401, "{\"error\":{\"message\":\"no key, no context length\"}}"},
        {400, "{\"detail\":[{\"loc\":[\"body\",\"model\"],\"msg\":\"bad\",\"input\":\"maximum context length "
              "is 5\"}]}"},
        {400, "{\"error\":{\"message\":\"The response was filtered\",\"code\":\"content_filter\"}}"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (read_as(others[i].status, others[i].body).said)
            fail_msg("%s", others[i].body);
}

/* ---- the lessons ---- */

static const struct context_limits unset = {.reply = 2048};

static struct length_refusal said(uint64_t context, uint64_t prompt)
{
    return (struct length_refusal){.said = true, .context = context, .prompt = prompt};
}

static void test_the_number_that_a_refusal_names_is_the_context(void **state)
{
    struct context context = {0};
    assert_int_equal(context_room(&context, &unset), (CONTEXT_ASSUMED - 2048) * 3);
    assert_int_equal(context_reply(&context, &unset), 2048);
    const struct length_refusal refusal = said(4096, 3000);
    context_refused(&context, &unset, &refusal, 12000); /* 4 bytes a token */
    assert_int_equal(context_tokens(&context, &unset), 4096);
    assert_int_equal(context_room(&context, &unset), 2048 * 4);
    assert_false(context_may_hold(&context, &unset, 4096 * 4 + 1));
    assert_true(context_may_hold(&context, &unset, 4096 * 4));
}

static void test_every_refusal_makes_the_room_smaller_than_the_prompt(void **state)
{
    static const struct context_limits limits[] = {
        {.reply = 2048}, {.reply = 100}, {.set = 4096, .reply = 2048}, {.set = 1000, .reply = 100000}};
    const struct length_refusal words[] = {said(0, 0), said(4096, 0), said(100000, 0), said(4096, 50),
                                           said(1, 1)};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (size_t j = 0; j < sizeof words / sizeof *words; j++) {
            struct context context = {0};
            for (size_t bytes = 60000; bytes > 1000;) {
                context_refused(&context, &limits[i], &words[j], bytes);
                size_t room = context_room(&context, &limits[i]);
                assert_true(room < bytes && context_tokens(&context, &limits[i]) >= CONTEXT_LEAST);
                bytes = room;
            }
        }
}

static void test_a_setting_counts_unless_the_provider_says_less(void **state)
{
    const struct context_limits limits = {.set = 8192, .reply = 2048};
    struct context context = {0};
    assert_int_equal(context_room(&context, &limits), 6144 * 3);
    struct length_refusal refusal = said(16384, 0);
    context_refused(&context, &limits, &refusal, 60000);
    assert_int_equal(context_tokens(&context, &limits), 8192);
    refusal = said(4096, 0);
    context_refused(&context, &limits, &refusal, 15000);
    assert_int_equal(context_tokens(&context, &limits), 4096);
    const struct context_limits tiny = {.set = 1000, .reply = 2048};
    assert_int_equal(context_reply(&context, &tiny), 500);
}

/* One answered prompt of so many bytes, at 4 bytes a token, of which the server takes `most`. */
static enum context_news report(struct context *context, size_t bytes, uint64_t most)
{
    uint64_t tokens = bytes / 4 < most ? bytes / 4 : most;
    return context_reported(context, (const uint64_t[]){tokens, tokens}, bytes);
}

static void test_a_silent_cut_is_known_by_two_lengths_with_one_report(void **state)
{
    struct context context = {0};
    for (size_t bytes = 8000; bytes < 16384; bytes += 400)
        assert_int_equal(report(&context, bytes, 4096), CONTEXT_NOTHING);
    assert_int_equal(report(&context, 16800, 4096), CONTEXT_NOTHING);
    assert_int_equal(report(&context, 16804, 4096), CONTEXT_NOTHING); /* hardly another length */
    assert_int_equal(report(&context, 17200, 4096), CONTEXT_CUTS);
    assert_int_equal(context_tokens(&context, &unset), 4096);
    assert_int_equal(context_room(&context, &unset), 2048 * 4);
}

static void test_three_lengths_tell_where_they_are_near_each_other(void **state)
{
    struct context context = {0};
    report(&context, 8000, 4096), report(&context, 16564, 4096);
    assert_int_equal(report(&context, 16536, 4096), CONTEXT_NOTHING);
    assert_int_equal(report(&context, 16480, 4096), CONTEXT_CUTS);
}

static void test_the_third_length_may_lie_between_the_two(void **state)
{
    struct context context = {0};
    report(&context, 8000, 4096), report(&context, 17209, 4096);
    assert_int_equal(report(&context, 17302, 4096), CONTEXT_NOTHING);
    assert_int_equal(report(&context, 17300, 4096), CONTEXT_NOTHING);
    assert_int_equal(report(&context, 17257, 4096), CONTEXT_CUTS);
}

/* A grown agent's prompts differ little, and so do their tokens. */
static void test_the_same_number_among_others_is_no_ceiling(void **state)
{
    struct context context = {0};
    for (size_t i = 0; i < 3000; i++) {
        size_t bytes = 16000 + i * 7919 % 400;
        uint64_t tokens = 4000 + i * 104729 % 20;
        assert_int_equal(context_reported(&context, (const uint64_t[]){tokens, tokens}, bytes),
                         CONTEXT_NOTHING);
    }
}

static void test_a_cut_is_looked_at_again_and_unlearned_when_it_is_none(void **state)
{
    struct context context = {0};
    report(&context, 8000, 4096), report(&context, 17000, 4096);
    assert_int_equal(report(&context, 18000, 4096), CONTEXT_CUTS);
    for (int i = 0; i < 64; i++)
        assert_int_equal(report(&context, 8000, 4096), CONTEXT_NOTHING);
    assert_true(context_room(&context, &unset) > 60000); /* the next one is not made smaller */
    assert_int_equal(report(&context, 18000, 4096), CONTEXT_NOTHING);
    assert_int_equal(context_room(&context, &unset), 2048 * 4); /* cut again */
    for (int i = 0; i < 256; i++)
        assert_int_equal(report(&context, 8000, 4096), CONTEXT_NOTHING);
    assert_int_equal(report(&context, 18000, 100000), CONTEXT_FORGOTTEN);
    assert_true(context_room(&context, &unset) > 60000);
}

static void test_a_grown_agent_finds_the_cut_with_half_of_its_prompt(void **state)
{
    struct context context = {0};
    report(&context, 20000, 4096);
    assert_int_equal(report(&context, 21000, 4096), CONTEXT_CUTS);
    assert_true(context_room(&context, &unset) <= 10000);
    assert_int_equal(report(&context, 8000, 4096), CONTEXT_NOTHING);
    assert_int_equal(context_tokens(&context, &unset), 4096);
}

static void test_a_server_that_reports_one_number_for_all_cuts_nothing(void **state)
{
    struct context context = {0};
    size_t bytes = 20000;
    for (int i = 0; i < 20; i++) {
        context_reported(&context, (const uint64_t[]){1000, 1000}, bytes);
        size_t room = context_room(&context, &unset);
        bytes = room < 20000 + 500 * (size_t)i ? room : 20000 + 500 * (size_t)i;
    }
    assert_int_equal(context_tokens(&context, &unset), 0);
    assert_true(bytes >= 29000);
}

/* The first prompt is counted whole, then only tokens that were not cached, with and without the cached ones beside. */
static void test_reports_without_the_cached_tokens_are_no_ceiling(void **state)
{
    for (int beside = 0; beside < 2; beside++) {
        struct context context = {0};
        for (size_t i = 0; i < 60; i++) {
            uint64_t whole = 2000 + 37 * i, uncached = i % 7 == 0 ? whole : 300 + i * i % 11;
            const uint64_t tokens[] = {uncached, beside ? whole : uncached};
            assert_int_not_equal(context_reported(&context, tokens, whole * 4), CONTEXT_CUTS);
        }
    }
}

static void test_a_cut_shows_in_the_sum_with_the_cached_tokens(void **state)
{
    struct context context = {0};
    enum context_news news = CONTEXT_NOTHING;
    for (size_t i = 0; i < 30 && news != CONTEXT_CUTS; i++) {
        uint64_t whole = 3500 + 60 * i, sum = whole < 4096 ? whole : 4096;
        news = context_reported(&context, (const uint64_t[]){sum - (i % 3) * 500, sum}, whole * 4);
    }
    assert_int_equal(news, CONTEXT_CUTS);
    assert_int_equal(context_tokens(&context, &unset), 4096);
}

/* ---- words for the next gateway ---- */

/* Of each prompt that is cut 100 tokens are cached, of each shorter one none. */
static void
test_of_two_counts_with_a_ceiling_the_sum_with_the_cached_tokens_is_what_the_model_holds(void **state)
{
    struct context context = {0};
    enum context_news news = CONTEXT_NOTHING;
    for (size_t i = 0; i < 30 && news != CONTEXT_CUTS; i++) {
        uint64_t whole = 3500 + 200 * i, sum = whole < 4096 ? whole : 4096;
        news = context_reported(&context, (const uint64_t[]){sum - (whole > sum ? 100 : 0), sum}, whole * 4);
    }
    assert_int_equal(news, CONTEXT_CUTS);
    assert_int_equal(context_tokens(&context, &unset), 4096);
}

static void test_what_is_known_reads_back_the_same_after_every_report(void **state)
{
    struct context context = {0};
    const struct length_refusal refusal = said(0, 1234);
    for (size_t i = 0; i < 200; i++) {
        struct context read = {0};
        OWNED_BUFFER struct buffer text = {0}, again = {0};
        if (i == 150)
            context_refused(&context, &unset, &refusal, 9000);
        else
            report(&context, i < 60 ? 20000 + 37 * i : 8000 + 400 * (i % 30), 4096);
        context_print(&context, &text);
        assert_true(context_read(&read, text.data));
        context_print(&read, &again);
        assert_string_equal(again.data, text.data);
        assert_int_equal(read.source, context.source);
        assert_int_equal(context_room(&read, &unset), context_room(&context, &unset));
        assert_memory_equal(read.ceilings, context.ceilings, sizeof read.ceilings);
    }
}

static void test_other_words_change_nothing(void **state)
{
    struct context context = {0}, before;
    OWNED_BUFFER struct buffer text = {0};
    report(&context, 20000, 4096), report(&context, 21000, 4096);
    before = context;
    context_print(&context, &text);
    for (size_t length = 0; length < text.length; length++) {
        OWNED char *part = memory_slice(text.data, length);
        struct context read = before;
        if (context_read(&read, part)) /* only digits of the last number are gone */
            assert_true(length > text.length - 6);
        else
            assert_memory_equal(&read, &before, sizeof read);
    }
    buffer_text(&text, " 1");
    assert_false(context_read(&context, text.data));
    assert_false(context_read(&context, "4096 9 0x1p+1 0 0 0 0 0 0 0 0 0 0 0 0x0p+0 0 0 0 0 0 0x0p+0"));
    assert_false(context_read(&context, "4096 1 0x1p+1 2 0 0 0 0 0 0 0 0 0 0 0x0p+0 0 0 0 0 0 0x0p+0"));
    assert_true(context_read(&context, "4096 1 0x1p+1 1 0 0 0 0 0 0 0 0 0 0 0x0p+0 0 0 0 0 0 0x0p+0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refusal_for_length_is_known_in_every_providers_words),
        cmocka_unit_test(test_other_refusals_are_not_about_length),
        cmocka_unit_test(test_the_number_that_a_refusal_names_is_the_context),
        cmocka_unit_test(test_every_refusal_makes_the_room_smaller_than_the_prompt),
        cmocka_unit_test(test_a_setting_counts_unless_the_provider_says_less),
        cmocka_unit_test(test_a_silent_cut_is_known_by_two_lengths_with_one_report),
        cmocka_unit_test(test_three_lengths_tell_where_they_are_near_each_other),
        cmocka_unit_test(test_the_third_length_may_lie_between_the_two),
        cmocka_unit_test(test_the_same_number_among_others_is_no_ceiling),
        cmocka_unit_test(test_a_cut_is_looked_at_again_and_unlearned_when_it_is_none),
        cmocka_unit_test(test_a_grown_agent_finds_the_cut_with_half_of_its_prompt),
        cmocka_unit_test(test_a_server_that_reports_one_number_for_all_cuts_nothing),
        cmocka_unit_test(test_reports_without_the_cached_tokens_are_no_ceiling),
        cmocka_unit_test(test_a_cut_shows_in_the_sum_with_the_cached_tokens),
        cmocka_unit_test(
            test_of_two_counts_with_a_ceiling_the_sum_with_the_cached_tokens_is_what_the_model_holds),
        cmocka_unit_test(test_what_is_known_reads_back_the_same_after_every_report),
        cmocka_unit_test(test_other_words_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
