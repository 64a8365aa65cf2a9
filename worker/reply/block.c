#include "worker/reply/block.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "worker/reply/fields.h"
#include "worker/reply/keys.h"
#include "worker/reply/marks.h"

static const char tag_open[] = "<agentos", tag_close[] = "</agentos>";

/* --- what a fence says --- */

/* Behind the word in the info string; NULL: it isn't there. */
static const char *info_has(const struct fence *fence, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= fence->info_length; at++) {
        bool starts = at == 0 || strchr(" \t{.,:=", fence->info[at - 1]) || (fence->info[at - 1] & 0x80);
        bool ends = at + length == fence->info_length || strchr(" \t},:;", fence->info[at + length]);
        if (starts && ends && strncasecmp(fence->info + at, word, length) == 0)
            return fence->info + at + length;
    }
    return NULL;
}

static bool is_marked(const struct fence *fence)
{
    return info_has(fence, "agentos") != NULL;
}

/* The closing fence may have a stop token behind it: is it its closing fence and a stop token on it. */
static bool is_bare(const struct fence *fence)
{
    return fence->info_length == 0 || marks_token((struct span){fence->info, fence->info_length}) > 0;
}

static bool may_hold_report(const struct fence *fence)
{
    static const char *const infos[] = {"yaml", "yml",  "json", "jsonc", "json5",    "markdown",
                                        "md",   "text", "txt",  "xml",   "plaintext"};
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++)
        if (info_has(fence, infos[i]))
            return true;
    return fence->info_length == 0;
}

/* --- where a block ends --- */

struct ending {
    size_t inner_end, end;
    bool closed;
};

/* Is the fence in front of `at` the beginning of code in a text at the left edge, and not the block's end? Then the
 * code is closed, and behind it the block goes on with a key, with indented lines or with its own end. */
static bool opens_code(struct span text, size_t at, const struct fence *open)
{
    struct span line, key, value;
    struct fence fence;
    bool closed = false, goes_on = false, first = true;
    for (size_t columns; span_line(text, &at, &line);) {
        bool is_fence =
            span_fence(line, &fence, NULL) && fence.mark == open->mark && fence.count >= open->count;
        if (is_fence && !is_bare(&fence))
            return false;
        if (is_fence && closed)
            return first || goes_on;
        if (closed && first && span_indent(line, &columns) < line.length) {
            goes_on = columns > 0 || (span_key(line, &key, &value) && fields_key(key, report_keys) >= 0);
            if (!goes_on)
                return false;
            first = false;
        }
        closed = closed || is_fence;
    }
    return false;
}

/* A block whose closing fence stands behind the last words of a line: "reflection: done```". */
static bool close_on_a_line(struct span text, size_t at, size_t end, const struct fence *open,
                            struct ending *ending)
{
    struct span line;
    for (size_t from = at; at < end && span_line(text, &at, &line); from = at) {
        line = span_trim(line);
        size_t count = 0;
        while (count < line.length && line.text[line.length - 1 - count] == open->mark)
            count++;
        struct span words = span_first(line, line.length - count);
        if (count < open->count || words.length == 0 || memmem(words.text, words.length, "```", 3))
            continue;
        *ending = (struct ending){(size_t)(words.text + words.length - text.text), at, true};
        return from < end;
    }
    return false;
}

/* The end of the block that `open` begins, its lines from `at` on. A fence that stands deeper than the opening one, or
 * that has an info string, belongs to a text in the block. */
static struct ending find_end(struct span text, size_t at, const struct fence *open)
{
    struct span line, key, value;
    size_t last_key = at;                      /* the block goes on there, so it ends behind */
    size_t code = 0, loose = 0, loose_end = 0; /* a bare fence that stands too deep */
    bool in_code = false, in_text = false;
    for (size_t from = at; span_line(text, &at, &line); from = at) {
        struct fence fence;
        size_t column;
        struct span rest = span_from(line, span_indent(line, &column));
        if (!span_fence(line, &fence, NULL)) {
            if (column <= open->indent && span_key(rest, &key, &value) && fields_key(key, report_keys) >= 0)
                last_key = from;
            in_text = in_text ||
                      (!in_code && span_key(rest, &key, &value) && span_starts(span_trim(value), "|")) ||
                      (span_key(rest, &key, &value) && span_means(key, "body|task|text"));
            continue;
        }
        if (fence.mark != open->mark || fence.count < open->count)
            continue;
        fence.indent = column > fence.indent ? column : fence.indent; /* of a quote in a text, too */
        bool edge = fence.indent <= open->indent, bare = is_bare(&fence);
        if (!bare && (is_marked(&fence) ? edge || !in_text : edge && !in_text && !in_code))
            return (struct ending){from, from, false};
        if (in_code && bare && (fence.indent >= code || !edge)) {
            in_code = false;
            loose = 0;
        } else if (bare && edge && (in_code || !in_text || !opens_code(text, at, open))) {
            return (struct ending){from, at, true};
        } else if (!in_code) {
            in_code = true;
            code = fence.indent;
            loose = bare && !edge ? from : 0;
            loose_end = at;
        }
    }
    struct ending ending = {text.length, text.length, false};
    if (loose > last_key)
        return (struct ending){loose, loose_end, true};
    close_on_a_line(text, last_key, text.length, open, &ending);
    return ending;
}

/* --- blocks --- */

/* The lines of the block, without the marks of a quote that it stands in. */
static char *inner_text(struct span text, size_t levels)
{
    struct buffer out = {0};
    struct span line;
    for (size_t at = 0; span_line(text, &at, &line);) {
        for (size_t level = 0; level < levels; level++) {
            struct span rest = span_from(line, span_indent(line, NULL));
            if (rest.length == 0 || *rest.text != '>')
                break;
            line = span_from(rest, 1);
        }
        buffer_add(&out, line.text, line.length);
        buffer_text(&out, "\n");
    }
    return buffer_take(&out);
}

static void add(struct reply_blocks *blocks, struct reply_block block)
{
    blocks->items = memory_grow(blocks->items, blocks->count + 1, sizeof *blocks->items);
    blocks->items[blocks->count++] = block;
}

static void drop_all(struct reply_blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++)
        free(blocks->items[i].inner);
    blocks->count = 0;
}

static struct reply_block fenced(struct span text, size_t from, size_t next, const struct fence *open,
                                 size_t levels)
{
    struct ending ending = find_end(text, next, open);
    struct reply_block block = {.start = from, .end = ending.end, .closed = ending.closed};
    const char *behind = info_has(open, "agentos");
    size_t left = behind ? (size_t)(open->info + open->info_length - behind) : 0;
    bool content =
        left && (memchr(behind, ':', left) || memchr(behind, '{', left)); /* ```agentos reward: 1 */
    block.inner = inner_text(span_first(span_from(text, next), ending.inner_end - next), levels);
    if (content) {
        OWNED char *lines = block.inner;
        block.inner = memory_print("%.*s\n%s", (int)left, behind, lines);
    }
    return block;
}

/* Does the text say agentos in its first line, as a word alone, a key or a tag? *behind: what follows the word alone. */
static bool says_agentos(struct span inner, struct span *behind)
{
    struct span line;
    size_t at = 0;
    inner = span_left(inner);
    *behind = inner;
    if (!span_line(inner, &at, &line) || !span_means(line, "agentos"))
        return false;
    if (!memchr(line.text, ':', line.length))
        *behind = span_from(inner, at);
    return true;
}

static bool has_reward(struct span inner)
{
    struct fields fields, within = {0};
    fields_read(&fields, inner, report_keys);
    const struct field *report = fields_find(&fields, KEY_AGENTOS);
    if (report)
        fields_read(&within, span_of(report->text), report_keys);
    bool found = fields_find(&fields, KEY_REWARD) || fields_find(&within, KEY_REWARD);
    fields_free(&fields);
    fields_free(&within);
    return found;
}

/* A fence in the text that says agentos: then the text shows an example. */
static bool shows_block(struct span text)
{
    struct span line;
    struct fence fence;
    for (size_t at = 0; span_line(text, &at, &line);)
        if (span_fence(line, &fence, NULL) && is_marked(&fence))
            return true;
    return false;
}

static bool is_tag(struct span line)
{
    line = span_from(line, span_indent(line, NULL));
    size_t length = strlen(tag_open);
    return line.length > length && strncasecmp(line.text, tag_open, length) == 0 &&
           strchr(" >", line.text[length]);
}

/* <agentos> … </agentos>, the inner text without a fence of its own. */
static struct reply_block tagged(struct span text, size_t from)
{
    struct span rest = span_from(text, from);
    const char *gt = memchr(rest.text, '>', rest.length);
    struct span inner = span_from(rest, gt ? (size_t)(gt - rest.text) + 1 : rest.length);
    const char *close = strcasestr(inner.text, tag_close);
    struct reply_block block = {.start = from, .end = text.length, .marked = true};
    if (close) {
        inner.length = (size_t)(close - inner.text);
        block.end = (size_t)(close - text.text) + strlen(tag_close);
        block.closed = true;
    }
    struct span line, whole = span_trim(inner);
    struct fence fence;
    size_t at = 0;
    if (span_line(whole, &at, &line) && span_fence(line, &fence, NULL))
        inner = span_first(span_from(whole, at), find_end(whole, at, &fence).inner_end - at);
    block.inner = inner_text(inner, 0);
    return block;
}

static struct span between(struct span text, size_t from, size_t to)
{
    return span_first(span_from(text, from), to - from);
}

/* A marked block joins the one right in front of it; text between them makes that one text, too. */
static void add_marked(struct reply_blocks *blocks, struct span text, struct reply_block block)
{
    struct reply_block *last = blocks->count ? &blocks->items[blocks->count - 1] : NULL;
    if (last && !span_empty(between(text, last->end, block.start)))
        drop_all(blocks);
    block.marked = true;
    add(blocks, block);
}

/* Nothing but a few words behind: "Let me know if there is more to do." */
static bool is_chatter(struct span text)
{
    enum { CHATTER = 200 };
    text = span_trim(text);
    return text.length <= CHATTER && !memmem(text.text, text.length, "\n\n", 2) &&
           !memmem(text.text, text.length, "```", 3) && !memmem(text.text, text.length, "~~~", 3);
}

/* A fence that doesn't say agentos by itself, [from, …). True: it is a block all the same. */
static bool add_unmarked(struct reply_blocks *blocks, struct span text, size_t from, size_t next,
                         const struct fence *open, size_t levels)
{
    if (!may_hold_report(open))
        return false;
    struct reply_block block = fenced(text, from, next, open, levels);
    struct span inner = span_of(block.inner), behind;
    bool example = shows_block(inner);
    if (!example && is_tag(span_left(inner))) {
        struct reply_block within = tagged(inner, 0);
        free(block.inner);
        block.inner = within.inner;
        add_marked(blocks, text, block);
        return true;
    }
    bool marked = says_agentos(inner, &behind), last = is_chatter(span_from(text, block.end));
    bool joins =
        blocks->count && span_empty(between(text, blocks->items[blocks->count - 1].end, block.start));
    if (example || (blocks->count && !marked && !joins) || (!marked && !last) || !has_reward(behind)) {
        free(block.inner);
        return false;
    }
    if (behind.text != block.inner) {
        char *rest = memory_text(behind.text);
        free(block.inner);
        block.inner = rest;
    }
    if (marked)
        add_marked(blocks, text, block);
    else
        add(blocks, block);
    return true;
}

/* Is there no further fence? Then one that is never closed may be the last block. */
static bool is_last_fence(struct span text, size_t at)
{
    struct span rest = span_from(text, at);
    return !memmem(rest.text, rest.length, "```", 3) && !memmem(rest.text, rest.length, "~~~", 3);
}

/* Behind a block's end a token says that the turn is over. */
static bool is_stopped(struct span text, const struct reply_block *block)
{
    struct span fence = span_trim(between(text, block->start, block->end));
    struct span last = fence;
    const char *feed = memrchr(fence.text, '\n', fence.length);
    if (feed)
        last = span_from(fence, (size_t)(feed + 1 - fence.text));
    struct fence closing;
    bool on_line = span_fence(last, &closing, NULL) && closing.info_length &&
                   marks_token((struct span){closing.info, closing.info_length});
    return on_line || marks_token(span_left(span_from(text, block->end)));
}

void reply_blocks_find(struct reply_blocks *blocks, struct span text)
{
    *blocks = (struct reply_blocks){0};
    struct fence_memory hopeless = {0};
    struct fence open = {0}, fence;
    struct span line;
    size_t code = 0, levels; /* [.., code) is code of the answer, opened by open */
    for (size_t at = 0, from = 0; span_line(text, &at, &line); from = at) {
        bool is_fence = span_fence(line, &fence, &levels), inside = from < code, found = false;
        /* Within a fence of the same kind that is no longer, the block can't be an example: then that fence was
         * simply never closed. */
        bool example = inside && (open.mark != fence.mark || open.count > fence.count);
        if (is_fence && is_marked(&fence) && !example) {
            add_marked(blocks, text, fenced(text, from, at, &fence, levels));
            found = true;
        } else if (!inside && is_tag(line)) {
            add_marked(blocks, text, tagged(text, from));
            found = true;
        } else if (!inside && is_fence) {
            size_t end = span_code_end(text, from, &hopeless);
            found = (end || is_last_fence(text, at)) && add_unmarked(blocks, text, from, at, &fence, levels);
            code = end;
            open = fence;
        }
        if (!found)
            continue;
        at = blocks->items[blocks->count - 1].end;
        code = 0;
        if (is_stopped(text, &blocks->items[blocks->count - 1])) {
            blocks->stop = at;
            return;
        }
    }
}

/* --- without a fence --- */

static bool is_rule(struct span line)
{
    line = span_trim(line);
    return line.length == 3 && (span_starts(line, "---") || span_starts(line, "..."));
}

/* The last run of lines that are keys and what belongs to them, its first paragraph with a reward. */
static size_t keys_start(struct span text)
{
    struct fence_memory hopeless = {0};
    struct span line, key, value;
    size_t start = text.length;
    bool rewarded = false, header = false, fresh = true; /* after a blank line, or at the start */
    for (size_t at = 0, from = 0, code; span_line(text, &at, &line); from = at) {
        size_t columns, indent = span_indent(line, &columns);
        struct span rest = span_from(line, indent);
        size_t bullet = span_bullet(rest);
        if ((code = span_code_end(text, from, &hopeless)) > 0) {
            start = header ? start : text.length;
            at = code;
        } else if (rest.length == 0) {
            start = rewarded ? start : text.length;
        } else if (span_key(span_from(rest, bullet), &key, &value) && fields_key(key, report_keys) >= 0) {
            if (start == text.length) {
                rewarded = header = false;
                start = fresh ? from : start;
            }
            rewarded = rewarded || (start < text.length && fields_key(key, report_keys) == KEY_REWARD);
            header = header || span_starts(span_trim(value), "|");
        } else if (!columns && !bullet && !is_rule(rest) &&
                   !(start < text.length && strchr("]}", *rest.text)) && !span_means(rest, "agentos")) {
            start = text.length;
        }
        fresh = rest.length == 0 || is_rule(rest) || span_means(rest, "agentos") || *rest.text == '#';
    }
    return rewarded ? start : text.length;
}

void reply_blocks_unfenced(struct reply_blocks *blocks, struct span text)
{
    *blocks = (struct reply_blocks){0};
    size_t start = keys_start(text);
    if (start < text.length)
        add(blocks, (struct reply_block){.start = start,
                                         .end = text.length,
                                         .inner = memory_slice(text.text + start, text.length - start)});
}

void reply_blocks_free(struct reply_blocks *blocks)
{
    drop_all(blocks);
    free(blocks->items);
    *blocks = (struct reply_blocks){0};
}
