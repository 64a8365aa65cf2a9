#include "supervisor/gateway/length.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { LEAST_CONTEXT = 128, FILLING_MAX = 16 };

/* The words of a refusal for length. Words that a limit of tokens a minute may use, too, count only with the statuses
 * of a request that is refused as it is. */
static const struct {
    const char *words;
    bool always;
} signs[] = {
    {"context_length", true},     /* OpenAI, Groq, DeepSeek: context_length_exceeded */
    {"context length", true},     /* vLLM, Mistral, LM Studio, Ollama, OpenRouter */
    {"context window", true},     /* OpenAI's newer sentence, MiniMax, LiteLLM */
    {"context size", true},       /* llama.cpp */
    {"context_size", true},       /* llama.cpp: exceed_context_size_error */
    {"context limit", true},      /* Anthropic: input length and `max_tokens` exceed context limit */
    {"n_ctx", true},              /* llama.cpp's fields and its older sentence */
    {"prompt is too long", true}, /* Anthropic, Fireworks */
    {"prompt too long", true},    /* Ollama */
    {"prompt is too large", true},
    {"input is too long", true}, /* Bedrock */
    {"input too long", true},
    {"maximum prompt length", true}, /* xAI */
    {"request too large", true},     /* Groq, OpenAI: more tokens in one request than a minute has */
    {"reduce the length", true},     /* Groq, Cerebras, OpenAI */
    {"reduce your message size", true},
    {"string_above_max_length", true}, /* OpenAI: the text of one message */
    {"too many input tokens", true},
    {"too many tokens", false}, /* Cohere */
    {"input token", false},     /* Gemini, Watsonx */
    {"input length", false},    /* DashScope */
    {"`inputs` ", false},       /* Hugging Face */
    {"inputs tokens", false},
    {"tokens in prompt", false},
    {"prompt contains", false},
    {"prompt exceeds", false}, /* Zhipu */
    {"prompt length", false},
    {"token limit", false}, /* Moonshot */
    {"maximum number of tokens", false},
    {"maximum tokens", false},
    {"max_seq_len", false},
    {"max_model_len", false},
};

/* The number stands behind these words, after at most FILLING_MAX bytes without a digit or a full stop. */
static const char *const contexts[] = {"maximum context length is",
                                       "maximum context length",
                                       "context length of only",
                                       "context length of",
                                       "context length is",
                                       "context length (",
                                       "context window of",
                                       "context window is",
                                       "context window (",
                                       "context size (",
                                       "context size of",
                                       "n_ctx",
                                       "maximum prompt length is",
                                       "maximum number of tokens allowed",
                                       "maximum number of input tokens",
                                       "max_model_len",
                                       "max_seq_len",
                                       "must be <=",
                                       "must have less than",
                                       "cannot exceed the total tokens limit",
                                       "cannot exceed",
                                       "token limit",
                                       "should be [1,",
                                       " > ",
                                       "limit is",
                                       "limit",
                                       "maximum of",
                                       "up to",
                                       "at most"};
static const char *const prompts[] = {"n_prompt_tokens",
                                      "resulted in",
                                      "your request has",
                                      "request contains",
                                      "prompt contains",
                                      "input token count",
                                      "prompt is too long:",
                                      "messages resulted in",
                                      "given:",
                                      "request (",
                                      "current length is",
                                      "received",
                                      "number of input tokens",
                                      "too many tokens:"};
/* The number stands in front of these words: "(3072 in the messages, 2048 in the completion)", "32768 maximum context
 * length". */
static const char *const before_prompt[] = {"in the messages", "of text input", "in the prompt"};
static const char *const before_context[] = {"maximum context length", "maximum"};

/* "4096", "4,096". */
static uint64_t number_at(const char *at)
{
    uint64_t number = 0;
    for (; isdigit((unsigned char)*at) || (*at == ',' && isdigit((unsigned char)at[1])); at++)
        if (*at != ',' && number < UINT64_C(1000000000000))
            number = number * 10 + (uint64_t)(*at - '0');
    return number;
}

static uint64_t number_behind(const char *words, const char *const list[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (const char *at = words; (at = strcasestr(at, list[i]));) {
            at += strlen(list[i]);
            size_t filling = strcspn(at, ".0123456789");
            if (filling <= FILLING_MAX && number_at(at + filling) >= LEAST_CONTEXT)
                return number_at(at + filling);
        }
    return 0;
}

static uint64_t number_before(const char *words, const char *const list[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (const char *at = words; (at = strcasestr(at, list[i])); at++) {
            const char *start = at;
            while (start > words && start[-1] == ' ')
                start--;
            while (start > words && (isdigit((unsigned char)start[-1]) || start[-1] == ','))
                start--;
            if (number_at(start) >= LEAST_CONTEXT)
                return number_at(start);
        }
    return 0;
}

#define BEHIND(words, list) number_behind(words, list, sizeof list / sizeof *list)
#define BEFORE(words, list) number_before(words, list, sizeof list / sizeof *list)

static bool is_about_length(long status, const char *words)
{
    bool reply = strcasestr(words, "output token") || strcasestr(words, "completion token");
    bool refused = (status == 400 || status == 413 || status == 422) && !reply;
    if (status == 401 || status == 402 || status == 403 || status == 404)
        return false;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if ((refused || signs[i].always) && strcasestr(words, signs[i].words))
            return true;
    return status == 413; /* the status of a proxy that counts bytes */
}

struct length_refusal length_read(long status, const char *words)
{
    struct length_refusal said = {.said = is_about_length(status, words)};
    if (!said.said)
        return said;
    said.context = BEFORE(words, before_context);
    if (!said.context)
        said.context = BEHIND(words, contexts);
    said.prompt = BEFORE(words, before_prompt);
    if (!said.prompt)
        said.prompt = BEHIND(words, prompts);
    return said;
}
