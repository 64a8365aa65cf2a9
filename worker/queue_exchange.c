#include "worker/queue_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"

bool queue_notes(struct queue *queue, struct fault *fault)
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

/* An empty file under a name that nothing has yet. -1 and fault. */
static int new_file(struct queue *queue, unsigned mode, char name[QUEUE_NAME], struct fault *fault)
{
    for (;;) {
        snprintf(name, QUEUE_NAME, "queue.%u", queue->next_number++);
        int fd = files_open(queue->notes, name, O_RDWR | O_CREAT | O_EXCL, mode);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST) {
            fault_errno(fault, "cannot make a new queue.md in %s; the old one stays as it is", TREE_NOTES);
            return -1;
        }
    }
}

static void remove_pair(struct queue *queue, const char *name)
{
    char base[QUEUE_NAME + 8];
    snprintf(base, sizeof base, "%s.base", name);
    unlinkat(queue->notes, name, 0);
    unlinkat(queue->notes, base, 0);
}

static struct leftover *add_leftover(struct queue *queue, const struct leftover *leftover)
{
    queue->leftovers = memory_grow(queue->leftovers, queue->leftover_count + 1, sizeof *queue->leftovers);
    queue->leftovers[queue->leftover_count] = *leftover;
    return &queue->leftovers[queue->leftover_count++];
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

/* Write the new file whole, beside the note of what it stands for. */
static bool fill(struct queue *queue, int fd, const struct buffer *rest, const struct leftover *leftover,
                 bool durable, struct fault *fault)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !queue_base_write(queue, leftover, status.st_ino, durable, fault))
        return false;
    if (!files_write_all(fd, rest->data ? rest->data : "", rest->length) || (durable && fsync(fd) != 0))
        return fault_errno(fault, "cannot write a new queue.md; the old one stays as it is");
    return true;
}

/* What queue.md is from now on. Somebody may have appended to it already: then the next look reads it. */
static void adopt_new(struct queue *queue, int fd, struct buffer *rest)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || (size_t)status.st_size != rest->length) {
        queue_forget(queue);
        return;
    }
    struct file_stamp stamp = files_stamp(&status);
    size_t length = rest->length;
    queue_adopt(queue, buffer_take(rest), length, &stamp);
    queue->whole = true;
}

/* The places in which a block may be, and what start-up makes of them. The new file N lies in .agentos/queue.K with
 * queue.K.base, which names N's inode and the blocks of the old file O that N stands for; then N and queue.md are
 * exchanged in one step, so that queue.md is always either O or N, and .agentos/queue.K the other.
 *   - queue.K empty or half-written, or whole, but its inode is N's: the exchange wasn't made; queue.K is removed.
 *     (The base is there before the first byte of N is.)
 *   - queue.K's inode isn't N's: it is O, or a file that an editor put in O's place in the last moment. What it has
 *     that the base hasn't is appended to queue.md, and what a writer took out of it is taken out; then it stays until
 *     nobody has it open and the grace is over, and is removed.
 *   - queue.K without a base (lost with the power): what it has that queue.md hasn't is appended. A block that was done
 *     already is known as such by the ledger.
 * A merge that a crash repeats finds its blocks in queue.md, and adds nothing. */
enum replaced queue_replace(struct queue *queue, struct buffer *rest, size_t base_count, bool durable,
                            struct fault *fault)
{
    if (!queue_notes(queue, fault))
        return REPLACE_FAULT;
    struct stat old;
    if (fstatat(queue->tree, TREE_QUEUE, &old, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(old.st_mode)) {
        queue_forget(queue);
        return REPLACE_AGAIN;
    }
    struct leftover leftover = {.based = true};
    OWNED_FD int fd = new_file(queue, old.st_mode & 0777, leftover.name, fault);
    if (fd < 0)
        return REPLACE_FAULT;
    keep_rights(fd, &old);
    leftover.base = queue_marks(&queue->blocks, base_count);
    leftover.preamble = queue_preamble_hash(queue->text, queue->blocks.preamble);
    leftover.stamp = queue->stamp;
    leftover.merged = queue->whole && base_count == queue->blocks.count;
    leftover.since_ms = leftover.quiet_ms = clock_monotonic_ms();
    if (!fill(queue, fd, rest, &leftover, durable, fault)) {
        remove_pair(queue, leftover.name);
        free(leftover.base.items);
        return REPLACE_FAULT;
    }
    if (renameat2(queue->notes, leftover.name, queue->tree, TREE_QUEUE, RENAME_EXCHANGE) != 0) {
        int error = errno;
        remove_pair(queue, leftover.name);
        free(leftover.base.items);
        if (error == ENOENT) {
            queue_forget(queue);
            return REPLACE_AGAIN;
        }
        errno = error;
        fault_errno(fault, "cannot put a new queue.md in the old one's place; that one stays as it is");
        return REPLACE_FAULT;
    }
    if (durable)
        fsync(queue->tree);
    add_leftover(queue, &leftover);
    adopt_new(queue, fd, rest);
    return REPLACED;
}

enum replaced queue_create(struct queue *queue, struct buffer *rest, struct fault *fault)
{
    int64_t now = clock_monotonic_ms();
    if (queue->missing_ms == 0)
        queue->missing_ms = now;
    if (now - queue->missing_ms < QUEUE_GRACE_MS) {
        fault_set(fault, "queue.md is missing; what belongs in it waits in %s", TREE_NOTES);
        return REPLACE_FAULT;
    }
    if (!queue_notes(queue, fault))
        return REPLACE_FAULT;
    struct leftover place = {.based = true};
    OWNED_FD int fd = new_file(queue, 0644, place.name, fault);
    if (fd < 0)
        return REPLACE_FAULT;
    enum replaced result = REPLACE_FAULT;
    if (fill(queue, fd, rest, &place, true, fault)) {
        if (renameat2(queue->notes, place.name, queue->tree, TREE_QUEUE, RENAME_NOREPLACE) == 0)
            result = REPLACED;
        else if (errno == EEXIST)
            result = REPLACE_AGAIN;
        else
            fault_errno(fault, "cannot make queue.md anew; what belongs in it waits in %s", TREE_NOTES);
    }
    remove_pair(queue, place.name);
    queue->missing_ms = 0;
    queue_forget(queue);
    return result;
}
