/* Blocks by their identity, and where texts end: a merge, a take and a look all need both. */
#include "worker/queue/part.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->hash == y->hash ? 0 : x->hash < y->hash ? -1 : 1;
}

uint64_t queue_hash(const char *bytes, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return hash;
}

struct mark queue_mark(const struct block *block)
{
    return (struct mark){queue_hash(block->id, strlen(block->id)), block->hash};
}

void queue_marks_sort(struct marks *marks)
{
    if (marks->count == 0)
        return;
    qsort(marks->items, marks->count, sizeof *marks->items, compare_marks);
    size_t kept = 1;
    for (size_t i = 1; i < marks->count; i++)
        if (compare_marks(&marks->items[i], &marks->items[kept - 1]) != 0)
            marks->items[kept++] = marks->items[i];
    marks->count = kept;
}

struct marks queue_marks(const struct block_list *list, size_t count)
{
    struct marks marks = {memory_new(count + 1, sizeof *marks.items), count};
    for (size_t i = 0; i < count; i++)
        marks.items[i] = queue_mark(&list->items[i]);
    queue_marks_sort(&marks);
    return marks;
}

bool queue_marks_have(const struct marks *marks, struct mark mark)
{
    return marks->count && bsearch(&mark, marks->items, marks->count, sizeof mark, compare_marks);
}

bool queue_marks_have_id(const struct marks *marks, uint64_t id)
{
    size_t low = 0, high = marks->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (marks->items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < marks->count && marks->items[low].id == id;
}

size_t queue_text_end(const char *text, size_t start, size_t end)
{
    while (end > start && strchr(" \t\r\n\f\v", text[end - 1]) && text[end - 1])
        end--;
    return end;
}

uint64_t queue_preamble_hash(const char *text, size_t preamble)
{
    return text ? queue_hash(text, queue_text_end(text, 0, preamble)) : queue_hash("", 0);
}

void queue_end_line(struct buffer *out)
{
    if (out->length && out->data[out->length - 1] != '\n')
        buffer_text(out, "\n");
}

bool queue_stray_stands(const char *text, size_t length, size_t at)
{
    struct block_list list;
    block_parse(&list, text, length);
    bool stands = list.count > 1 && list.items[1].start == at;
    block_list_free(&list);
    return stands;
}

bool queue_stray_moved(struct buffer *rest, size_t front, size_t above, size_t at)
{
    if (queue_stray_stands(rest->data + above, rest->length - above, at - above))
        return false;
    queue_end_line(rest);
    size_t length = rest->length - at;
    OWNED char *stray = memory_slice(rest->data + at, length);
    memmove(rest->data + front + length, rest->data + front, at - front);
    memcpy(rest->data + front, stray, length);
    return true;
}

size_t queue_complete(const struct queue *queue)
{
    size_t count = queue->blocks.count;
    return queue->whole || count == 0 ? count : count - 1;
}

size_t queue_find(const struct queue *queue, struct mark mark)
{
    for (size_t i = 0; i < queue->blocks.count; i++) {
        const struct block *block = &queue->blocks.items[i];
        if (block->hash == mark.hash && queue_hash(block->id, strlen(block->id)) == mark.id)
            return i;
    }
    return SIZE_MAX;
}

void queue_retry(int64_t *retry_ms, int64_t after_ms)
{
    if (!retry_ms)
        return;
    if (after_ms < 1)
        after_ms = 1;
    if (*retry_ms == 0 || after_ms < *retry_ms)
        *retry_ms = after_ms;
}
