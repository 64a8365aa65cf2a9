#include "worker/queue/part.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

enum {
    BLANKS_BUSY = 4096, /* bytes of blank space that are worth a new file, and an eighth of the file */
    BLANKS_IDLE = 64,   /* the same when nothing waits */
    PADDED_FILE = 65536,
    PADDED_BLOCK = 256, /* bytes at most that keep clear of a page's end in such a file */
};

/* Where the blank space behind a text is kept up to: `lines` line ends, as they are. */
static size_t kept_end(const char *text, size_t start, size_t end, unsigned lines)
{
    size_t at = queue_text_end(text, start, end);
    for (; lines && at < end; lines--) {
        const char *newline = memchr(text + at, '\n', end - at);
        at = newline ? (size_t)(newline - text) + 1 : end;
    }
    return at;
}

static unsigned count_lines(const struct buffer *text, size_t from, size_t end)
{
    unsigned count = 0;
    for (size_t at = from; at < end; count++) {
        const char *newline = memchr(text->data + at, '\n', end - at);
        if (!newline)
            break;
        at = (size_t)(newline - text->data) + 1;
    }
    return count;
}

static void pad_to_page(struct buffer *rest, size_t length)
{
    size_t room = QUEUE_PAGE - rest->length % QUEUE_PAGE;
    if (length > PADDED_BLOCK || length <= room)
        return;
    memset(buffer_room(rest, room), '\n', room);
    rest->length += room;
}

/* Behind the text that `before` blocks and the preamble make. When the last block goes, the file ends with the text above
 * it, without the empty line that stood between them: as it was before the block came. */
static unsigned lines_behind(size_t before, size_t skip, size_t copied)
{
    return before == skip && skip + 1 == copied ? 1 : 2;
}

struct span *queue_compact(const struct queue *queue, size_t skip, size_t copied, struct buffer *rest)
{
    const struct block_list *list = &queue->blocks;
    struct span *spans = memory_new(list->count + 1, sizeof *spans), *before = NULL;
    bool padded = queue->length > PADDED_FILE, moved = false;
    unsigned line = 1;
    size_t counted = 0;
    if (list->preamble && queue_text_end(queue->text, 0, list->preamble))
        buffer_add(rest, queue->text,
                   kept_end(queue->text, 0, list->preamble, lines_behind(0, skip, copied)));
    size_t front = rest->length;
    for (size_t i = 0; i < copied; i++) {
        const struct block *block = &list->items[i];
        if (i == skip)
            continue;
        size_t end = kept_end(queue->text, block->start, block->end, lines_behind(i + 1, skip, copied));
        queue_end_line(rest); /* a block that stood behind a line without newline */
        if (padded)
            pad_to_page(rest, end - block->start);
        size_t at = rest->length;
        buffer_add(rest, queue->text + block->start, end - block->start);
        bool other = before && before != &spans[i - 1] && block->stray && !list->items[before - spans].stray;
        if (other && queue_stray_moved(rest, front, before->start, at)) {
            before->start += rest->length - at;
            front += rest->length - at;
            moved = true;
            continue;
        }
        line += count_lines(rest, counted, at);
        counted = at;
        if (before)
            before->end = at;
        before = &spans[i];
        *before = (struct span){.start = at, .line = line};
    }
    if (before)
        before->end = rest->length;
    if (!moved)
        return spans;
    free(spans);
    return NULL;
}

/* Blank space behind a stretch of text, without the empty line that people put there. */
static size_t spare(const char *text, size_t start, size_t end)
{
    return end - kept_end(text, start, end, 2);
}

static bool drop_blanks(struct queue *queue)
{
    const struct block_list *list = &queue->blocks;
    if (!queue_refresh(queue, NULL) || !queue->whole || !queue->text || list->count == 0)
        return false;
    size_t blanks = spare(queue->text, 0, list->preamble), pending = 0;
    for (size_t i = 0; i < list->count; i++) {
        blanks += spare(queue->text, list->items[i].start, list->items[i].end);
        pending += list->items[i].problem == NULL;
    }
    if (blanks <= (pending ? BLANKS_BUSY + queue->length / 8 : BLANKS_IDLE))
        return false;
    OWNED_BUFFER struct buffer rest = {0};
    OWNED struct span *spans = queue_compact(queue, SIZE_MAX, list->count, &rest);
    return queue_replace(queue, &rest, list->count, spans, NULL) == REPLACED;
}

/* The memory of hundreds of blocks is given back when they are gone. */
static void shrink(struct queue *queue)
{
    struct block_list *blocks = &queue->blocks;
    if (queue->text)
        queue->text = memory_grow(queue->text, queue->length + 1, 1);
    if (blocks->items)
        blocks->items = memory_grow(blocks->items, blocks->count, sizeof *blocks->items);
}

bool queue_tidy(struct queue *queue)
{
    bool did = queue->leftover_count && queue_settle(queue, NULL);
    if (drop_blanks(queue))
        did = true;
    queue_seen_tidy(queue);
    shrink(queue);
    return did;
}
