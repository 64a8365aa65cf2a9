#include "worker/queue_state.h"

#include <string.h>

enum { BLANKS_BUSY = 4096 /* bytes of blank space that are worth a new file */, BLANKS_IDLE = 64 };

/* Blank space behind a stretch of text, without the empty line that people put there. */
static size_t spare(const char *text, size_t start, size_t end)
{
    size_t blanks = end - queue_text_end(text, start, end);
    return blanks > 2 ? blanks - 2 : 0;
}

static void add_trimmed(struct buffer *out, const char *text, size_t start, size_t end)
{
    size_t text_end = queue_text_end(text, start, end);
    buffer_add(out, text + start, text_end - start);
    if (text_end < end)
        buffer_text(out, text_end > start ? end - text_end > 1 ? "\n\n" : "\n" : "");
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
    if (blanks <= (pending ? BLANKS_BUSY : BLANKS_IDLE))
        return false;
    OWNED_BUFFER struct buffer rest = {0};
    add_trimmed(&rest, queue->text, 0, list->preamble);
    for (size_t i = 0; i < list->count; i++)
        add_trimmed(&rest, queue->text, list->items[i].start, list->items[i].end);
    return queue_replace(queue, &rest, list->count, true, NULL) == REPLACED;
}

bool queue_tidy(struct queue *queue)
{
    bool did = queue->leftover_count && queue_settle(queue, NULL);
    if (drop_blanks(queue))
        did = true;
    queue_seen_tidy(queue);
    return did;
}
