#include "worker/audit/text.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "common/memory.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

bool text_line(const char **at, struct span *line)
{
    if (**at == '\0')
        return false;
    *line = (struct span){*at, strcspn(*at, "\n")};
    *at += line->length + ((*at)[line->length] == '\n');
    return true;
}

struct span text_trim(struct span span)
{
    while (span.length && isspace((unsigned char)*span.start))
        span.start++, span.length--;
    while (span.length && isspace((unsigned char)span.start[span.length - 1]))
        span.length--;
    return span;
}

/* The number of backticks or tildes that open or close a block of code; 0: the line does neither. */
static size_t fence(struct span line, char *mark)
{
    struct span text = text_trim(line);
    size_t count = 0;
    while (text.length && count < text.length && (*text.start == '`' || *text.start == '~') &&
           text.start[count] == *text.start)
        count++;
    *mark = text.length ? *text.start : '\0';
    return count >= 3 ? count : 0;
}

static char *add_plain(char *to, struct span line)
{
    static const char apostrophe[] = "\xe2\x80\x99";
    for (size_t i = 0; i < line.length; i++) {
        char c = line.start[i];
        if (line.length - i >= 3 && memcmp(line.start + i, apostrophe, 3) == 0) {
            *to++ = '\'';
            i += 2;
        } else if (c != '*' || i + 1 >= line.length || line.start[i + 1] == ' ') /* an item's star stays */
            *to++ = (char)tolower((unsigned char)c);
    }
    *to++ = '\n';
    return to;
}

char *text_prose(const char *text, bool *closed)
{
    char *prose = memory_new(strlen(text) + 2, 1), *to = prose;
    size_t open = 0;
    char opened = '\0', mark;
    struct span line;
    while (text_line(&text, &line)) {
        size_t marks = fence(line, &mark);
        if (open == 0 && marks == 0 && !(line.length && *line.start == '>'))
            to = add_plain(to, line);
        if (marks && open == 0) {
            *to++ = '\n';
            open = marks, opened = mark;
        } else if (marks >= open && mark == opened) {
            open = 0;
        }
    }
    *to = '\0';
    if (closed)
        *closed = open == 0;
    return prose;
}

const char *text_find(const char *text, const char *phrase)
{
    size_t length = strlen(phrase);
    for (const char *at = text; (at = strstr(at, phrase)); at++)
        if ((at == text || !is_word(at[-1]) || !is_word(*phrase)) &&
            (!is_word(at[length]) || !is_word(phrase[length - 1])))
            return at;
    return NULL;
}

bool text_has(const char *text, size_t length, const char *const *phrases)
{
    for (; *phrases; phrases++) {
        const char *at = text_find(text, *phrases);
        if (at && (size_t)(at - text) < length)
            return true;
    }
    return false;
}

bool text_sentence(const char **at, struct span *sentence)
{
    while (**at) {
        const char *start = *at, *end = start;
        while (*end && *end != '\n' && !(strchr(".!?", *end) && (isspace((unsigned char)end[1]) || !end[1])))
            end++;
        *at = *end ? end + 1 : end;
        *sentence = text_trim((struct span){start, (size_t)(end - start)});
        if (sentence->length)
            return true;
    }
    return false;
}

size_t text_words(const char *text)
{
    size_t words = 0;
    for (bool inside = false; *text; text++) {
        words += !inside && is_word(*text);
        inside = is_word(*text) || (inside && (*text == '\'' || *text == '-'));
    }
    return words;
}

bool text_is_item(struct span line)
{
    struct span text = text_trim(line);
    size_t digits = 0;
    while (digits < text.length && isdigit((unsigned char)text.start[digits]))
        digits++;
    if (digits == 0)
        return text.length > 1 && strchr("-*+", *text.start) && text.start[1] == ' ';
    return digits < 4 && text.length > digits + 1 && strchr(".)", text.start[digits]) &&
           text.start[digits + 1] == ' ';
}

bool text_says(const char *text, const char *const *phrases)
{
    return text_has(text, SIZE_MAX, phrases);
}

bool text_starts(struct span span, const char *const *phrases)
{
    for (; *phrases; phrases++)
        if (span.length >= strlen(*phrases) && memcmp(span.start, *phrases, strlen(*phrases)) == 0)
            return true;
    return false;
}

bool text_within(struct span span, const char *const *phrases)
{
    OWNED char *text = memory_slice(span.start, span.length);
    return text_says(text, phrases);
}

bool text_equal(struct span a, struct span b)
{
    return a.length == b.length && memcmp(a.start, b.start, a.length) == 0;
}

char text_last(struct span span)
{
    return span.length ? span.start[span.length - 1] : '\0';
}

bool text_has_code(const char *text)
{
    return strchr(text, '`') || strstr(text, "~~~") || strstr(text, "\n    ") || strstr(text, "\n\t");
}
