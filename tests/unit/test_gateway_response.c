/* supervisor/gateway/response: responses of real servers, as a table. */
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/gateway/response.h"
#include "tests/unit/cmocka.h"

static struct response read_as(long status, const char *type, const char *body, size_t length)
{
    struct response response;
    response_read(&response,
                  &(struct exchange){.status = status, .content_type = type, .body = body, .length = length});
    assert_non_null(response.text);
    assert_non_null(response.finish_reason);
    assert_non_null(response.model);
    assert_true(utf8_valid(response.text, strlen(response.text)));
    assert_true(!response.retry || response.kind == ANSWER_PASSING);
    return response;
}

/* ---- replies ---- */

static const struct {
    const char *who, *body, *text, *finish;
    uint64_t in, out;
} replies[] = {
    {"OpenAI",
     "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1741569952,\"model\":\"gpt-4o-2024-"
     "08-06\","
     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\",\"refusal\":null,"
     "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":19,"
     "\"completion_tokens\":10,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":0}},"
     "\"service_tier\":\"default\"}",
     "Hi", "stop", 19, 10},
    {"OpenAI, refusal",
     "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":\"I can't help with "
     "that.\"},"
     "\"finish_reason\":\"stop\"}]}",
     "I can't help with that.", "refusal", 0, 0},
    {"OpenAI, tool calls",
     "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\"}]},"
     "\"finish_reason\":\"tool_calls\"}]}",
     "", "tool_calls", 0, 0},
    {"Azure, filtered",
     "{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"content_filter\"}]}", "",
     "content_filter", 0, 0},
    {"cut at the limit", "{\"choices\":[{\"message\":{\"content\":\"half\"},\"finish_reason\":\"length\"}]}",
     "half", "length", 0, 0},
    {"Anthropic's compatible endpoint",
     "{\"id\":\"msg_01\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},"
     "\"finish_reason\":\"max_tokens\"}],\"usage\":{\"input_tokens\":7,\"output_tokens\":5}}",
     "Hi", "length", 7, 5},
    {"parts",
     "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\"},"
     "{\"type\":\"output_text\",\"text\":\"b\"},\"c\",{\"text\":\"d\"}]},\"finish_reason\":\"end_turn\"}]}",
     "abcd", "stop", 0, 0},
    {"Mistral, thinking parts",
     "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\","
     "\"text\":"
     "\"hm\"}]},{\"type\":\"text\",\"text\":\"done\"}]}}]}",
     "done", "", 0, 0},
    {"refusal part",
     "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}}]}", "no",
     "refusal", 0, 0},
    {"DeepSeek, reasoning apart",
     "{\"choices\":[{\"message\":{\"content\":\"42\",\"reasoning_content\":\"long\"},\"finish_reason\":"
     "\"stop\"}]}",
     "42", "stop", 0, 0},
    {"OpenRouter, reasoning only",
     "{\"choices\":[{\"message\":{\"content\":\"\",\"reasoning\":\"long\"},\"finish_reason\":\"length\"}]}",
     "", "length", 0, 0},
    {"llama.cpp, thinking aloud",
     "{\"choices\":[{\"message\":{\"content\":\"\\n<think>\\nhm\\n</think>\\n\\nYes\"}}]}", "Yes", "", 0, 0},
    {"Ollama, thought cut off",
     "{\"choices\":[{\"message\":{\"content\":\"<think>hm hm\"},\"finish_reason\":\"length\"}]}", "",
     "length", 0, 0},
    {"a thought spoken of in the middle stays",
     "{\"choices\":[{\"message\":{\"content\":\"Use <think>x</think> tags\"}}]}", "Use <think>x</think> tags",
     "", 0, 0},
    {"legacy completion", "{\"choices\":[{\"text\":\"old\",\"finish_reason\":\"stop\"}],\"usage\":null}",
     "old", "stop", 0, 0},
    {"vLLM, null where others have text",
     "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":null,\"stop_reason\":null}],"
     "\"usage\":{\"prompt_tokens\":3,\"total_tokens\":9,\"completion_tokens\":6}}",
     "x", "", 3, 6},
    {"usage as nonsense",
     "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":"
     "\"9\"}}",
     "x", "", 0, 0},
    {"usage beyond reason",
     "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1e99,\"completion_"
     "tokens\":[]}}",
     "x", "", 0, 0},
    {"a number too large for 64 bits",
     "{\"created\":99999999999999999999999,\"choices\":[{\"message\":{\"content\":\"x\"}}]}", "x", "", 0, 0},
    {"duplicate keys", "{\"choices\":[],\"choices\":[{\"message\":{\"content\":\"last\"}}]}", "last", "", 0,
     0},
    {"error: null beside a reply", "{\"error\":null,\"choices\":[{\"message\":{\"content\":\"x\"}}]}", "x",
     "", 0, 0},
    {"a byte-order mark", "\xef\xbb\xbf{\"choices\":[{\"message\":{\"content\":\"x\"}}]}", "x", "", 0, 0},
    {"OpenRouter, blanks to keep the line open",
     "\n\n   \n{\"choices\":[{\"message\":{\"content\":\"x\"}}]}\n", "x", "", 0, 0},
    {"a NUL in a string", "{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\"}}]}",
     "a\xef\xbf\xbd"
     "b",
     "", 0, 0},
    {"half a surrogate pair",
     "{\"choices\":[{\"message\":{\"content\":\"a\\ud83db \\\\ud83d \\ud83d\\ude00\"}}]}",
     "a\xef\xbf\xbd"
     "b \\ud83d \xf0\x9f\x98\x80",
     "", 0, 0},
    {"a reason that is no text", "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":7}]}", "x",
     "", 0, 0},
    {"a stream",
     "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\n"
     ": comment\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}\r\n\r\n"
     "data:{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
     "ab", "stop", 4, 2},
    {"other words for a reply that was cut",
     "{\"choices\":[{\"message\":{\"content\":\"half\"},\"finish_reason\":\"MAX_OUTPUT_TOKENS\"}]}", "half",
     "length", 0, 0},
    {"other words for a filter",
     "{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"ContentFilter\"}]}", "",
     "content_filter", 0, 0},
    {"DeepSeek, broken off",
     "{\"choices\":[{\"message\":{\"content\":\"half\"},\"finish_reason\":\"insufficient_system_resource\"}]"
     "}",
     "half", "length", 0, 0},
    {"one part, not in a list",
     "{\"choices\":[{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"x\"}}}]}", "x", "", 0, 0},
    {"a second choice that nobody asked for",
     "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: "
     "{\"choices\":[{\"index\":1,\"delta\":"
     "{\"content\":\"b\"}}]}\n\ndata: [DONE]\n\n",
     "a", "", 0, 0},
    {"a stream that ends with the whole",
     "\xef\xbb\xbf"
     "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: "
     "{\"choices\":[{\"message\":{\"content\":\"ab\"},"
     "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
     "ab", "stop", 0, 0},
    {"a stream behind OpenRouter's comments",
     ": OPENROUTER PROCESSING\n\ndata: "
     "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n",
     "a", "stop", 0, 0},
};

static void test_every_shape_of_reply_that_servers_send_is_read(void **state)
{
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct response got = read_as(200, "application/json", replies[i].body, strlen(replies[i].body));
        bool told = replies[i].in > 0;
        if (got.kind != ANSWER_OK || strcmp(got.text, replies[i].text) != 0 ||
            strcmp(got.finish_reason, replies[i].finish) != 0 || got.usage.known != told ||
            (told && (got.usage.in != replies[i].in || got.usage.out != replies[i].out)))
            fail_msg("%s: kind %d, text '%s', finish '%s', tokens %ju and %ju", replies[i].who, (int)got.kind,
                     got.text, got.finish_reason, (uintmax_t)got.usage.in, (uintmax_t)got.usage.out);
        response_free(&got);
    }
}

/* ---- usage ---- */

static const struct {
    const char *who, *usage;
    uint64_t in, cached, out;
} usages[] = {
    {"OpenAI: cached and reasoning tokens are parts",
     "\"prompt_tokens\":2006,\"completion_tokens\":300,\"total_tokens\":2306,"
     "\"prompt_tokens_details\":{\"cached_tokens\":1920},\"completion_tokens_details\":{\"reasoning_tokens\":"
     "256}",
     2006, 1920, 300},
    {"Gemini: reasoning stands in the total only",
     "\"prompt_tokens\":7750,\"completion_tokens\":10000,\"total_tokens\":117750", 7750, 0, 110000},
    {"xAI: reasoning beside the reply",
     "\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,"
     "\"completion_tokens_details\":{\"reasoning_tokens\":94}",
     32, 0, 103},
    {"reasoning beside the reply, without a total",
     "\"prompt_tokens\":32,\"completion_tokens\":9,\"completion_tokens_details\":{\"reasoning_tokens\":94}",
     32, 0, 103},
    {"DeepSeek",
     "\"prompt_tokens\":100,\"completion_tokens\":5,\"prompt_cache_hit_tokens\":64,\"total_tokens\":105", 100,
     64, 5},
    {"Anthropic: cached tokens beside the prompt's",
     "\"input_tokens\":7,\"output_tokens\":5,\"cache_read_input_tokens\":1000,\"cache_creation_input_"
     "tokens\":200",
     1207, 1000, 5},
    {"only what was not cached is the prompt's",
     "\"prompt_tokens\":3,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4000}", 4003,
     4000, 5},
    {"a total below its parts", "\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":3", 10, 0, 5},
    {"a total without parts", "\"total_tokens\":30,\"completion_tokens\":10", 20, 0, 10},
    {"numbers in quotes", "\"prompt_tokens\":\"10\",\"completion_tokens\":\"5\"", 10, 0, 5},
    {"a smaller account beside it",
     "\"prompt_tokens\":10,\"completion_tokens\":5,\"input_tokens\":100,\"output_tokens\":50", 100, 0, 50},
    {"thoughts beside the reply", "\"prompt_tokens\":32,\"completion_tokens\":9,\"thoughts_tokens\":94", 32,
     0, 103},
    {"what was written to the cache beside the prompt",
     "\"prompt_tokens\":10,\"completion_tokens\":5,\"cache_read_input_tokens\":1000,\"cache_creation_input_"
     "tokens\":200",
     1210, 1000, 5},
    {"Ollama's own names", "\"prompt_eval_count\":26,\"eval_count\":9", 26, 0, 9},
};

static void test_every_account_of_tokens_is_read(void **state)
{
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
        OWNED char *body = memory_print("{\"choices\":[{\"message\":{\"content\":\"Hi\"}}],\"usage\":{%s}}",
                                        usages[i].usage);
        struct response got = read_as(200, "application/json", body, strlen(body));
        if (!got.usage.known || got.usage.in != usages[i].in || got.usage.cached != usages[i].cached ||
            got.usage.out != usages[i].out)
            fail_msg("%s: %ju in, %ju cached, %ju out", usages[i].who, (uintmax_t)got.usage.in,
                     (uintmax_t)got.usage.cached, (uintmax_t)got.usage.out);
        response_free(&got);
    }
}

static void test_a_number_that_is_none_is_not_believed(void **state)
{
    static const char body[] = "{\"choices\":[{\"message\":{\"content\":\"Hi\"}}],"
                               "\"usage\":{\"prompt_tokens\":\"1,234\",\"completion_tokens\":\"5\"}}";
    struct response got = read_as(200, NULL, body, strlen(body));
    assert_false(got.usage.known);
    response_free(&got);
}

static void test_json_is_read_whatever_the_server_calls_it(void **state)
{
    static const char body[] = "\n{\"choices\":[{\"message\":{\"content\":\"Hi\"}}]}";
    struct response got = read_as(200, "text/event-stream", body, strlen(body));
    assert_string_equal(got.text, "Hi");
    response_free(&got);
}

static void test_an_answer_counts_as_at_least_a_quarter_of_its_bytes(void **state)
{
    OWNED char *text = memory_new(40001, 1);
    memset(text, 'x', 40000);
    OWNED char *body = memory_print("{\"choices\":[{\"message\":{\"content\":\"%s\"}}],"
                                    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}",
                                    text);
    struct response got = read_as(200, "application/json", body, strlen(body));
    assert_int_equal(got.usage.in, 9);
    assert_int_equal(got.usage.out, 10000);
    response_free(&got);
}

static void test_a_reply_that_cannot_be_used_tells_what_it_took_all_the_same(void **state)
{
    static const char *const bodies[] = {
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":5}}",
        "{\"choices\":[{\"message\":{\"content\":7}}],\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":"
        "5}}",
        "{\"error\":{\"message\":\"no\"},\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":5}}",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"error\":{\"message\":\"no\"},"
        "\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":5}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct response got = read_as(200, NULL, bodies[i], strlen(bodies[i]));
        assert_int_not_equal(got.kind, ANSWER_OK);
        assert_true(got.usage.known);
        assert_int_equal(got.usage.in + got.usage.out, 75);
        response_free(&got);
    }
}

/* Some servers send the count so far with every piece: what the rest took is not in it. */
static void test_a_count_beside_pieces_is_not_the_whole_when_the_stream_breaks_off(void **state)
{
    static const char *const ends[] = {"",
                                       "data: {\"choices\":", "data: {\"error\":{\"message\":\"no\"}}\n\n"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        OWNED char *body = memory_print("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{"
                                        "\"prompt_tokens\":70,\"completion_tokens\":5}}\n\n%s",
                                        ends[i]);
        struct response got = read_as(200, NULL, body, strlen(body));
        assert_int_not_equal(got.kind, ANSWER_OK);
        assert_false(got.usage.known);
        assert_int_equal(got.usage.in + got.usage.out, 75);
        response_free(&got);
    }
}

/* ---- errors ---- */

static const struct {
    const char *who;
    long status;
    const char *body;
    enum answer_kind kind;
    bool limited;
    const char *says;
} errors[] = {
    {"OpenAI, wrong key", 401,
     "{\"error\":{\"message\":\"Incorrect API key provided: sk-abc***wxyz. You can find your API key at …\","
     "\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}",
     ANSWER_AUTH, false, "Incorrect API key provided: [masked]. You"},
    {"OpenAI, rate limit (its text advertises billing)", 429,
     "{\"error\":{\"message\":\"Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): "
     "Limit "
     "30000. Please try again in 1.2s. Visit "
     "https://platform.openai.com/account/billing\",\"type\":\"tokens\","
     "\"code\":\"rate_limit_exceeded\"}}",
     ANSWER_PASSING, true, "Rate limit reached"},
    {"OpenAI, no money", 429,
     "{\"error\":{\"message\":\"You exceeded your current quota, please check your plan and billing "
     "details.\","
     "\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}",
     ANSWER_QUOTA, false, "current quota"},
    {"OpenAI, context too long", 400,
     "{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens.\",\"type\":"
     "\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}",
     ANSWER_LENGTH, false, "maximum context length"},
    {"OpenAI, its fault", 500,
     "{\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}", ANSWER_PASSING, false,
     "had an error"},
    {"Anthropic, overloaded", 529,
     "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_"
     "id\":\"r\"}",
     ANSWER_PASSING, false, "Overloaded"},
    {"Anthropic, no credit", 400,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance is "
     "too low "
     "to access the Anthropic API.\"}}",
     ANSWER_QUOTA, false, "credit balance"},
    {"Ollama", 404, "{\"error\":\"model 'x' not found, try pulling it first\"}", ANSWER_REQUEST, false,
     "try pulling"},
    {"Groq", 429,
     "{\"error\":{\"message\":\"Rate limit reached for model. Please try again in 7.66s. Need more tokens? "
     "Upgrade at "
     "https://console.groq.com/settings/billing\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}",
     ANSWER_PASSING, true, "7.66s"},
    {"vLLM", 400,
     "{\"object\":\"error\",\"message\":\"max_tokens is too "
     "large\",\"type\":\"BadRequestError\",\"param\":null,"
     "\"code\":400}",
     ANSWER_REQUEST, false, "too large"},
    {"llama.cpp, loading", 503,
     "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
     ANSWER_PASSING, false, "Loading model"},
    {"LiteLLM, budget", 400,
     "{\"error\":{\"message\":\"Budget has been exceeded! Current cost: 2\",\"type\":\"budget_exceeded\","
     "\"param\":null,\"code\":\"400\"}}",
     ANSWER_QUOTA, false, "Budget"},
    {"OpenRouter, no credits", 402, "{\"error\":{\"message\":\"Insufficient credits\",\"code\":402}}",
     ANSWER_QUOTA, false, "Insufficient credits"},
    {"OpenRouter inside a 200", 200,
     "{\"error\":{\"message\":\"Provider returned "
     "error\",\"code\":502,\"metadata\":{\"raw\":\"x\"}},\"user_id\":\"u\"}",
     ANSWER_PASSING, false, "inside a 200: Provider"},
    {"OpenRouter, rate limit inside a 200", 200, "{\"error\":{\"message\":\"slow\",\"code\":429}}",
     ANSWER_PASSING, true, "slow"},
    {"OpenRouter, no key inside a 200", 200, "{\"error\":{\"message\":\"No auth\",\"code\":401}}",
     ANSWER_AUTH, false, "No auth"},
    {"OpenRouter in a choice", 200,
     "{\"choices\":[{\"error\":{\"code\":502,\"message\":\"upstream\"},\"message\":{\"content\":\"part\"},"
     "\"finish_reason\":\"error\"}]}",
     ANSWER_PASSING, false, "upstream"},
    {"a quota inside a 200", 200, "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\"}}",
     ANSWER_QUOTA, false, "m"},
    {"vLLM inside a 200", 200, "{\"object\":\"error\",\"message\":\"broken\",\"code\":500}", ANSWER_PASSING,
     false, "broken"},
    {"FastAPI", 422,
     "{\"detail\":[{\"loc\":[\"body\",\"model\"],\"msg\":\"field required\",\"type\":\"missing\"}]}",
     ANSWER_REQUEST, false, "field required"},
    {"FastAPI, one sentence", 404, "{\"detail\":\"Not Found\"}", ANSWER_REQUEST, false, "Not Found"},
    {"Gemini, per minute", 429,
     "[{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota, please check your plan and "
     "billing "
     "details.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"retryDelay\":\"32s\"}]}}]",
     ANSWER_PASSING, true, "current quota"},
    {"Gemini, wrong key", 400,
     "[{\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\"}}]",
     ANSWER_AUTH, false, "not valid"},
    {"errors, a list", 422,
     "{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"No route for that URI\"}]}", ANSWER_REQUEST,
     false, "No route for that URI"},
    {"errors, a list of texts", 400, "{\"errors\":[\"first fault\",\"second\"]}", ANSWER_REQUEST, false,
     "400: first fault"},
    {"Azure, capitals", 404, "{\"Message\":\"Resource not found\",\"StatusCode\":404}", ANSWER_REQUEST, false,
     "Resource not found"},
    {"AWS", 403, "{\"__type\":\"AccessDenied\",\"Message\":\"User is not allowed\"}", ANSWER_AUTH, false,
     "User is not allowed"},
    {"detail, a list of texts", 422, "{\"detail\":[\"model is unknown\"]}", ANSWER_REQUEST, false,
     "model is unknown"},
    {"detail, an object", 400, "{\"detail\":{\"msg\":\"no such engine\"}}", ANSWER_REQUEST, false,
     "no such engine"},
    {"MiniMax inside a 200", 200,
     "{\"choices\":null,\"base_resp\":{\"status_code\":1004,\"status_msg\":\"login fail: carry the API "
     "secret key\"}}",
     ANSWER_AUTH, false, "inside a 200: login fail"},
    {"MiniMax, a limit inside a 200", 200,
     "{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit, retry later\"}}", ANSWER_PASSING,
     true, "retry later"},
    {"MiniMax beside choices", 200,
     "{\"choices\":[{\"message\":{\"content\":\"\"}}],\"base_resp\":{\"status_code\":1027,\"status_msg\":"
     "\"output new_sensitive\"}}",
     ANSWER_REQUEST, false, "output new_sensitive"},
    {"Baidu inside a 200", 200,
     "{\"error_code\":110,\"error_msg\":\"Access token invalid or no longer valid\"}", ANSWER_AUTH, false,
     "Access token invalid"},
    {"Baidu, a limit inside a 200", 200,
     "{\"error_code\":18,\"error_msg\":\"Open api qps request limit reached\"}", ANSWER_PASSING, true,
     "qps request limit"},
    {"a message alone inside a 200", 200, "{\"code\":401,\"message\":\"token expired\"}", ANSWER_AUTH, false,
     "token expired"},
    {"msg inside a 200", 200, "{\"code\":1113,\"msg\":\"account in arrears\",\"success\":false}",
     ANSWER_PASSING, false, "account in arrears"},
    {"a word beside its sentence", 404,
     "{\"timestamp\":1,\"status\":404,\"error\":\"Not Found\",\"message\":\"no handler for "
     "/v1/chat\",\"path\":\"/v1\"}",
     ANSWER_REQUEST, false, "404: no handler for /v1/chat"},
    {"OAuth", 401, "{\"error\":\"invalid_token\",\"error_description\":\"the token has expired\"}",
     ANSWER_AUTH, false, "401: the token has expired"},
    {"Apigee", 401,
     "{\"fault\":{\"faultstring\":\"Failed to resolve API key\",\"detail\":{\"errorcode\":\"x\"}}}",
     ANSWER_AUTH, false, "Failed to resolve API key"},
    {"Kong", 401, "{\"message\":\"No API key found in request\",\"request_id\":\"r\"}", ANSWER_AUTH, false,
     "401: No API key found"},
    {"OpenRouter, what is behind it", 400,
     "{\"error\":{\"message\":\"Provider returned "
     "error\",\"code\":400,\"metadata\":{\"raw\":\"{\\\"error\\\":{\\\"message\\\":\\\"too many "
     "images\\\"}}\",\"provider_name\":\"Acme\"}}}",
     ANSWER_REQUEST, false, "Provider returned error; Acme: too many images"},
    {"OpenRouter, a text behind it", 502,
     "{\"error\":{\"message\":\"Provider returned error\",\"metadata\":{\"raw\":\"upstream gone\"}}}",
     ANSWER_PASSING, false, "its provider: upstream gone"},
    {"a shape that nobody knows", 400, "{\"wrong\":{\"here\":\"the reason\"}}", ANSWER_REQUEST, false,
     "400: {\"wrong\":{\"here\":\"the reason\"}}"},
    {"an empty object", 500, "{}", ANSWER_PASSING, false, "500"},
    {"XML", 403,
     "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Not yours</Message></Error>",
     ANSWER_AUTH, false, "AccessDenied Not yours"},
    {"a page behind a comment", 502, "\n<!-- x --><HTML><TITLE>gateway.corp | 502</TITLE>", ANSWER_PASSING,
     false, "502: gateway.corp | 502"},
    {"a text in quotes", 401, "\"Not authorized\"", ANSWER_AUTH, false, "Not authorized"},
    {"errors that are none inside a 200", 200, "{\"errors\":[],\"error_code\":0}", ANSWER_PASSING, false,
     "no choices"},
    {"DeepSeek, no money", 402, "{\"error\":{\"message\":\"Insufficient Balance\"}}", ANSWER_QUOTA, false,
     "Insufficient Balance"},
    {"an error in an error's text", 500, "{\"error\":{\"error\":{\"message\":\"deep\"}}}", ANSWER_PASSING,
     false, "deep"},
    {"nginx", 502,
     "<html>\r\n<head><title>502 Bad Gateway</title><style>b{}</style></head><body><center><h1>502 Bad "
     "Gateway</h1></center></body></html>",
     ANSWER_PASSING, false, "502: 502 Bad Gateway"},
    {"plain text", 503, "upstream\n\nconnect error", ANSWER_PASSING, false, "upstream connect error"},
    {"nothing", 504, "", ANSWER_PASSING, false, "504"},
    {"a quota that is only spoken of", 400, "{\"error\":{\"message\":\"quota must be a number\"}}",
     ANSWER_REQUEST, false, "must be"},
    {"early hints", 418, "null", ANSWER_REQUEST, false, "418"},
    {"a web page as a reply", 200, "<!DOCTYPE html><title>Hi</title>", ANSWER_REQUEST, false, "web page"},
    {"an empty 200", 200, "", ANSWER_PASSING, false, "empty body"},
    {"a 204", 204, "", ANSWER_PASSING, false, "204 with an empty body"},
    {"JSON cut short", 200, "{\"choices\":[{\"message\":{\"content\":\"hal", ANSWER_PASSING, false,
     "cut short"},
    {"no choices", 200, "{\"id\":\"x\"}", ANSWER_PASSING, false, "no choices"},
    {"empty choices", 200, "{\"choices\":[]}", ANSWER_PASSING, false, "no choices"},
    {"choices of nonsense", 200, "{\"choices\":[null]}", ANSWER_PASSING, false, "no choices"},
    {"content of nonsense", 200, "{\"choices\":[{\"message\":{\"content\":{\"a\":1}}}]}", ANSWER_PASSING,
     false, "neither text nor parts"},
    {"a number", 200, "7", ANSWER_PASSING, false, "no JSON"},
    {"a stream cut short", 200, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", ANSWER_PASSING,
     false, "too early"},
    {"a broken stream", 200, "data: {\"choi\n\n", ANSWER_PASSING, false, "broken"},
    {"an error in a stream", 200,
     "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: "
     "{\"error\":{\"code\":503,\"message\":\"lost\"}}\n\n",
     ANSWER_PASSING, false, "lost"},
};

static void test_every_error_is_told_apart_and_says_what_the_provider_said(void **state)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct response got = read_as(errors[i].status, NULL, errors[i].body, strlen(errors[i].body));
        if (got.kind != errors[i].kind || got.limited != errors[i].limited ||
            !strstr(got.text, errors[i].says) || got.retry != (errors[i].kind == ANSWER_PASSING))
            fail_msg("%s: kind %d, limited %d, retry %d: %s", errors[i].who, (int)got.kind, got.limited,
                     got.retry, got.text);
        assert_null(strstr(got.text, "sk-abc"));
        response_free(&got);
    }
}

static void test_a_redirect_names_where_it_leads_and_that_it_is_not_followed(void **state)
{
    struct response got;
    response_read(&got, &(struct exchange){.status = 308, .location = "https://else\x01where/\xff"});
    assert_int_equal(got.kind, ANSWER_REQUEST);
    assert_non_null(strstr(got.text, "https://else"));
    assert_non_null(strstr(got.text, "aren't followed"));
    response_free(&got);
}

static void test_invalid_utf8_in_a_body_harms_only_itself(void **state)
{
    static const char body[] = "{\"choices\":[{\"message\":{\"content\":\"a\xff\xc3 b\"}}]}";
    struct response got = read_as(200, NULL, body, strlen(body));
    assert_int_equal(got.kind, ANSWER_OK);
    assert_string_equal(got.text, "a\xef\xbf\xbd\xef\xbf\xbd b");
    response_free(&got);
}

static void test_a_reply_longer_than_a_message_may_be_is_cut_and_says_so(void **state)
{
    OWNED_BUFFER struct buffer body = {0};
    buffer_text(&body, "{\"choices\":[{\"message\":{\"content\":\"");
    for (int i = 0; i < 3 * 1024 * 1024 / 3; i++)
        buffer_text(&body, "\xe2\x82\xac");
    buffer_text(&body, "\"},\"finish_reason\":\"stop\"}]}");
    struct response got = read_as(200, NULL, body.data, body.length);
    assert_int_equal(got.kind, ANSWER_OK);
    assert_in_range(strlen(got.text), RESPONSE_TEXT_MAX - 3, RESPONSE_TEXT_MAX);
    assert_string_equal(got.finish_reason, "length");
    response_free(&got);
}

static void test_a_body_of_very_many_values_is_refused_before_it_takes_memory(void **state)
{
    OWNED_BUFFER struct buffer body = {0};
    buffer_text(&body, "{\"choices\":[");
    for (int i = 0; i < 500 * 1000; i++)
        buffer_text(&body, "{},");
    buffer_text(&body, "{}]}");
    struct response got = read_as(200, NULL, body.data, body.length);
    assert_int_equal(got.kind, ANSWER_PASSING);
    response_free(&got);
}

static void test_deep_nesting_and_endless_escapes_are_read_in_good_time(void **state)
{
    OWNED_BUFFER struct buffer body = {0};
    for (int i = 0; i < 100 * 1000; i++)
        buffer_text(&body, "[");
    struct response got = read_as(200, NULL, body.data, body.length);
    assert_int_equal(got.kind, ANSWER_PASSING);
    response_free(&got);
    buffer_drop(&body, body.length);
    buffer_text(&body, "{\"choices\":[{\"message\":{\"content\":\"");
    for (int i = 0; i < 600 * 1000; i++)
        buffer_text(&body, "\\ud800");
    buffer_text(&body, "\"}}]}");
    got = read_as(200, NULL, body.data, body.length);
    assert_int_equal(got.kind, ANSWER_OK);
    response_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shape_of_reply_that_servers_send_is_read),
        cmocka_unit_test(test_every_account_of_tokens_is_read),
        cmocka_unit_test(test_a_number_that_is_none_is_not_believed),
        cmocka_unit_test(test_json_is_read_whatever_the_server_calls_it),
        cmocka_unit_test(test_an_answer_counts_as_at_least_a_quarter_of_its_bytes),
        cmocka_unit_test(test_a_reply_that_cannot_be_used_tells_what_it_took_all_the_same),
        cmocka_unit_test(test_a_count_beside_pieces_is_not_the_whole_when_the_stream_breaks_off),
        cmocka_unit_test(test_every_error_is_told_apart_and_says_what_the_provider_said),
        cmocka_unit_test(test_a_redirect_names_where_it_leads_and_that_it_is_not_followed),
        cmocka_unit_test(test_invalid_utf8_in_a_body_harms_only_itself),
        cmocka_unit_test(test_a_reply_longer_than_a_message_may_be_is_cut_and_says_so),
        cmocka_unit_test(test_a_body_of_very_many_values_is_refused_before_it_takes_memory),
        cmocka_unit_test(test_deep_nesting_and_endless_escapes_are_read_in_good_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
