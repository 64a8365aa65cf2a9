#include "supervisor/gateway/problem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"

enum { EXCERPT_MAX = 300, WORDS_MAX = 16 * 1024 };

/* The meanings of an error's words. For each status the first row whose text occurs decides, so the order counts:
 * OpenAI's and Groq's rate-limit texts advertise their billing page, and Gemini's per-minute limit speaks of a quota
 * and then says when to come back. */
static const struct {
    const char *words;
    enum answer_kind kind;
    bool limited;
} meanings[] = {
    {"insufficient_quota", ANSWER_QUOTA, false},
    {"credit balance", ANSWER_QUOTA, false},
    {"billing_hard_limit", ANSWER_QUOTA, false},
    {"billing_not_active", ANSWER_QUOTA, false},
    {"insufficient balance", ANSWER_QUOTA, false},
    {"insufficient credits", ANSWER_QUOTA, false},
    {"insufficient_credits", ANSWER_QUOTA, false},
    {"insufficient funds", ANSWER_QUOTA, false},
    {"budget has been exceeded", ANSWER_QUOTA, false},
    {"budget_exceeded", ANSWER_QUOTA, false},
    {"payment required", ANSWER_QUOTA, false},
    {"try again in", ANSWER_PASSING, true},
    {"retry in", ANSWER_PASSING, true},
    {"retrydelay", ANSWER_PASSING, true},
    {"rate_limit", ANSWER_PASSING, true},
    {"rate limit", ANSWER_PASSING, true},
    {"ratelimit", ANSWER_PASSING, true},
    {"too many requests", ANSWER_PASSING, true},
    {"request limit reached", ANSWER_PASSING, true},
    {"per minute", ANSWER_PASSING, true},
    {"billing", ANSWER_QUOTA, false},
    {"quota", ANSWER_QUOTA, false},
    {"invalid_api_key", ANSWER_AUTH, false},
    {"api_key_invalid", ANSWER_AUTH, false},
    {"api key not valid", ANSWER_AUTH, false},
    {"incorrect api key", ANSWER_AUTH, false},
    {"invalid api key", ANSWER_AUTH, false},
    {"authentication_error", ANSWER_AUTH, false},
    {"permission_error", ANSWER_AUTH, false},
    {"unauthorized", ANSWER_AUTH, false},
    {"not authorized", ANSWER_AUTH, false},
    {"login fail", ANSWER_AUTH, false},
    {"access token invalid", ANSWER_AUTH, false},
    {"overloaded", ANSWER_PASSING, false},
    {"invalid_request", ANSWER_REQUEST, false},
    {"context_length_exceeded", ANSWER_REQUEST, false},
    {"model_not_found", ANSWER_REQUEST, false},
    {"does not exist", ANSWER_REQUEST, false},
    {"new_sensitive", ANSWER_REQUEST, false},
};

/* Whether words may turn a status into that kind; a status without a row decides alone. */
static bool words_may(long status, enum answer_kind kind)
{
    switch (status) {
    case 429:
        return kind == ANSWER_QUOTA || kind == ANSWER_PASSING;
    case 400:
    case 403:
        return kind == ANSWER_QUOTA || kind == ANSWER_AUTH;
    case 200:
        return true;
    default:
        return false;
    }
}

static enum answer_kind kind_of_status(long status)
{
    if (status == 401 || status == 403 || status == 407)
        return ANSWER_AUTH;
    if (status == 402)
        return ANSWER_QUOTA;
    if (status == 408 || status == 409 || status == 429 || status >= 500 || status == 200)
        return ANSWER_PASSING;
    return ANSWER_REQUEST;
}

static void classify(struct problem *problem, long status, const char *words)
{
    problem->kind = kind_of_status(status);
    problem->limited = status == 429;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (!strcasestr(words, meanings[i].words))
            continue;
        /* A 400 of Anthropic's means that the credit is used up, but a 400 that merely mentions a quota doesn't. */
        bool weak = strcmp(meanings[i].words, "billing") == 0 || strcmp(meanings[i].words, "quota") == 0;
        if (!words_may(status, meanings[i].kind) || (weak && status != 429 && status != 200))
            continue;
        problem->kind = meanings[i].kind;
        problem->limited = meanings[i].limited;
        break;
    }
    if (status == 429 && problem->kind == ANSWER_PASSING)
        problem->limited = true;
    problem->retry = problem->kind == ANSWER_PASSING;
}

/* Past a tag, or past a whole script, style or head's inside; text is at '<'. */
static const char *skip_tag(const char *text)
{
    static const char *const blocks[][2] = {{"<script", "</script"}, {"<style", "</style"}};
    for (size_t i = 0; i < 2; i++)
        if (strncasecmp(text, blocks[i][0], strlen(blocks[i][0])) == 0) {
            const char *end = strcasestr(text, blocks[i][1]);
            text = end ? end : text + strlen(text);
        }
    const char *end = strchr(text, '>');
    return end ? end + 1 : text + strlen(text);
}

/* The length of a token that looks like a key at text, else 0. Providers quote the key that they refuse, some of them
 * shortened with stars. */
static size_t key_length(const char *text, char before)
{
    if (isalnum((unsigned char)before) || strncmp(text, "sk-", 3) != 0)
        return 0;
    size_t length = 3;
    while (isalnum((unsigned char)text[length]) || (text[length] && strchr("-_*.", text[length])))
        length++;
    while (length > 3 && text[length - 1] == '.')
        length--;
    return length >= 3 + 6 ? length : 0;
}

char *problem_excerpt(const char *text)
{
    struct buffer out = {0};
    bool html = text[strspn(text, " \t\r\n")] == '<', blank = false; /* or XML: its words are read alike */
    buffer_add(&out, "", 0);
    for (char before = ' '; *text && out.length <= EXCERPT_MAX;) {
        size_t key = key_length(text, before);
        before = *text;
        if (html && *text == '<') {
            text = skip_tag(text);
            blank = true;
            continue;
        }
        if ((unsigned char)*text <= ' ' || *text == 0x7f) {
            blank = true;
            text++;
            continue;
        }
        if (blank && out.length)
            buffer_text(&out, " ");
        blank = false;
        if (key)
            buffer_text(&out, "[masked]");
        else
            buffer_add(&out, text, 1);
        text += key ? key : 1;
    }
    size_t length = utf8_cut(out.data, out.length, EXCERPT_MAX);
    if (length < out.length) {
        out.length = length;
        buffer_text(&out, "…");
    }
    return buffer_take(&out);
}

static const char *text_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : NULL;
}

/* A key in whatever case ("Message", "errorMessage"): services behind Azure and AWS capitalise. */
static json_t *member(json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) if (strcasecmp(key, name) == 0) return value;
    return NULL;
}

static const char *message_of(json_t *value, int depth);

static const char *message_in_object(json_t *object, int depth)
{
    static const char *const keys[] = {"message",     "msg",          "error_msg",
                                       "status_msg",  "errorMessage", "error_message",
                                       "errorMsg",    "detail",       "error_description",
                                       "error",       "errors",       "base_resp",
                                       "description", "fault",        "faultstring",
                                       "title",       "reason",       "status_message",
                                       "status_text", "type",         "code"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *message = message_of(member(object, keys[i]), depth + 1);
        if (message)
            return message;
    }
    return NULL;
}

/* The sentence for people in an error, however deep a proxy wrapped it. */
static const char *message_of(json_t *value, int depth)
{
    if (depth > 6)
        return NULL;
    if (json_is_string(value))
        return *json_string_value(value) ? json_string_value(value) : NULL;
    if (json_is_array(value))
        return message_of(json_array_get(value, 0), depth + 1);
    return json_is_object(value) ? message_in_object(value, depth) : NULL;
}

static bool says_something(json_t *value)
{
    return value && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_array(value) && json_array_size(value) == 0) &&
           !(json_is_number(value) && json_number_value(value) == 0);
}

/* {"error": …}, also wrapped in an array (Gemini), in a choice (OpenRouter), or bare (vLLM, FastAPI). An error that is
 * a mere word ("Not Found", "invalid_request") stands beside its sentence, if there is one. */
static json_t *error_in(json_t *root)
{
    if (json_is_array(root))
        root = json_array_get(root, 0);
    json_t *error = member(root, "error");
    if (json_is_string(error) && (text_at(root, "message") || text_at(root, "error_description")))
        return root;
    if (says_something(error))
        return error;
    error = json_object_get(json_array_get(json_object_get(root, "choices"), 0), "error");
    return says_something(error) ? error : NULL;
}

/* Without choices each of these keys makes an error; beside choices only MiniMax's base_resp does, whose code is 0
 * when all is well. */
static bool is_bare_error(json_t *root)
{
    static const char *const keys[] = {"detail", "errors", "error_msg", "error_code", "errorMessage"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (says_something(member(root, keys[i])))
            return true;
    const char *object = text_at(root, "object"), *type = text_at(root, "type");
    return json_is_string(member(root, "message")) || text_at(root, "msg") ||
           (object && strcmp(object, "error") == 0) || (type && strcmp(type, "error") == 0);
}

bool problem_inside(json_t *root)
{
    if (json_is_array(root))
        return error_in(root) != NULL;
    if (says_something(json_object_get(json_object_get(root, "base_resp"), "status_code")))
        return true;
    json_t *choices = json_object_get(root, "choices");
    if (json_array_size(choices) == 0)
        return error_in(root) || is_bare_error(root);
    json_t *choice = json_array_get(choices, 0);
    const char *finish = text_at(choice, "finish_reason");
    return says_something(json_object_get(choice, "error")) || (finish && strcmp(finish, "error") == 0);
}

/* The status that an error inside a 200 gives itself ("code": 502, "429"); 200: none. */
static long own_status(json_t *error)
{
    static const char *const keys[] = {"code", "status", "status_code", "statusCode"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(error, keys[i]);
        double code =
            json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
        if (code >= 400 && code < 600)
            return (long)code;
    }
    return 200;
}

/* Behind a router's "Provider returned error" stands the provider's own error, as a text that may be JSON again.
 * Caller frees; NULL: there is none. */
static char *said_behind(json_t *error)
{
    json_t *metadata = json_object_get(error, "metadata");
    const char *raw = text_at(metadata, "raw"), *who = text_at(metadata, "provider_name");
    if (!raw)
        return NULL;
    json_auto_t *root = json_loads(raw, JSON_DECODE_INT_AS_REAL, NULL);
    json_t *inner = error_in(root);
    const char *message = message_of(inner ? inner : root, 0);
    return memory_print("%s: %s", who ? who : "its provider", message ? message : raw);
}

/* The error's sentence, else its whole text: an unknown shape is still better read than hidden. The text of a
 * reply that an error broke off is the model's, and speaks of no error. */
static char *sentence_of(json_t *error, const char *body)
{
    const char *message = message_of(error, 0);
    OWNED char *behind = said_behind(error);
    OWNED char *both = behind ? memory_print("%s; %s", message ? message : "error", behind) : NULL;
    bool nothing = !message && json_object_size(error) + json_array_size(error) == 0 && json_is_object(error);
    bool reply = json_array_size(json_object_get(error, "choices")) > 0;
    return memory_text(both      ? both
                       : message ? message
                       : nothing ? ""
                       : reply   ? "no error is named beside the reply"
                                 : body);
}

/* All texts of the error, as one text to look for words in; the model's own words are none of them. */
static char *words_of(json_t *error, const char *body)
{
    json_auto_t *bare = NULL;
    if (json_object_get(error, "choices")) {
        error = bare = json_copy(error);
        json_object_del(error, "choices");
    }
    char *dumped = error ? json_dumps(error, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    char *words = memory_slice(dumped ? dumped : body, strnlen(dumped ? dumped : body, WORDS_MAX));
    free(dumped);
    return words;
}

struct problem problem_read(long status, json_t *root, const char *body)
{
    struct problem problem = {0};
    json_t *error = error_in(root);
    json_t *whole = error ? error : root;
    if (status >= 200 && status < 300)
        status = own_status(whole);
    OWNED char *words = words_of(whole, body);
    classify(&problem, status, words);
    problem.message = sentence_of(whole, body);
    return problem;
}

bool problem_is_free(long status)
{
    static const long statuses[] = {400, 401, 403, 404, 413, 422, 429, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (status == statuses[i])
            return true;
    return false;
}
