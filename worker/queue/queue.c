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

struct queue *queue_open(int tree, struct fault *fault)
{
    struct queue *queue = memory_new(1, sizeof *queue);
    queue->tree = tree;
    queue->notes = files_open_folder(tree, TREE_NOTES, true, fault);
    if (queue->notes < 0) {
        free(queue);
        return NULL;
    }
    if (queue_seen_load(queue, fault) && queue_leftovers_load(queue, fault))
        return queue;
    queue_close(queue);
    return NULL;
}

void queue_close(struct queue *queue)
{
    if (!queue)
        return;
    queue_leftovers_free(queue);
    block_list_free(&queue->blocks);
    free(queue->text);
    free(queue->owed);
    free(queue->seen);
    close(queue->notes);
    free(queue);
}

void queue_forget(struct queue *queue)
{
    block_list_free(&queue->blocks);
    free(queue->text);
    queue->text = NULL;
    queue->length = 0;
    queue->stamp = (struct file_stamp){0};
    queue->known = queue->whole = false;
}

/* How many of the old blocks can stay: those before the last one that lies, with the newline at its end, in what old
 * and new text have in common. (That one is read anew, for what follows may belong to it.) */
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
    if (!spans)
        queue->plain = NOT_LOOKED_THROUGH;
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
        ssize_t got = pread(fd, bytes + have, size - have, (off_t)have);
        if (got < 0 && errno == EINTR)
            continue;
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

/* Two bytes of UTF-16 are enough to know that nothing in the file could be found. */
static bool is_utf16(const char *text, size_t length)
{
    return length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
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

/* Takes that couldn't be made because the block was the last and somebody wrote behind it. */
static void pay_owed(struct queue *queue)
{
    if (queue->owed_count == 0 || !queue->whole)
        return;
    size_t count = queue->owed_count;
    struct mark *owed = queue->owed;
    queue->owed = NULL;
    queue->owed_count = 0;
    for (size_t i = 0; i < count; i++)
        queue_take_mark(queue, owed[i], NULL);
    free(owed);
}

bool queue_look(struct queue *queue, int64_t *retry_ms, struct fault *fault)
{
    if (retry_ms)
        *retry_ms = 0;
    if (queue->leftover_count)
        queue_settle(queue, retry_ms);
    if (!queue_refresh(queue, fault))
        return false;
    if (queue_brought_lost(queue) && queue_settle(queue, retry_ms) && !queue_refresh(queue, fault))
        return false;
    pay_owed(queue);
    if (queue->known && !queue->whole)
        queue_retry(retry_ms, QUEUE_QUIET_MS - (clock_monotonic_ms() - queue->quiet_ms));
    return true;
}

const struct block_list *queue_blocks(const struct queue *queue)
{
    return &queue->blocks;
}

bool queue_hints(struct queue *queue, struct buffer *out)
{
    if (!queue->known || !queue->whole)
        return false;
    bool all = queue->length <= BLOCK_HINTS_SPAN;
    if (!queue->text || queue->plain == PLAIN || (queue->plain == PLAIN_AT_THE_START && !all))
        return true;
    size_t before = out->length;
    block_hints(&queue->blocks, queue->text, queue->length, TREE_QUEUE, out);
    queue->plain = out->length > before ? NOT_LOOKED_THROUGH : all ? PLAIN : PLAIN_AT_THE_START;
    return true;
}

const struct block *queue_next(const struct queue *queue, bool (*skip)(void *, const struct block *),
                               void *context)
{
    const struct block *best = NULL;
    size_t count = queue_complete(queue);
    for (size_t i = 0; i < count; i++) {
        const struct block *block = &queue->blocks.items[i];
        if (block->problem || (best && block->priority >= best->priority) || (skip && skip(context, block)))
            continue;
        best = block;
        if (best->priority == PRIORITY_HIGH)
            break;
    }
    return best;
}

size_t queue_depth(const struct queue *queue)
{
    size_t depth = 0;
    for (size_t i = 0; i < queue->blocks.count; i++)
        depth += queue->blocks.items[i].problem == NULL;
    return depth;
}
