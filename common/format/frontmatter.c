#include "common/format/frontmatter.h"

#include <string.h>

enum { HEAD_MAX = 64 * 1024 };

/* The line of "---" at text: its length with the line's end, else 0. Blanks behind it are fine. */
static size_t fence(const char *text, size_t length)
{
    if (length < 3 || memcmp(text, "---", 3) != 0)
        return 0;
    size_t end = 3;
    while (end < length && (text[end] == ' ' || text[end] == '\t' || text[end] == '\r'))
        end++;
    if (end == length)
        return end;
    return text[end] == '\n' ? end + 1 : 0;
}

/* Where the closing fence starts, or length when there is none. */
static size_t closing(const char *text, size_t length, size_t from)
{
    while (from < length && fence(text + from, length - from) == 0) {
        const char *newline = memchr(text + from, '\n', length - from);
        from = newline ? (size_t)(newline - text) + 1 : length;
    }
    return from;
}

bool frontmatter_parse(struct frontmatter *matter, const char *text, size_t length, const char *name,
                       struct fault *fault)
{
    *matter = (struct frontmatter){0};
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3, length -= 3;
    size_t head = 0, opening = fence(text, length);
    if (opening) {
        size_t limit = length < HEAD_MAX ? length : HEAD_MAX;
        head = closing(text, limit, opening);
        if (head == limit)
            return fault_set(fault, "%s:1:1: the front matter that starts here has no closing '---'%s", name,
                             length > limit ? " within 64 KiB" : "");
        size_t end = fence(text + head, length - head);
        matter->body = text + head + end;
        matter->body_length = length - head - end;
    } else {
        matter->body = text;
        matter->body_length = length;
    }
    /* The opening fence is YAML's own mark of a document's start: parsed along, lines count as people count. */
    matter->head = yaml_parse(text, head, name, fault);
    if (!matter->head)
        return false;
    if (matter->head->kind == YAML_MAPPING)
        return true;
    fault_set(fault, "%s:%u:%u: the front matter must be lines of 'key: value'", name, matter->head->line,
              matter->head->column);
    frontmatter_free(matter);
    return false;
}

void frontmatter_free(struct frontmatter *matter)
{
    yaml_free(matter->head);
    *matter = (struct frontmatter){0};
}

const char *frontmatter_text(const struct frontmatter *matter, const char *key)
{
    const struct yaml_node *node = yaml_get(matter->head, key);
    return node && node->kind == YAML_SCALAR && !yaml_is_null(node) ? node->text : NULL;
}
