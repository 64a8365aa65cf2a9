#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"

/* Makes .agentos/ anew when somebody removed it. */
static bool queue_notes(struct queue *queue, struct fault *fault)
{
    struct stat status;
    if (fstat(queue->notes, &status) == 0 && status.st_nlink > 0)
        return true;
    int fd = files_open_folder(queue->tree, TREE_NOTES, true, fault);
    if (fd < 0)
        return false;
    close(queue->notes);
    queue->notes = fd;
    return true;
}

/* A file that is being made has the name new.K, and gets queue.K once it is on the disk. */
struct making {
    int fd;
    unsigned number;
    char name[QUEUE_NAME];
};

static bool make(struct queue *queue, unsigned mode, struct making *making, struct fault *fault)
{
    do {
        making->number = queue->next_number++;
        snprintf(making->name, sizeof making->name, "new.%u", making->number);
        making->fd = files_open(queue->notes, making->name, O_RDWR | O_CREAT | O_EXCL, mode);
    } while (making->fd < 0 && errno == EEXIST);
    return making->fd >= 0 ||
           fault_errno(fault, "cannot make a new queue.md in %s; the old one stays as it is", TREE_NOTES);
}

static void remove_pair(struct queue *queue, const char *name)
{
    char base[QUEUE_NAME + 8];
    snprintf(base, sizeof base, "%s.base", name);
    unlinkat(queue->notes, name, 0);
    unlinkat(queue->notes, base, 0);
}

static void add_leftover(struct queue *queue, const struct leftover *leftover)
{
    *MEMORY_ADD(queue->leftovers, queue->leftover_count) = *leftover;
}

/* The new file's owner and mode are the old one's as far as that is ours to say. */
static void keep_rights(int fd, const struct stat *old)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return;
    bool theirs = (status.st_uid != old->st_uid || status.st_gid != old->st_gid) &&
                  fchown(fd, old->st_uid, old->st_gid) != 0;
    if (!theirs && (status.st_mode & 0777) != (old->st_mode & 0777))
        fchmod(fd, old->st_mode & 0777);
}

/* Write the new file whole, beside the note of the blocks that it stands for, and give it its name. */
static bool finish(struct queue *queue, struct making *making, const struct buffer *rest,
                   struct leftover *leftover, struct fault *fault)
{
    struct stat status;
    snprintf(leftover->name, sizeof leftover->name, "queue.%u", making->number);
    if (fstat(making->fd, &status) != 0 || !queue_base_write(queue, leftover, status.st_ino, fault))
        return false;
    if (files_write_all(making->fd, rest->data ? rest->data : "", rest->length) && fsync(making->fd) == 0 &&
        renameat(queue->notes, making->name, queue->notes, leftover->name) == 0)
        return true;
    return fault_errno(fault, "cannot write a new queue.md; the old one stays as it is");
}

/* The state of queue.md from now on. A person may have appended to it already: then the next look reads it. */
static void adopt_new(struct queue *queue, int fd, struct buffer *rest, const struct span *spans)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || (size_t)status.st_size != rest->length) {
        queue_forget(queue);
        return;
    }
    struct file_stamp stamp = files_stamp(&status);
    size_t length = rest->length;
    queue_adopt(queue, buffer_take(rest), length, &stamp, spans);
    queue->whole = true;
}

/* The places in which a block may be, and the start's way with each. The new file N is made as .agentos/new.K and
 * flushed. Then it is queue.K, beside queue.K.base, which names N's inode and the blocks of the old file O that N
 * stands for. Then N and queue.md are exchanged in one step, so that queue.md is always either O or N, and queue.K the
 * other.
 *   - new.K: half-written, the exchange wasn't made; new.K is removed.
 *   - queue.K's inode is N's: the exchange wasn't made; queue.K is removed.
 *   - queue.K's inode isn't N's: queue.K is O, or a file that an editor put in O's place in the last moment. Blocks that
 *     the base hasn't are appended to queue.md, and blocks that a writer took out of queue.K are taken out; then queue.K
 *     stays until no process has it open and the grace is over, and is removed.
 *   - queue.K without a base (the power failed; the base isn't flushed): its blocks that queue.md hasn't are appended.
 *     If queue.K is N, there are none. If queue.K is O, the taken block is there again, as done, which the ledger knows.
 * The exchange needn't be flushed: if the power takes it back, the block is there again, and the ledger knows it.
 * A merge that a crash repeats finds its blocks in queue.md, and adds nothing. */
enum replaced queue_replace(struct queue *queue, struct buffer *rest, size_t base_count,
                            const struct span *spans, struct fault *fault)
{
    if (!queue_notes(queue, fault))
        return REPLACE_FAULT;
    struct stat old;
    if (fstatat(queue->tree, TREE_QUEUE, &old, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(old.st_mode)) {
        queue_forget(queue);
        return REPLACE_AGAIN;
    }
    struct making making;
    if (!make(queue, old.st_mode & 0777, &making, fault))
        return REPLACE_FAULT;
    OWNED_FD int fd = making.fd;
    keep_rights(fd, &old);
    struct leftover leftover = {
        .based = true,
        .base = queue_marks(&queue->blocks, base_count),
        .preamble = queue_preamble_hash(queue->text, queue->blocks.preamble),
        .stamp = queue->stamp,
        .merged = queue->whole && base_count == queue->blocks.count,
        .since_ms = clock_monotonic_ms(),
        .quiet_ms = clock_monotonic_ms(),
    };
    if (finish(queue, &making, rest, &leftover, fault)) {
        if (renameat2(queue->notes, leftover.name, queue->tree, TREE_QUEUE, RENAME_EXCHANGE) == 0) {
            add_leftover(queue, &leftover);
            adopt_new(queue, fd, rest, spans);
            return REPLACED;
        }
        if (errno == ENOENT)
            queue_forget(queue);
        else
            fault_errno(fault, "cannot put a new queue.md in the place of the old one, which stays as it is");
    }
    unlinkat(queue->notes, making.name, 0);
    remove_pair(queue, leftover.name);
    free(leftover.base.items);
    return queue->known ? REPLACE_FAULT : REPLACE_AGAIN;
}

enum replaced queue_create(struct queue *queue, struct buffer *rest, struct fault *fault)
{
    int64_t now = clock_monotonic_ms();
    if (queue->missing_ms == 0)
        queue->missing_ms = now;
    if (now - queue->missing_ms < QUEUE_GRACE_MS) {
        fault_set(fault, "queue.md is missing; its text waits in %s", TREE_NOTES);
        return REPLACE_FAULT;
    }
    struct making making;
    if (!queue_notes(queue, fault) || !make(queue, 0644, &making, fault))
        return REPLACE_FAULT;
    struct leftover place = {.based = true};
    enum replaced result = REPLACE_FAULT;
    if (finish(queue, &making, rest, &place, fault)) {
        if (renameat2(queue->notes, place.name, queue->tree, TREE_QUEUE, RENAME_NOREPLACE) == 0)
            result = REPLACED;
        else if (errno == EEXIST)
            result = REPLACE_AGAIN;
        else
            fault_errno(fault, "cannot make queue.md anew; its text waits in %s", TREE_NOTES);
    }
    unlinkat(queue->notes, making.name, 0);
    close(making.fd);
    remove_pair(queue, place.name);
    queue->missing_ms = 0;
    queue_forget(queue);
    return result;
}
