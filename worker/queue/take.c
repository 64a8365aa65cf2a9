#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/tree.h"

enum taken { TAKEN, TAKE_AGAIN /* the file isn't the snapshot's any more */, TAKE_OTHERWISE, TAKE_FAULT };

/* Where the file ends when its last block goes: behind the last line with text before it. */
static size_t cut_before(const struct queue *queue, size_t start)
{
    size_t end = queue_text_end(queue->text, 0, start);
    const char *newline = end ? memchr(queue->text + end, '\n', start - end) : queue->text - 1;
    return newline ? (size_t)(newline + 1 - queue->text) : start;
}

/* Whether these bytes of the file are the snapshot's. The stamp may be too coarse to tell two writes apart. */
static bool still_says(const struct queue *queue, int fd, size_t start, size_t end)
{
    OWNED char *bytes = memory_new(end - start + 1, 1);
    ssize_t got;
    do
        got = pread(fd, bytes, end - start, (off_t)start);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)(end - start) && memcmp(bytes, queue->text + start, end - start) == 0;
}

static unsigned newlines(const char *text, size_t start, size_t end)
{
    unsigned count = 0;
    for (const char *at = text + start; (at = memchr(at, '\n', (size_t)(text + end - at))); at++)
        count++;
    return count;
}

static void drop_item(struct queue *queue, size_t index)
{
    struct block_list *list = &queue->blocks;
    block_clear(&list->items[index]);
    memmove(&list->items[index], &list->items[index + 1], (list->count - index - 1) * sizeof *list->items);
    list->count--;
}

/* The last block, by one ftruncate. */
static bool cut_off(struct queue *queue, int fd, size_t index, size_t cut)
{
    if (ftruncate(fd, (off_t)cut) != 0)
        return false;
    struct block_list *list = &queue->blocks;
    drop_item(queue, index);
    queue->length = cut;
    queue->text[cut] = '\0';
    if (list->count)
        list->items[list->count - 1].end = cut;
    else
        list->preamble = cut;
    return true;
}

/* A block in one page, by one pwrite of newlines: the kernel has copied all of them or none when a kill ends us. */
static bool blank_out(struct queue *queue, int fd, size_t index, size_t end)
{
    struct block_list *list = &queue->blocks;
    struct block *block = &list->items[index];
    size_t start = block->start, length = end - start;
    char blanks[QUEUE_PAGE];
    memset(blanks, '\n', length);
    ssize_t wrote;
    do
        wrote = pwrite(fd, blanks, length, (off_t)start);
    while (wrote < 0 && errno == EINTR);
    if (wrote != (ssize_t)length)
        return false;
    unsigned more = (unsigned)length - newlines(queue->text, start, end);
    memset(queue->text + start, '\n', length);
    if (index)
        list->items[index - 1].end = block->end;
    else
        list->preamble = block->end;
    drop_item(queue, index);
    for (size_t i = index; i < list->count; i++)
        list->items[i].line += more;
    return true;
}

/* Without the block at index a stray behind it would be a part of the task above. */
static bool keeps_strays_off(const struct queue *queue, size_t index)
{
    const struct block *block = &queue->blocks.items[index], *next = block + 1;
    if (index == 0 || index + 1 == queue->blocks.count || !next->stray || block[-1].stray)
        return false;
    OWNED_BUFFER struct buffer text = {0};
    buffer_add(&text, queue->text + block[-1].start, block->start - block[-1].start);
    queue_end_line(&text);
    size_t at = text.length;
    buffer_add(&text, queue->text + next->start, next->end - next->start);
    return !queue_stray_stands(text.data, text.length, at);
}

/* With a write lease no other process has the file open, and a process that opens it waits for us: a checked fact stays
 * true. Both ways are one system call that happens or doesn't, so a kill leaves the block whole or gone. */
static enum taken take_in_place(struct queue *queue, size_t index, struct fault *fault)
{
    const struct block *block = &queue->blocks.items[index];
    bool last = index + 1 == queue->blocks.count;
    size_t end = last ? queue->length : queue_text_end(queue->text, block->start, block->end);
    size_t start = last ? cut_before(queue, block->start) : block->start;
    if (!last && (start / QUEUE_PAGE != (end - 1) / QUEUE_PAGE || keeps_strays_off(queue, index)))
        return TAKE_OTHERWISE;
    OWNED_FD int fd = files_open(queue->tree, TREE_QUEUE, O_RDWR, 0);
    if (fd < 0)
        return errno == ENOENT ? TAKE_AGAIN : TAKE_OTHERWISE;
    struct stat status;
    if (queue_lease(fd, F_WRLCK) != LEASE_GRANTED || fstat(fd, &status) != 0)
        return TAKE_OTHERWISE;
    struct file_stamp stamp = files_stamp(&status);
    if (!files_stamp_equal(&stamp, &queue->stamp) || !still_says(queue, fd, start, end)) {
        queue_forget(queue);
        return TAKE_AGAIN;
    }
    if (last ? !cut_off(queue, fd, index, start) : !blank_out(queue, fd, index, end)) {
        fault_errno(fault, "cannot take a task out of queue.md");
        queue_forget(queue); /* a short write has left what only a look can tell */
        return TAKE_FAULT;
    }
    queue->whole = true;
    queue->lease = LEASE_GRANTED;
    if (fstat(fd, &status) != 0)
        queue_forget(queue);
    else
        queue->stamp = files_stamp(&status);
    /* An editor may have put another file in the place of this file, with the block in it. */
    struct file_stamp now = files_stamp_at(queue->tree, TREE_QUEUE);
    if (now.inode == queue->stamp.inode && now.device == queue->stamp.device)
        return TAKEN;
    queue_forget(queue);
    return TAKE_AGAIN;
}

/* queue.md without one block: a new file takes its place. */
static enum taken take_by_exchange(struct queue *queue, size_t index, struct fault *fault)
{
    size_t complete = queue_complete(queue);
    /* A last block that may be half-written isn't copied: the block stays in the file that comes out, and is merged
     * from there when it is whole. The block to take is whole, even if it is the last: its hash says so. */
    size_t copied = complete == index ? index + 1 : complete;
    OWNED_BUFFER struct buffer rest = {0};
    OWNED struct span *spans = queue_compact(queue, index, copied, &rest);
    enum replaced result = queue_replace(queue, &rest, copied, spans, fault);
    return result == REPLACED ? TAKEN : result == REPLACE_AGAIN ? TAKE_AGAIN : TAKE_FAULT;
}

/* The block isn't there. If a process is writing behind the former last block, the block has another hash for the
 * moment: the take is owed until the file is whole. */
static void owe(struct queue *queue, struct mark mark)
{
    size_t count = queue->blocks.count;
    if (queue->whole || count == 0)
        return;
    const char *id = queue->blocks.items[count - 1].id;
    if (queue_hash(id, strlen(id)) != mark.id)
        return;
    *MEMORY_ADD(queue->owed, queue->owed_count) = mark;
}

bool queue_take_mark(struct queue *queue, struct mark mark, struct fault *fault)
{
    queue_brought_taken(queue, mark);
    for (int tries = 0; tries < QUEUE_TRIES; tries++) {
        size_t index = queue->known ? queue_find(queue, mark) : SIZE_MAX;
        if (index == SIZE_MAX) {
            if (!queue_refresh(queue, fault))
                return false;
            index = queue_find(queue, mark);
        }
        if (index == SIZE_MAX) {
            owe(queue, mark);
            queue_seen_drop(queue, mark);
            return true;
        }
        enum taken taken = take_in_place(queue, index, fault);
        if (taken == TAKE_OTHERWISE)
            taken = take_by_exchange(queue, index, fault);
        if (taken == TAKEN)
            queue_seen_drop(queue, mark);
        if (taken == TAKEN || taken == TAKE_FAULT)
            return taken == TAKEN;
    }
    return fault_set(fault,
                     "queue.md changes faster than a task can be taken out of it; the task is still there");
}

bool queue_take(struct queue *queue, const char *id, uint64_t hash, struct fault *fault)
{
    return queue_take_mark(queue, (struct mark){queue_hash(id, strlen(id)), hash}, fault);
}
