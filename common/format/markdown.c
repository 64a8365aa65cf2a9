#include "common/format/markdown.h"

#include <string.h>

size_t markdown_line(const char *text, size_t length, size_t at, size_t *end)
{
    const char *feed = at < length ? memchr(text + at, '\n', length - at) : NULL;
    size_t next = feed ? (size_t)(feed - text) + 1 : length;
    *end = feed ? next - 1 : length;
    while (*end > at && text[*end - 1] == '\r')
        --*end;
    return next;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void markdown_trim(const char **text, size_t *length)
{
    while (*length && blank((*text)[0])) {
        ++*text;
        --*length;
    }
    while (*length && blank((*text)[*length - 1]))
        --*length;
}

bool markdown_fence(const char *line, size_t length, struct fence *fence)
{
    *fence = (struct fence){0};
    size_t at = 0;
    while (at < length && at < 4 && line[at] == ' ')
        at++;
    if (at > 3 || at == length || (line[at] != '`' && line[at] != '~'))
        return false;
    fence->indent = at;
    fence->mark = line[at];
    while (at < length && line[at] == fence->mark) {
        fence->count++;
        at++;
    }
    fence->info = line + at;
    fence->info_length = length - at;
    markdown_trim(&fence->info, &fence->info_length);
    /* ```code``` on one line is code within a sentence, no fence. */
    bool inline_code = fence->mark == '`' && memchr(fence->info, '`', fence->info_length);
    if (fence->count < 3 || inline_code) {
        *fence = (struct fence){0};
        return false;
    }
    return true;
}

bool markdown_closes(const struct fence *open, const struct fence *fence)
{
    return fence->mark == open->mark && fence->count >= open->count && fence->info_length == 0;
}

static bool closed_later(const struct fence *open, const char *text, size_t length, size_t at)
{
    while (at < length) {
        size_t end, next = markdown_line(text, length, at, &end);
        struct fence fence;
        if (markdown_fence(text + at, end - at, &fence) && markdown_closes(open, &fence))
            return true;
        at = next;
    }
    return false;
}

bool markdown_is_code(struct fence_walk *walk, const char *text, size_t length, size_t at, size_t end,
                      size_t next)
{
    struct fence fence;
    bool is_fence = markdown_fence(text + at, end - at, &fence);
    if (walk->open.mark) {
        if (is_fence && markdown_closes(&walk->open, &fence))
            walk->open = (struct fence){0};
        return true;
    }
    if (!is_fence)
        return false;
    /* The look ahead costs the rest of the text, and comes again only for a shorter fence than the last that found no
     * end, so a text of nothing but fences doesn't take forever. */
    size_t *hopeless = fence.mark == '`' ? &walk->hopeless_backtick : &walk->hopeless_tilde;
    if (*hopeless && fence.count >= *hopeless)
        return false;
    if (!closed_later(&fence, text, length, next)) {
        *hopeless = fence.count;
        return false;
    }
    walk->open = fence;
    return true;
}

unsigned markdown_conflict(const char *text, size_t length, bool code)
{
    static const char begins[] = "<<<<<<< ";
    struct fence_walk walk = {0};
    unsigned begun = 0, line = 1;
    if (length == 0 || !memmem(text, length, begins, strlen(begins)))
        return 0;
    for (size_t at = 0, end, next; at < length; at = next, line++) {
        next = markdown_line(text, length, at, &end);
        if (markdown_is_code(&walk, text, length, at, end, next) && !code)
            continue;
        if (strncmp(text + at, begins, strlen(begins)) == 0 && !begun)
            begun = line;
        if (strncmp(text + at, ">>>>>>> ", 8) == 0 && begun)
            return begun;
    }
    return 0;
}

const char *markdown_body(const char *text, size_t *length)
{
    if (*length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        *length -= 3;
    }
    size_t end, next = markdown_line(text, *length, 0, &end);
    if (end >= 3 && memcmp(text, "---", 3) == 0 && strspn(text + 3, " \t") >= end - 3) {
        for (size_t at = next; at < *length; at = next) {
            next = markdown_line(text, *length, at, &end);
            if (end - at >= 3 && memcmp(text + at, "---", 3) == 0 &&
                strspn(text + at + 3, " \t") >= end - at - 3) {
                text += next;
                *length -= next;
                break;
            }
        }
    }
    while (*length && blank(*text)) {
        text++;
        --*length;
    }
    return text;
}
