#include "worker/reply/block.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/format/markdown.h"
#include "common/memory.h"

/* --- finding --- */

static bool info_has(const struct fence *fence, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= fence->info_length; at++) {
        bool starts = at == 0 || strchr(" \t{.,", fence->info[at - 1]);
        bool ends = at + length == fence->info_length || strchr(" \t},", fence->info[at + length]);
        if (starts && ends && strncasecmp(fence->info + at, word, length) == 0)
            return true;
    }
    return false;
}

/* The block that the fence line [at, next) opens. It ends at a fence that stands no deeper than the opening one: a
 * fence inside an indented `body: |` is that body's. */
static struct reply_block block_from(const char *text, size_t length, size_t at, size_t next,
                                     const struct fence *open)
{
    struct reply_block block = {.start = at, .inner = next};
    for (size_t line = next, end, after; line < length; line = after) {
        struct fence fence;
        after = markdown_line(text, length, line, &end);
        if (markdown_fence(text + line, end - line, &fence) && markdown_closes(open, &fence) &&
            fence.indent <= open->indent) {
            block.inner_length = line - next;
            block.end = after;
            block.closed = true;
            return block;
        }
    }
    block.inner_length = length - next;
    block.end = length;
    return block;
}

/* "Reward" and "**reward**" mean what they say. */
static bool means(const char *given, size_t length, const char *key)
{
    static const char around[] = " \t*_`\"'";
    while (length && strchr(around, *given)) {
        given++;
        length--;
    }
    while (length && strchr(around, given[length - 1]))
        length--;
    return length == strlen(key) && strncasecmp(given, key, length) == 0;
}

/* A line with the key, and no fence: what holds fences of its own is an example of something. */
static bool has_reward(const char *text, size_t length)
{
    bool found = false;
    for (size_t at = 0, end, next; at < length; at = next) {
        struct fence fence;
        next = markdown_line(text, length, at, &end);
        if (markdown_fence(text + at, end - at, &fence))
            return false;
        const char *line = text + at, *colon = memchr(line, ':', end - at);
        size_t blank = strspn(line, " \t{");
        found = found || (colon && line + blank < colon &&
                          means(line + blank, (size_t)(colon - line) - blank, "reward"));
    }
    return found;
}

/* Nothing but blanks behind it, and it looks like what we asked for. */
static bool is_unmarked(const char *text, size_t length, const struct reply_block *block,
                        const struct fence *open)
{
    const char *rest = text + block->end;
    size_t rest_length = length - block->end;
    markdown_trim(&rest, &rest_length);
    return rest_length == 0 &&
           (open->info_length == 0 || info_has(open, "yaml") || info_has(open, "yml") ||
            info_has(open, "json")) &&
           has_reward(text + block->inner, block->inner_length);
}

bool reply_block_find(const char *text, size_t length, struct reply_block *block)
{
    struct fence_walk walk = {0};
    bool marked = false, unmarked = false;
    for (size_t at = 0, end, next; at < length; at = next) {
        struct fence fence;
        next = markdown_line(text, length, at, &end);
        bool is_fence = markdown_fence(text + at, end - at, &fence);
        /* Within a fence of the same kind that is no longer than this one, it can't be an example: then the one
         * before was simply never closed. */
        bool example = walk.open.mark && (walk.open.mark != fence.mark || walk.open.count > fence.count);
        if (is_fence && info_has(&fence, "agentos") && !example) {
            *block = block_from(text, length, at, next, &fence);
            marked = block->marked = true;
            next = block->end;
            walk.open = (struct fence){0};
            continue;
        }
        bool inside = walk.open.mark;
        markdown_is_code(&walk, text, length, at, end, next);
        if (is_fence && !inside && !marked) {
            struct reply_block candidate = block_from(text, length, at, next, &fence);
            if (is_unmarked(text, length, &candidate, &fence)) {
                *block = candidate;
                unmarked = true;
            }
        }
    }
    return marked || unmarked;
}

/* --- reading --- */

static struct part *add(struct parts *parts, char *key)
{
    parts->items = memory_grow(parts->items, parts->count + 1, sizeof *parts->items);
    parts->items[parts->count] = (struct part){.key = key};
    return &parts->items[parts->count++];
}

void parts_from(struct parts *parts, const struct yaml_node *mapping)
{
    *parts = (struct parts){0};
    for (const struct yaml_node *node = mapping->child; node; node = node->next)
        add(parts, memory_text(node->key))->node = node;
}

static struct yaml_node *mapping(const char *text, size_t length, struct fault *fault)
{
    struct yaml_node *node = yaml_parse(text, length, "agentos", fault);
    if (!node || node->kind == YAML_MAPPING)
        return node;
    fault_set(fault, "agentos:%u:%u: it is no list of 'key: value' lines", node->line, node->column);
    yaml_free(node);
    return NULL;
}

/* JSON that YAML doesn't take (a key twice, odd escapes) is written again in its plainest form. */
static struct yaml_node *json_mapping(const char *text, size_t length)
{
    if (length == 0 || text[strspn(text, " \t\r\n")] != '{')
        return NULL;
    json_t *object = json_loadb(text, length, JSON_DISABLE_EOF_CHECK, NULL);
    OWNED char *plain = object ? json_dumps(object, JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return plain ? mapping(plain, strlen(plain), NULL) : NULL;
}

/* The known key at the start of a line, also in quotes or bold; *behind is what follows the colon. */
static const char *known_key(const char *line, size_t length, const char *const *keys, size_t *behind)
{
    const char *colon = memchr(line, ':', length);
    for (; colon && *keys; keys++)
        if (means(line, (size_t)(colon - line), *keys)) {
            *behind = (size_t)(colon - line) + 1;
            while (*line == '*' && *behind < length && line[*behind] == '*') /* **key:** */
                ++*behind;
            return *keys;
        }
    return NULL;
}

static size_t indent_of(const char *line, size_t length)
{
    size_t indent = 0;
    while (indent < length && (line[indent] == ' ' || line[indent] == '\t'))
        indent++;
    return indent;
}

/* The lines without the indentation that all of them share. */
static void dedent(const char *text, size_t length, struct buffer *out)
{
    size_t shared = length;
    for (size_t at = 0, end, next; at < length; at = next) {
        next = markdown_line(text, length, at, &end);
        size_t indent = indent_of(text + at, end - at);
        if (indent < end - at && indent < shared)
            shared = indent;
    }
    for (size_t at = 0, end, next; at < length; at = next) {
        next = markdown_line(text, length, at, &end);
        if (end - at > shared)
            buffer_add(out, text + at + shared, end - at - shared);
        buffer_add(out, "\n", 1);
    }
}

/* One part by itself: [at, end) begins with its key. */
static void add_segment(struct parts *parts, const char *text, size_t length, const char *key, size_t behind)
{
    struct part *part = add(parts, memory_text(key));
    struct yaml_node *node = mapping(text, length, NULL);
    if (node && node->count == 1) {
        part->document = node;
        part->node = node->child;
        return;
    }
    yaml_free(node);
    size_t end, next = markdown_line(text, length, behind, &end);
    const char *first = text + behind;
    size_t first_length = end - behind;
    markdown_trim(&first, &first_length);
    OWNED_BUFFER struct buffer raw = {0};
    bool block = first_length && first_length <= 3 && (*first == '|' || *first == '>');
    if (first_length && !block) {
        buffer_add(&raw, first, first_length);
        buffer_add(&raw, "\n", 1);
    }
    dedent(text + next, length - next, &raw);
    part->raw = buffer_take(&raw);
}

static void split(struct parts *parts, const char *text, size_t length, const char *const *keys)
{
    const char *key = NULL;
    size_t start = 0, behind = 0, indent = length;
    for (size_t at = 0, end, next; at < length; at = next) {
        size_t after;
        next = markdown_line(text, length, at, &end);
        size_t deep = indent_of(text + at, end - at);
        const char *found = deep > indent ? NULL : known_key(text + at + deep, end - at - deep, keys, &after);
        if (!found)
            continue;
        if (key)
            add_segment(parts, text + start, at - start, key, behind);
        key = found;
        start = at;
        behind = deep + after;
        indent = deep;
    }
    if (key)
        add_segment(parts, text + start, length - start, key, behind);
}

void parts_read(struct parts *parts, const char *text, size_t length, const char *const *keys)
{
    struct fault fault = {0};
    OWNED char *copy = memory_slice(text, length);
    struct yaml_node *document = mapping(copy, length, &fault);
    if (!document)
        document = json_mapping(copy, length);
    if (document) {
        parts_from(parts, document);
        parts->document = document;
        return;
    }
    *parts = (struct parts){.broken = true, .fault = fault};
    split(parts, copy, length, keys);
}

void parts_free(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        free(parts->items[i].key);
        free(parts->items[i].raw);
        yaml_free(parts->items[i].document);
    }
    free(parts->items);
    yaml_free(parts->document);
    *parts = (struct parts){0};
}

const struct part *parts_find(const struct parts *parts, const char *key)
{
    for (size_t i = 0; i < parts->count; i++)
        if (means(parts->items[i].key, strlen(parts->items[i].key), key) &&
            (!parts->items[i].node || !yaml_is_null(parts->items[i].node)))
            return &parts->items[i];
    return NULL;
}

const char *parts_stranger(const struct parts *parts, const char *const *keys)
{
    for (size_t i = 0; i < parts->count; i++) {
        const char *const *known = keys;
        while (*known && !means(parts->items[i].key, strlen(parts->items[i].key), *known))
            known++;
        if (!*known)
            return parts->items[i].key;
    }
    return NULL;
}

char *part_text(const struct part *part)
{
    if (part->node && part->node->kind != YAML_SCALAR)
        return NULL;
    const char *text = part->node ? part->node->text : part->raw;
    size_t length = strlen(text);
    markdown_trim(&text, &length);
    if (!part->node && length && text[length - 1] == ',')
        length--;
    bool quoted = !part->node && length > 1 && (*text == '"' || *text == '\'') && text[length - 1] == *text;
    return quoted ? memory_slice(text + 1, length - 2) : memory_slice(text, length);
}
