/* queue.md's grammar on any bytes: blocks lie in order and in the text, are valid UTF-8 and read the same alone and on
 * from any block that is kept. No byte behind the preamble is without an owner: it belongs to a task or to an item that
 * is reported, and no task's text holds a line that looks like the start of another task. */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/format/block.h"
#include "common/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_tail(const struct block_list *list, const char *text, size_t size, size_t keep)
{
    struct block_list again;
    block_parse(&again, text, size);
    block_parse_tail(&again, keep, text, size);
    check(again.count == list->count && again.preamble == list->preamble);
    for (size_t i = 0; i < list->count; i++)
        check(again.items[i].hash == list->items[i].hash && again.items[i].line == list->items[i].line &&
              again.items[i].end == list->items[i].end);
    block_list_free(&again);
}

/* The bytes of a block that can be done are that block and no other. */
static void check_alone(const struct block *block, const char *text)
{
    struct block_list alone;
    size_t length = block->end - block->start;
    check(!memchr(text + block->start, '\0', length) && utf8_valid(text + block->start, length));
    block_parse(&alone, text + block->start, length);
    check(alone.count == 1 && !alone.items[0].stray && alone.items[0].hash == block->hash);
    block_list_free(&alone);
}

static void check_reports(const struct block_list *list, const char *text)
{
    struct buffer hints = {0};
    size_t strays = 0, lines = 0;
    block_hints(list, text, "queue.md", &hints);
    for (size_t i = 0; i < list->count; i++)
        strays += list->items[i].stray;
    for (size_t i = 0; i < hints.length; i++)
        lines += hints.data[i] == '\n';
    check(lines == (strays > BLOCK_HINTS_MAX ? BLOCK_HINTS_MAX + 1 : strays));
    check(utf8_valid(hints.data ? hints.data : "", hints.length));
    buffer_free(&hints);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    struct block_list list;
    block_parse(&list, text, size);
    size_t at = list.preamble;
    for (size_t i = 0; i < list.count; i++) {
        const struct block *block = &list.items[i];
        check(block->start == at && block->end > at && block->end <= size);
        check(utf8_valid(block->id, strlen(block->id)));
        check(!block->task || (*block->task && utf8_valid(block->task, strlen(block->task))));
        check(block->problem || (block->task && *block->id && !block->stray));
        check(!block->stray || (block->problem && !block->task));
        if (!block->problem)
            check_alone(block, text);
        at = block->end;
    }
    check(at == size);
    if (list.count)
        check_tail(&list, text, size, list.count / 2);
    check_reports(&list, text);
    block_list_free(&list);
    return 0;
}
