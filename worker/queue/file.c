/* The snapshot of queue.md: read under a lease where there are leases, and again when its stamp has changed. */
#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"

enum { TORN = -1 /* a time of change that no file has */ };

void queue_forget(struct queue *queue)
{
    block_list_free(&queue->blocks);
    memory_set(&queue->text, NULL);
    queue->length = 0;
    queue->stamp = (struct file_stamp){0};
    queue->known = queue->whole = false;
}

/* The number of old blocks that can stay: the blocks before the last block that lies, with the newline at its end, in
 * the common beginning of old and new text. (The last block is read anew, for the following text may belong to it.) */
static size_t unchanged(const struct queue *queue, const char *text, size_t length)
{
    const struct block_list *old = &queue->blocks;
    size_t shorter = queue->length < length ? queue->length : length;
    for (size_t keep = old->count; keep-- > 0;) {
        size_t end = old->items[keep].end;
        if (end <= shorter && end > 0 && queue->text[end - 1] == '\n' && memcmp(queue->text, text, end) == 0)
            return keep;
        if (old->count - keep > 2) /* people append; anything else is read anew as a whole */
            break;
    }
    return SIZE_MAX;
}

static void move_blocks(struct block_list *list, const struct span *spans, size_t length)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct block *block = &list->items[i];
        if (spans[i].end == 0) {
            block_clear(block);
            continue;
        }
        block->start = spans[i].start;
        block->end = spans[i].end;
        block->line = spans[i].line;
        list->items[kept++] = *block;
    }
    list->count = kept;
    list->preamble = kept ? list->items[0].start : length;
}

void queue_adopt(struct queue *queue, char *text, size_t length, const struct file_stamp *stamp,
                 const struct span *spans)
{
    if (!queue->known || !files_stamp_equal(stamp, &queue->stamp))
        queue->quiet_ms = clock_monotonic_ms();
    size_t keep = queue->known && queue->text && !spans ? unchanged(queue, text, length) : SIZE_MAX;
    if (spans)
        move_blocks(&queue->blocks, spans, length);
    else
        block_parse_tail(&queue->blocks, keep, text, length);
    free(queue->text);
    queue->text = text;
    queue->length = length;
    queue->stamp = *stamp;
    queue->known = true;
}

static bool refuse(struct queue *queue, struct fault *fault, const char *why)
{
    queue_forget(queue);
    return fault_set(
        fault, "queue.md %s; it is left as it is, and no task is taken from it until that is mended", why);
}

/* The bytes of an open file. A file that grows meanwhile is read to the size it had; the stamps tell. */
static bool read_whole(int fd, size_t size, char **text, size_t *length)
{
    char *bytes = memory_new(size + 1, 1);
    size_t have = 0;
    while (have < size) {
        ssize_t got = TEMP_FAILURE_RETRY(pread(fd, bytes + have, size - have, (off_t)have));
        if (got < 0) {
            free(bytes);
            return false;
        }
        if (got == 0)
            break;
        have += (size_t)got;
    }
    bytes[have] = '\0';
    *text = bytes;
    *length = have;
    return true;
}

/* Two characters of UTF-16 are enough to know that nothing in the file could be found, with its mark or without. */
static bool is_utf16(const char *text, size_t length)
{
    if (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return true;
    bool little = length >= 4 && text[0] && !text[1] && text[2] && !text[3];
    return little || (length >= 4 && !text[0] && text[1] && !text[2] && text[3]);
}

static bool quiet(const struct queue *queue)
{
    return queue->known && queue->stamp.modified_ns != TORN &&
           clock_monotonic_ms() - queue->quiet_ms >= QUEUE_QUIET_MS;
}

static bool read_file(struct queue *queue, int fd, struct fault *fault)
{
    struct stat before, after;
    queue->lease = queue_lease(fd, F_RDLCK);
    for (int tries = 0; tries < 4; tries++) {
        if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode))
            return refuse(queue, fault, "is no regular file");
        if (before.st_size > QUEUE_FILE_MAX)
            return refuse(queue, fault, "is larger than 64 MiB");
        struct file_stamp stamp = files_stamp(&before);
        bool settled = queue->lease == LEASE_GRANTED || quiet(queue);
        if (queue->known && files_stamp_equal(&stamp, &queue->stamp) && !settled)
            return true; /* still nothing new, still somebody at it */
        char *text;
        size_t length;
        if (!read_whole(fd, (size_t)before.st_size, &text, &length)) {
            queue_forget(queue);
            return fault_errno(fault, "cannot read queue.md; no task is taken from it now");
        }
        if (is_utf16(text, length)) {
            free(text);
            return refuse(queue, fault, "is UTF-16, not UTF-8");
        }
        bool same =
            fstat(fd, &after) == 0 && after.st_size == before.st_size && (uint64_t)length == stamp.size;
        struct file_stamp stamp_after = files_stamp(&after);
        same = same && files_stamp_equal(&stamp, &stamp_after);
        queue_adopt(queue, text, length, &stamp, NULL);
        if (same)
            return true;
        /* Written to while it was read: without a lease only. Never whole, and looked at again. */
        queue->stamp.modified_ns = TORN;
    }
    return true;
}

bool queue_refresh(struct queue *queue, struct fault *fault)
{
    struct stat status;
    if (fstatat(queue->tree, TREE_QUEUE, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            queue_forget(queue);
            return fault_errno(fault, "cannot look at queue.md; no task is taken from it now");
        }
        queue_forget(queue);
        queue->known = queue->whole = true;
        return true;
    }
    if (!S_ISREG(status.st_mode))
        return refuse(queue, fault, "is no regular file");
    struct file_stamp stamp = files_stamp(&status);
    if (queue->known && queue->whole && files_stamp_equal(&stamp, &queue->stamp))
        return true;
    OWNED_FD int fd = files_open(queue->tree, TREE_QUEUE, O_RDONLY, 0);
    if (fd < 0) {
        int error = errno;
        queue_forget(queue);
        if (error == ENOENT)
            return queue->known = queue->whole = true;
        errno = error;
        return fault_errno(fault, "cannot open queue.md; no task is taken from it now");
    }
    if (!read_file(queue, fd, fault))
        return false;
    queue->whole = queue->lease == LEASE_GRANTED || quiet(queue);
    queue_seen_note(queue);
    return true;
}
