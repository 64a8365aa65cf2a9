#include "supervisor/gateway/response.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/gateway/problem.h"
#include "supervisor/gateway/words.h"

/* Numbers as reals: a server's 64-bit seed or time in nanoseconds must not make a reply unreadable. */
enum { JSON_FLAGS = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NAME_MAX_BYTES = 256, BYTES_A_TOKEN = 4 };

/* A reply while it is put together, from one choice or from the pieces of a stream. */
struct draft {
    struct buffer text, refusal;
    char *finish_reason, *model; /* NULL: not said yet */
    bool seen;                   /* there was a choice */
    bool strange;                /* the choice's content is of a shape that nobody documents */
};

static void draft_free(struct draft *draft)
{
    buffer_free(&draft->text);
    buffer_free(&draft->refusal);
    free(draft->finish_reason);
    free(draft->model);
}

static void conclude(struct response *response, enum answer_kind kind, bool retry, char *text)
{
    response->kind = kind;
    response->retry = retry;
    response->text = text;
}

/* ---- bytes to JSON ---- */

/* The value of a backslash, u and four hexadecimal digits at text; -1: there is no such escape. */
static int escape(const char *text)
{
    if (text[0] != '\\' || text[1] != 'u')
        return -1;
    int code = 0;
    for (size_t i = 2; i < 6; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return -1;
        code = code * 16 + (isdigit((unsigned char)text[i]) ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10);
    }
    return code;
}

/* Half of a surrogate pair escaped alone (what Python's json.dumps makes of a broken text) would make jansson refuse
 * the whole body: it becomes \ufffd, which takes as many bytes. */
static void mend_surrogates(char *text)
{
    for (char *at = text; (at = strchr(at, '\\'));) {
        int code = escape(at);
        if (code < 0xd800 || code > 0xdfff) {
            at += at[1] ? 2 : 1;
            continue;
        }
        int low = code < 0xdc00 ? escape(at + 6) : -1;
        bool pair = low >= 0xdc00 && low <= 0xdfff;
        if (!pair)
            memcpy(at, "\\ufffd", 6);
        at += pair ? 12 : 6;
    }
}

static size_t count_values(const char *text, size_t length)
{
    size_t count = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            i++;
        else if (!quoted && (c == ',' || c == '[' || c == '{'))
            count++;
    }
    return count;
}

static json_t *parse(const char *text, size_t length)
{
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3, length -= 3;
    if (count_values(text, length) > RESPONSE_VALUES_MAX)
        return NULL;
    json_t *root = json_loadb(text, length, JSON_FLAGS, NULL);
    if (root || !memmem(text, length, "\\u", 2))
        return root;
    OWNED char *mended = memory_slice(text, length);
    mend_surrogates(mended);
    return json_loads(mended, JSON_FLAGS, NULL);
}

/* ---- the parts of a reply ---- */

/* JSON strings may hold NULs: no stored text has any. */
static void add_string(struct buffer *to, json_t *string)
{
    const char *text = json_string_value(string);
    size_t length = json_string_length(string);
    if (!text || to->length >= RESPONSE_TEXT_MAX + 1)
        return;
    if (!memchr(text, '\0', length)) {
        buffer_add(to, text, length);
        return;
    }
    OWNED char *clean = utf8_clean(text, length);
    buffer_text(to, clean);
}

static char *short_name(json_t *string)
{
    const char *text = json_string_value(string);
    return text && *text ? memory_slice(text, utf8_cut(text, strlen(text), NAME_MAX_BYTES)) : NULL;
}

static void add_part(struct draft *draft, json_t *part)
{
    if (json_is_string(part))
        add_string(&draft->text, part);
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type || strcmp(type, "text") == 0 || strcmp(type, "output_text") == 0)
        add_string(&draft->text, json_object_get(part, "text"));
    else if (strcmp(type, "refusal") == 0)
        add_string(&draft->refusal, json_object_get(part, "refusal"));
}

/* [{"type":"text","text":"…"}, {"type":"thinking",…}, "…"]: texts are joined, reasoning and images are left. */
static void add_parts(struct draft *draft, json_t *parts)
{
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part) add_part(draft, part);
}

static void add_message(struct draft *draft, json_t *message)
{
    json_t *content = json_object_get(message, "content");
    if (json_is_string(content))
        add_string(&draft->text, content);
    else if (json_is_array(content))
        add_parts(draft, content);
    else if (json_is_string(json_object_get(content, "text")))
        add_part(draft, content);
    else if (content && !json_is_null(content))
        draft->strange = true;
    add_string(&draft->refusal, json_object_get(message, "refusal"));
}

/* The names of other providers for OpenAI's reasons, by a word in them: MAX_TOKENS, max_output_tokens, model_length …
 * A reply that was broken off for any other reason lacks its end as well. */
static char *finish_reason(json_t *value)
{
    static const char *const same[][2] = {{"length", "length"},          {"max_", "length"},
                                          {"token_limit", "length"},     {"context_window", "length"},
                                          {"incomplete", "length"},      {"cancel", "length"},
                                          {"system_resource", "length"}, {"filter", "content_filter"},
                                          {"safety", "content_filter"},  {"recit", "content_filter"},
                                          {"sens", "content_filter"},    {"prohibit", "content_filter"},
                                          {"block", "content_filter"},   {"stop", "stop"},
                                          {"end_turn", "stop"},          {"eos", "stop"},
                                          {"complete", "stop"}};
    char *reason = short_name(value);
    for (size_t i = 0; reason && i < sizeof same / sizeof *same; i++)
        if (strcasestr(reason, same[i][0])) {
            free(reason);
            return memory_text(same[i][1]);
        }
    return reason;
}

/* ---- usage ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The largest number under any of the names; 0: there is none. */
static uint64_t tokens(json_t *usage, const char *const names[], size_t count)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(usage, names[i]);
        char *end = "";
        double number =
            json_is_string(value) ? strtod(json_string_value(value), &end) : json_number_value(value);
        if (number >= 1 && number <= 1e12 && !*end) /* "1,234" is no 1 */
            most = larger(most, (uint64_t)number);
    }
    return most;
}

#define TOKENS(usage, ...)                                                                                   \
    tokens(usage, (const char *const[]){__VA_ARGS__},                                                        \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Cached tokens are part of the prompt's with most providers, and beside them with others (Anthropic's names).
 * Reasoning is part of the generated tokens with most; where it isn't, it stands in the total only, or is more than
 * the whole. */
static void add_usage(struct usage *sum, json_t *usage)
{
    if (!json_is_object(usage))
        return;
    json_t *prompt = json_object_get(usage, "prompt_tokens_details");
    json_t *reply = json_object_get(usage, "completion_tokens_details");
    if (!prompt)
        prompt = json_object_get(usage, "input_tokens_details");
    if (!reply)
        reply = json_object_get(usage, "output_tokens_details");
    uint64_t in = TOKENS(usage, "prompt_tokens", "input_tokens", "prompt_eval_count");
    uint64_t out = TOKENS(usage, "completion_tokens", "output_tokens", "eval_count");
    uint64_t beside = TOKENS(usage, "cache_read_input_tokens");
    uint64_t cached = TOKENS(usage, "cached_tokens", "prompt_cache_hit_tokens");
    cached = larger(larger(cached, beside), TOKENS(prompt, "cached_tokens"));
    uint64_t reasoning = larger(TOKENS(usage, "reasoning_tokens", "thinking_tokens", "thoughts_tokens"),
                                TOKENS(reply, "reasoning_tokens", "thinking_tokens", "thoughts_tokens"));
    uint64_t created = TOKENS(usage, "cache_creation_input_tokens");
    uint64_t total = TOKENS(usage, "total_tokens");
    if (!json_object_get(usage, "prompt_tokens") || in < beside + created)
        in += beside + created;
    sum->summed = larger(sum->summed, in + cached);
    if (cached > in)
        in += cached;
    if (reasoning > out)
        out += reasoning;
    /* Tokens of the total that no part names were generated, unless only the prompt is missing. */
    if (total > in + out)
        *(in || !out ? &out : &in) += total - in - out;
    sum->known = sum->known || in;
    sum->in = larger(sum->in, in);
    sum->out = larger(sum->out, out);
    sum->cached = larger(sum->cached, cached);
}

/* A body, or a piece of a stream, may have its usage in itself, in its choice (Moonshot), with Groq's extras, and
 * with an error. */
static void read_usage(struct usage *sum, json_t *root)
{
    if (json_is_array(root))
        root = json_array_get(root, 0);
    add_usage(sum, json_object_get(root, "usage"));
    add_usage(sum, json_object_get(json_array_get(json_object_get(root, "choices"), 0), "usage"));
    add_usage(sum, json_object_get(json_object_get(root, "x_groq"), "usage"));
    add_usage(sum, json_object_get(json_object_get(root, "error"), "usage"));
    if (json_object_get(root, "prompt_eval_count"))
        add_usage(sum, root);
}

/* ---- a reply ---- */

static void add_choice(struct draft *draft, json_t *choice)
{
    draft->seen = true;
    json_t *message = json_object_get(choice, "message");
    /* A whole message in a stream repeats the pieces before it. */
    if (json_string_length(json_object_get(message, "content")))
        buffer_drop(&draft->text, draft->text.length);
    if (!json_is_object(message))
        message = json_object_get(choice, "delta");
    if (json_is_object(message))
        add_message(draft, message);
    else
        add_string(&draft->text, json_object_get(choice, "text"));
    char *reason = finish_reason(json_object_get(choice, "finish_reason"));
    if (reason) {
        free(draft->finish_reason);
        draft->finish_reason = reason;
    }
}

/* A whole completion, or one piece of a stream. Only the first choice counts: the request asks for no more. */
static void add_completion(struct draft *draft, json_t *root)
{
    json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    if (json_is_object(choice) && json_number_value(json_object_get(choice, "index")) < 1)
        add_choice(draft, choice);
    if (!draft->model)
        draft->model = short_name(json_object_get(root, "model"));
}

/* ---- a draft to a reply ---- */

/* Reasoning models behind llama.cpp, Ollama and vLLM think aloud before they answer. A thought that isn't closed was
 * cut off: there is no answer then. */
static void drop_thought(struct buffer *text)
{
    static const char *const marks[][2] = {{"<think>", "</think>"}, {"<thinking>", "</thinking>"}};
    for (size_t i = 0; text->length && i < sizeof marks / sizeof *marks; i++) {
        size_t blank = strspn(text->data, " \t\r\n");
        if (strncmp(text->data + blank, marks[i][0], strlen(marks[i][0])) != 0)
            continue;
        const char *end = strstr(text->data + blank, marks[i][1]);
        if (end) {
            end += strlen(marks[i][1]);
            end += strspn(end, " \t\r\n");
        }
        buffer_drop(text, end ? (size_t)(end - text->data) : text->length);
    }
}

static void finish(struct response *response, struct draft *draft)
{
    struct buffer *text = &draft->text;
    response->usage.out =
        larger(response->usage.out, (draft->text.length + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN);
    drop_thought(text);
    if (text->length == 0 && draft->refusal.length) {
        text = &draft->refusal;
        memory_set(&draft->finish_reason, "refusal");
    }
    if (text->length > RESPONSE_TEXT_MAX) {
        text->length = utf8_cut(text->data, text->length, RESPONSE_TEXT_MAX);
        buffer_add(text, "", 0);
        memory_set(&draft->finish_reason, "length");
    }
    conclude(response, ANSWER_OK, false, buffer_take(text));
    response->finish_reason = draft->finish_reason;
    response->model = draft->model;
    draft->finish_reason = draft->model = NULL;
}

/* Caller frees. */
static char *excerpt_of(const struct exchange *exchange, const char *text)
{
    OWNED char *whole = memory_text(text);
    if (exchange->mask)
        whole = exchange->mask(exchange->secrets, whole);
    return problem_excerpt(whole);
}

static void read_problem(struct response *response, const struct exchange *exchange, json_t *root,
                         const char *body)
{
    struct problem problem = problem_read(exchange->status, root, body);
    OWNED char *said = problem.message, *message = excerpt_of(exchange, said);
    const char *inside = exchange->status >= 200 && exchange->status < 300 ? "an error inside a " : "";
    conclude(response, problem.kind, problem.retry,
             memory_print("answered %s%ld%s%s", inside, exchange->status, *message ? ": " : "", message));
    response->limited = problem.limited;
    OWNED char *words = words_gather(root, body);
    response->refused = refusal_read(exchange->status, words);
    response->length = length_read(exchange->status, words);
    if (response->length.said) {
        response->kind = ANSWER_LENGTH;
        response->retry = response->limited = false;
    }
}

static void read_completion(struct response *response, const struct exchange *exchange, json_t *root,
                            const char *body)
{
    if (problem_inside(root)) {
        read_problem(response, exchange, root, body);
        return;
    }
    struct draft draft = {0};
    add_completion(&draft, root);
    if (draft.strange)
        conclude(response, ANSWER_PASSING, true,
                 memory_text("answered 200 with a content that is neither text nor parts"));
    else if (draft.seen)
        finish(response, &draft);
    else
        conclude(response, ANSWER_PASSING, true, memory_text("answered 200 with JSON that holds no choices"));
    draft_free(&draft);
}

/* ---- a stream, asked for or not ---- */

static bool is_stream(const char *body, const char *content_type)
{
    static const char *const starts[] = {"data:", "event:", "id:", "retry:", ":"};
    body += strspn(body, "\xef\xbb\xbf \t\r\n");
    if (content_type && strncasecmp(content_type, "text/event-stream", 17) == 0)
        return *body != '{' && *body != '[';
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(body, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Reads a data line; false: the line ended the reading with an error, which is concluded. */
static bool read_piece(struct response *response, struct draft *draft, const struct exchange *exchange,
                       const char *data, size_t length)
{
    json_auto_t *root = parse(data, length);
    bool good = root && !problem_inside(root);
    /* Some servers send the count so far with each piece, which is not the count of a stream that breaks off. */
    response->usage.known = response->usage.known && good;
    read_usage(&response->usage, root);
    if (good) {
        add_completion(draft, root);
    } else if (root) {
        OWNED char *piece = memory_slice(data, length);
        read_problem(response, exchange, root, piece);
    } else {
        conclude(response, ANSWER_PASSING, true, memory_text("answered with a stream that is broken"));
    }
    return good;
}

static void read_stream(struct response *response, const struct exchange *exchange, const char *body)
{
    struct draft draft = {0};
    bool good = true, done = false;
    for (const char *line = body + strspn(body, "\xef\xbb\xbf"); good && !done && *line;) {
        size_t length = strcspn(line, "\r\n");
        if (length >= 5 && strncmp(line, "data:", 5) == 0) {
            size_t blank = 5 + strspn(line + 5, " ");
            done = strncmp(line + blank, "[DONE]", 6) == 0;
            if (!done && blank < length)
                good = read_piece(response, &draft, exchange, line + blank, length - blank);
        }
        line += length;
        line += strspn(line, "\r\n");
    }
    if (good && draft.seen && (done || draft.finish_reason)) {
        finish(response, &draft);
    } else if (good) {
        conclude(response, ANSWER_PASSING, true, memory_text("answered with a stream that ends too early"));
        response->usage.known = response->usage.known && done;
    }
    draft_free(&draft);
}

/* ---- the whole ---- */

/* A redirect isn't followed: the key and the prompt would go to a host that no setting names. */
static void read_redirect(struct response *response, const struct exchange *exchange)
{
    OWNED char *clean = utf8_clean(exchange->location ? exchange->location : "",
                                   exchange->location ? strlen(exchange->location) : 0);
    OWNED char *where = excerpt_of(exchange, clean);
    conclude(
        response, ANSWER_REQUEST, false,
        memory_print("answered %ld with a redirect to %s; redirects aren't followed, so LLM_BASE_URL must "
                     "name the right address",
                     exchange->status, *where ? where : "nowhere (no Location)"));
}

static void read_strange(struct response *response, const struct exchange *exchange, const char *body)
{
    OWNED char *excerpt = excerpt_of(exchange, body);
    if (!*excerpt && body[strspn(body, " \t\r\n")] == '\0') {
        conclude(response, ANSWER_PASSING, true,
                 memory_print("answered %ld with an empty body", exchange->status));
        return;
    }
    body += strspn(body, " \t\r\n");
    bool html = *body == '<';
    conclude(
        response, html ? ANSWER_REQUEST : ANSWER_PASSING, !html,
        memory_print("answered %ld with %s: %s", exchange->status,
                     html ? "a web page instead of a reply (is LLM_BASE_URL right? The URL often ends in /v1)"
                          : "text that is no JSON, or JSON cut short",
                     excerpt));
}

static void read_body(struct response *response, const struct exchange *exchange, const char *body,
                      size_t length)
{
    bool good = exchange->status >= 200 && exchange->status < 300;
    if (exchange->status >= 300 && exchange->status < 400) {
        read_redirect(response, exchange);
        return;
    }
    if (good && is_stream(body, exchange->content_type)) {
        read_stream(response, exchange, body);
        return;
    }
    json_auto_t *root = parse(body, length);
    read_usage(&response->usage, root);
    if (!good)
        read_problem(response, exchange, root, body);
    else if (json_is_object(root) || json_is_array(root))
        read_completion(response, exchange, root, body);
    else
        read_strange(response, exchange, body);
}

void response_read(struct response *response, const struct exchange *exchange)
{
    *response = (struct response){0};
    const char *body = exchange->body ? exchange->body : "";
    size_t length = exchange->body ? exchange->length : 0;
    OWNED char *copy = NULL;
    if (!utf8_valid(body, length) || memchr(body, '\0', length)) {
        copy = utf8_clean(body, length);
        length = strlen(copy);
    } else {
        copy = memory_slice(body, length);
    }
    read_body(response, exchange, copy, length);
    if (exchange->proxy && response->kind != ANSWER_OK) {
        char *text = memory_print("%s (through the proxy %s)", response->text, exchange->proxy);
        free(response->text);
        response->text = text;
    }
    if (!response->finish_reason)
        response->finish_reason = memory_text("");
    if (!response->model)
        response->model = memory_text("");
}

void response_free(struct response *response)
{
    free(response->text);
    free(response->finish_reason);
    free(response->model);
    *response = (struct response){0};
}
