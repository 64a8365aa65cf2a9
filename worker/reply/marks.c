#include "worker/reply/marks.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static size_t thought_mark(struct span span, bool *closing);

/* --- the tokens of a turn --- */

size_t marks_token(struct span span)
{
    static const char *const words[] = {"</s>",          "<s>",      "<eos>",           "<bos>",
                                        "<end_of_turn>", "[/INST]",  "<start_of_turn>", "<turn|>",
                                        "<|turn>",       "</answer>"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_starts(span, words[i]))
            return strlen(words[i]);
    bool wide = span_starts(span, "<\xef\xbd\x9c");
    if (!wide && !span_starts(span, "<|"))
        return 0;
    const char *close = wide ? "\xef\xbd\x9c>" : "|>";
    struct span name = span_first(span_from(span, wide ? 4 : 2), 40);
    const char *end = memmem(name.text, name.length, close, strlen(close));
    bool one_word = end && !memchr(name.text, ' ', (size_t)(end - name.text)) &&
                    !memchr(name.text, '\n', (size_t)(end - name.text));
    return one_word ? (size_t)(end - span.text) + strlen(close) : 0;
}

static size_t last_token(struct span text)
{
    for (size_t size = 3; size <= 48 && size <= text.length; size++)
        if (text.text[text.length - size] == '<' || text.text[text.length - size] == '[')
            return marks_token(span_from(text, text.length - size)) == size ? size : 0;
    return 0;
}

struct span marks_strip_tokens(struct span text)
{
    static const char *const roles[] = {"assistant", "model", "Assistant"};
    bool closing;
    text = span_trim(text);
    for (size_t size; (size = marks_token(text)) > 0 && !span_starts(text, "<|channel|>") &&
                      !thought_mark(text, &closing);) {
        text = span_left(span_from(text, size));
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
            if (span_starts(text, roles[i]) && (marks_token(span_from(text, strlen(roles[i]))) ||
                                                span_starts(span_from(text, strlen(roles[i])), "\n")))
                text = span_left(span_from(text, strlen(roles[i])));
    }
    if (span_starts(text, "<answer>"))
        text = span_left(span_from(text, strlen("<answer>")));
    for (size_t size; (size = last_token(text)) > 0;)
        text = span_trim(span_first(text, text.length - size));
    return text;
}

/* --- thoughts --- */

/* One word of the name says so: "think", "seed:think", "longcat_think", "thought_process" … */
static bool is_thought(struct span name)
{
    static const char words[] = "|think|thinking|thought|thoughts|reasoning|scratchpad|monologue|";
    char word[16] = "|";
    for (size_t at = 0, length = 1; at <= name.length; at++) {
        bool ends = at == name.length || strchr(":_", name.text[at]);
        if (length < sizeof word - 1)
            word[length++] = ends ? '|' : (char)tolower((unsigned char)name.text[at]);
        word[length] = '\0';
        if (ends && length > 2 && word[length - 1] == '|' && strstr(words, word))
            return true;
        length = ends ? 1 : length;
    }
    return false;
}

/* "end_thinking" is the mark behind "start_thinking". */
static bool is_end(struct span name)
{
    return name.length > 4 && strncasecmp(name.text, "end_", 4) == 0;
}

/* Bytes of <think …>, [THINK], <|think|>, ◁think▷ and the like; *closing: it is the mark behind the thoughts. */
static size_t bracket_mark(struct span span, bool *closing)
{
    static const char *const brackets[][2] = {{"<|", "|>"},
                                              {"<", ">"},
                                              {"[", "]"},
                                              {"\xe2\x97\x81", "\xe2\x96\xb7"},
                                              {"\xef\xbc\x9c", "\xef\xbc\x9e"},
                                              {"&lt;", "&gt;"}};
    for (size_t i = 0; i < sizeof brackets / sizeof *brackets; i++) {
        if (!span_starts(span, brackets[i][0]))
            continue;
        size_t at = strlen(brackets[i][0]), size = 0;
        bool slash = at < span.length && span.text[at] == '/';
        struct span name = span_from(span, at + slash);
        while (size < name.length &&
               (isalnum((unsigned char)name.text[size]) || strchr(":_", name.text[size])))
            size++;
        *closing = slash || is_end(span_first(name, size));
        struct span behind = span_from(name, size);
        bool attributes = *brackets[i][1] == '>' && !*closing && behind.length && *behind.text == ' ';
        const char *end =
            attributes ? memchr(behind.text, '>', behind.length < 200 ? behind.length : 200) : behind.text;
        behind = span_from(behind, end ? (size_t)(end - behind.text) : 0);
        struct span after = span_from(behind, strlen(brackets[i][1]));
        bool link = *brackets[i][1] == ']' && after.length && strchr("(:[", *after.text);
        if (is_thought(span_first(name, size)) && span_starts(behind, brackets[i][1]) && !link)
            return (size_t)(after.text - span.text);
    }
    return 0;
}

static size_t thought_mark(struct span span, bool *closing)
{
    static const char *const tokens[][2] = {{"<|channel>", "<channel|>"}, {"<unused94>", "<unused95>"}};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        for (size_t end = 0; end < 2; end++)
            if (span_starts(span, tokens[i][end])) {
                *closing = end == 1;
                return strlen(tokens[i][end]);
            }
    return bracket_mark(span, closing);
}

/* Behind the next closing mark, or 0. */
static size_t thought_end(struct span text, size_t at)
{
    for (bool closing; at < text.length; at++) {
        size_t size = strchr("<[&\xe2\xef", text.text[at]) ? thought_mark(span_from(text, at), &closing) : 0;
        if (size && closing)
            return at + size;
    }
    return 0;
}

/* A channel's header opens a message where the reply begins with a header, or where the message before it has just ended;
 * elsewhere it is part of a text. */
static bool opens_message(struct span whole, size_t header)
{
    static const char *const ends[] = {"<|start|>assistant", "<|end|>", "<|return|>"};
    struct span before = span_trim(span_first(whole, header));
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t length = strlen(ends[i]);
        if (before.length >= length && span_starts(span_from(before, before.length - length), ends[i]))
            return true;
    }
    return before.length == 0 || span_starts(span_left(whole), "<|channel|>");
}

/* Harmony: only the final channel is the answer. */
static bool skip_channels(struct span *text, bool *endless)
{
    static const char channel[] = "<|channel|>", message[] = "<|message|>", plain[] = "assistantfinal";
    struct fence_memory hopeless = {0};
    struct span line, final = {0};
    for (size_t at = 0, from = 0, code; span_line(*text, &at, &line); from = at) {
        if ((code = span_code_end(*text, from, &hopeless)) > 0) {
            at = code;
            continue;
        }
        const char *found = line.text;
        while ((found = memmem(found, line.length - (size_t)(found - line.text), channel, strlen(channel)))) {
            bool opens = opens_message(*text, (size_t)(found - text->text));
            found += strlen(channel);
            struct span rest = span_from(*text, (size_t)(found - text->text));
            const char *body =
                memmem(rest.text, rest.length < 120 ? rest.length : 120, message, strlen(message));
            if (opens && span_starts(rest, "final") && body)
                final = span_from(rest, (size_t)(body - rest.text) + strlen(message));
        }
    }
    if (!final.text && span_starts(*text, "analysis")) {
        const char *found = memmem(text->text, text->length, plain, strlen(plain));
        if (found)
            final = span_from(*text, (size_t)(found - text->text) + strlen(plain));
    }
    *endless = !final.text && span_starts(*text, channel);
    if (final.text)
        *text = final;
    return final.text || *endless;
}

/* Where the thoughts of the text end, by the lines outside of code: behind the last closing mark that stands alone on
 * its line, opened or not; else behind the first one after an opening mark at a line's start. A mark that is indented is
 * part of a block's text. Something must follow, else the mark ends nothing. 0: there are no thoughts, or no end of
 * them. */
static size_t thoughts_end(struct span text, struct span *opening)
{
    struct fence_memory hopeless = {0};
    struct span line;
    size_t end = 0, opened = text.length;
    for (size_t at = 0, from = 0, code; span_line(text, &at, &line); from = at) {
        bool closing;
        if ((code = span_code_end(text, from, &hopeless)) > 0) {
            at = code;
            continue;
        }
        size_t size = thought_mark(line, &closing);
        if (size && !closing && opened == text.length)
            opened = from;
        if (size && closing && span_empty(span_from(line, size)) && !span_empty(span_from(text, at)))
            end = at;
    }
    if (!end && opened < text.length)
        end = thought_end(text, opened);
    *opening = span_first(text, opened);
    return end;
}

struct span marks_skip_thoughts(struct span text, struct span *front, bool *endless)
{
    enum { ROUNDS = 16 };
    struct span opening;
    *front = (struct span){0};
    if (skip_channels(&text, endless))
        return *endless ? span_first(text, 0) : text;
    text = span_left(text);
    for (int round = 0; round < ROUNDS; round++) {
        size_t end = thoughts_end(text, &opening);
        *endless = !end && opening.length == 0 && text.length > 0;
        if (!end || *endless)
            break;
        if (round == 0 && opening.length < end)
            *front = opening;
        text = span_left(span_from(text, end));
    }
    return *endless ? span_first(text, 0) : text;
}

char *marks_unquote(struct span text)
{
    struct buffer out = {0};
    struct span line;
    bool quoted = false;
    for (size_t at = 0; span_line(text, &at, &line);) {
        struct span rest = span_from(line, span_indent(line, NULL));
        quoted = quoted || rest.length;
        if (rest.length && *rest.text != '>') {
            buffer_free(&out);
            return NULL;
        }
        rest = span_from(rest, rest.length > 0);
        rest = span_from(rest, rest.length && *rest.text == ' ');
        buffer_add(&out, rest.text, rest.length);
        buffer_text(&out, "\n");
    }
    if (quoted)
        return buffer_take(&out);
    buffer_free(&out);
    return NULL;
}
