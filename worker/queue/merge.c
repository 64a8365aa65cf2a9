#include "worker/queue/part.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"

/* The blocks of a file that came out, beside the blocks of queue.md. */
struct theirs {
    const char *text;
    struct block_list list;
    size_t count; /* blocks that are complete */
    struct marks marks;
    bool final; /* no process is writing: missing blocks were taken out on purpose */
};

/* A block of queue.md that theirs has in another form (an edit), or no longer (`final`), goes. */
static bool taken_out(const struct leftover *leftover, const struct theirs *theirs, struct mark mark)
{
    if (!leftover->based || !queue_marks_have(&leftover->base, mark) ||
        queue_marks_have(&theirs->marks, mark))
        return false;
    return theirs->final || queue_marks_have_id(&theirs->marks, mark.id);
}

/* A text of which blocks are made one behind the other. */
struct joined {
    struct buffer *text;
    size_t front, above;     /* where the first block is, and the last */
    bool begun, under_block; /* there are blocks; the last of them is no stray */
};

static void add_block(struct joined *joined, const char *text, const struct block *block)
{
    queue_end_line(joined->text);
    size_t at = joined->text->length;
    joined->front = joined->begun ? joined->front : at;
    joined->begun = true;
    buffer_add(joined->text, text + block->start, block->end - block->start);
    if (block->stray && joined->under_block &&
        queue_stray_moved(joined->text, joined->front, joined->above, at)) {
        joined->front += joined->text->length - at;
        joined->above += joined->text->length - at;
        return;
    }
    joined->above = at;
    joined->under_block = !block->stray;
}

/* queue.md as it should be: without the blocks that people took out, with the blocks that they added behind. False: as
 * it is. */
static bool join(const struct queue *queue, const struct leftover *leftover, const struct theirs *theirs,
                 struct buffer *rest)
{
    const struct block_list *ours = &queue->blocks;
    size_t complete = queue_complete(queue);
    bool changed = false;
    const char *preamble = queue->text ? queue->text : "";
    size_t length = ours->preamble;
    uint64_t now = queue_preamble_hash(theirs->text, theirs->list.preamble);
    if (theirs->final && leftover->based && now != leftover->preamble &&
        queue_preamble_hash(queue->text, ours->preamble) == leftover->preamble) {
        changed = true;
        preamble = theirs->text;
        length = theirs->list.preamble;
    }
    buffer_add(rest, preamble, length);
    struct joined joined = {.text = rest};
    for (size_t i = 0; i < complete; i++)
        if (taken_out(leftover, theirs, queue_mark(&ours->items[i])))
            changed = true;
        else
            add_block(&joined, queue->text, &ours->items[i]);
    struct marks have = queue_marks(ours, complete);
    for (size_t i = 0; i < theirs->count; i++) {
        const struct block *block = &theirs->list.items[i];
        struct mark mark = queue_mark(block);
        if ((leftover->based && queue_marks_have(&leftover->base, mark)) || queue_marks_have(&have, mark))
            continue;
        changed = true;
        add_block(&joined, theirs->text, block);
    }
    free(have.items);
    return changed;
}

static bool merge(struct queue *queue, size_t index, const struct theirs *theirs, struct fault *fault)
{
    for (int tries = 0; tries < QUEUE_TRIES; tries++) {
        if (!queue_refresh(queue, fault))
            return false;
        struct buffer rest = {0};
        enum replaced result = REPLACED;
        if (join(queue, &queue->leftovers[index], theirs, &rest))
            result = queue->stamp.inode ? queue_replace(queue, &rest, queue_complete(queue), NULL, fault)
                                        : queue_create(queue, &rest, fault);
        buffer_free(&rest);
        if (result != REPLACE_AGAIN)
            return result == REPLACED;
    }
    return fault_set(fault,
                     "queue.md changes faster than the text written to its last version can be joined");
}

/* A stray that moved to the front of a file may be the file's title there, and no block that can vanish. A block that
 * doesn't stand in queue.md is none of these: an editor that has never seen the block may have saved already. */
static struct marks titles_of(const struct queue *queue, const struct theirs *theirs)
{
    struct marks titles = {0}, there = queue_marks(&queue->blocks, queue->blocks.count);
    for (size_t i = 0; i < theirs->count; i++) {
        struct mark mark = queue_mark(&theirs->list.items[i]);
        if (theirs->list.items[i].stray && !queue_marks_have(&there, mark))
            *MEMORY_ADD(titles.items, titles.count) = mark;
    }
    queue_marks_sort(&titles);
    free(there.items);
    return titles;
}

/* The blocks that queue.md has from this leftover now. A writer who is still at the leftover has taken no block out
 * yet. */
static void rebase(struct queue *queue, size_t index, struct theirs *theirs)
{
    struct leftover *leftover = &queue->leftovers[index];
    struct marks old = leftover->base, titles = titles_of(queue, theirs);
    queue_brought_note(leftover, &old, &theirs->marks, &titles);
    free(titles.items);
    leftover->base = theirs->marks;
    theirs->marks = (struct marks){0};
    if (!theirs->final && leftover->based) {
        struct marks *base = &leftover->base;
        base->items = memory_grow(base->items, base->count + old.count + 1, sizeof *base->items);
        memcpy(base->items + base->count, old.items, old.count * sizeof *old.items);
        base->count += old.count;
        queue_marks_sort(base);
    }
    free(old.items);
    if (theirs->final || !leftover->based)
        leftover->preamble = queue_preamble_hash(theirs->text, theirs->list.preamble);
    leftover->based = true;
    queue_base_write(queue, leftover, 0, NULL);
}

static bool merge_file(struct queue *queue, size_t index, const char *text, size_t length, bool complete,
                       bool final)
{
    struct theirs theirs = {.text = text, .final = final};
    block_parse(&theirs.list, text, length);
    theirs.count = theirs.list.count - (complete || theirs.list.count == 0 ? 0 : 1);
    theirs.marks = queue_marks(&theirs.list, theirs.count);
    struct fault fault = {{0}};
    bool done = merge(queue, index, &theirs, &fault);
    if (done)
        rebase(queue, index, &theirs);
    else if (!queue->leftovers[index].warned) {
        queue->leftovers[index].warned = true;
        log_warn("queue", NULL, "The text written to %s/%s, once queue.md, isn't joined yet: %s", TREE_NOTES,
                 queue->leftovers[index].name, fault.text);
    }
    free(theirs.marks.items);
    block_list_free(&theirs.list);
    return done;
}

static void remove_leftover(struct queue *queue, size_t index, bool files)
{
    struct leftover *leftover = &queue->leftovers[index];
    if (files) {
        /* The file first: a base alone is nothing, a file alone would be read as news. */
        char base[QUEUE_NAME + 8];
        snprintf(base, sizeof base, "%s.base", leftover->name);
        unlinkat(queue->notes, leftover->name, 0);
        unlinkat(queue->notes, base, 0);
    }
    free(leftover->base.items);
    free(leftover->brought.items);
    free(leftover->again.items);
    memmove(leftover, leftover + 1, (queue->leftover_count - index - 1) * sizeof *leftover);
    queue->leftover_count--;
}

static void note_stamp(struct leftover *leftover, const struct file_stamp *stamp)
{
    if (files_stamp_same_content(stamp, &leftover->stamp))
        return;
    leftover->stamp = *stamp;
    leftover->quiet_ms = clock_monotonic_ms();
    leftover->merged = false;
}

/* No process can have the file any more: no writer has it open or waits to, and the grace is over for a process that
 * found the file under its old name and was stopped before the opening counted. */
static bool is_over(const struct leftover *leftover, enum lease lease, int fd)
{
    int64_t now = clock_monotonic_ms();
    if (!leftover->merged || now - leftover->since_ms < QUEUE_GRACE_MS || !queue_brought_over(leftover, now))
        return false;
    if (lease == LEASE_UNKNOWN)
        return now - leftover->quiet_ms >= QUEUE_GRACE_MS;
    return lease == LEASE_GRANTED && fcntl(fd, F_GETLEASE) == F_RDLCK;
}

/* True: something was done. The leftover may be gone then. */
static bool settle_one(struct queue *queue, size_t index, int64_t *retry_ms)
{
    struct leftover *leftover = &queue->leftovers[index];
    int64_t now = clock_monotonic_ms(), age = now - leftover->since_ms;
    struct file_stamp stamp;
    int there = files_look(queue->notes, leftover->name, &stamp);
    if (there < 0)
        queue_retry(retry_ms, QUEUE_QUIET_MS);
    else if (there == 0)
        remove_leftover(queue, index, true);
    if (there != 1)
        return there == 0;
    note_stamp(leftover, &stamp);
    if (leftover->merged && (age < QUEUE_GRACE_MS || !queue_brought_over(leftover, now))) {
        queue_retry(retry_ms, age < QUEUE_GRACE_MS ? QUEUE_GRACE_MS - age
                                                   : leftover->brought_ms + QUEUE_BROUGHT_MS - now);
        return false;
    }
    OWNED_FD int fd = files_open(queue->notes, leftover->name, O_RDONLY, 0);
    enum lease lease = fd < 0 ? LEASE_REFUSED : queue_lease(fd, F_RDLCK);
    OWNED char *text = NULL;
    size_t length;
    if (fd < 0 ||
        files_read(queue->notes, leftover->name, QUEUE_FILE_MAX, &text, &length, &stamp, NULL) != 1) {
        queue_retry(retry_ms, QUEUE_QUIET_MS);
        return false;
    }
    note_stamp(leftover, &stamp);
    bool quiet = now - leftover->quiet_ms >= QUEUE_QUIET_MS, complete = lease == LEASE_GRANTED || quiet;
    bool did = !leftover->merged && merge_file(queue, index, text, length, complete, lease == LEASE_GRANTED);
    leftover = &queue->leftovers[index]; /* a merge adds one */
    if (did)
        leftover->merged = complete;
    if (is_over(leftover, lease, fd)) {
        remove_leftover(queue, index, true);
        return true;
    }
    queue_retry(retry_ms, leftover->merged && age < QUEUE_GRACE_MS ? QUEUE_GRACE_MS - age
                          : complete                               ? QUEUE_QUIET_MS
                                     : QUEUE_QUIET_MS - (now - leftover->quiet_ms));
    return did;
}

bool queue_settle(struct queue *queue, int64_t *retry_ms)
{
    if (queue->settling)
        return false;
    queue->settling = true;
    bool did = false;
    for (size_t i = 0; i < queue->leftover_count;) {
        size_t count = queue->leftover_count;
        did |= settle_one(queue, i, retry_ms);
        if (queue->leftover_count >= count)
            i++;
    }
    queue->settling = false;
    return did;
}

static bool load_one(struct queue *queue, const char *name, struct fault *fault)
{
    struct leftover leftover = {.since_ms = clock_monotonic_ms(), .quiet_ms = clock_monotonic_ms()};
    snprintf(leftover.name, sizeof leftover.name, "%s", name);
    struct file_stamp stamp;
    uint64_t rest_inode = 0;
    if (files_look(queue->notes, name, &stamp) < 0)
        return fault_errno(fault, "cannot look at %s/%s", TREE_NOTES, name);
    int based = queue_base_read(queue, &leftover, &rest_inode, fault);
    if (based < 0)
        return false;
    *MEMORY_ADD(queue->leftovers, queue->leftover_count) = leftover;
    if ((based && stamp.inode == rest_inode) || (!based && stamp.size == 0))
        remove_leftover(queue, queue->leftover_count - 1, true); /* the exchange wasn't made */
    return true;
}

static bool load_name(struct queue *queue, const char *found, struct fault *fault)
{
    OWNED char *unfinished = files_unfinished(found);
    if (strncmp(found, "new.", 4) == 0 || unfinished)
        unlinkat(queue->notes, found, 0); /* a writing that a kill ended */
    unsigned number;
    int end = 0;
    if (sscanf(found, "queue.%u%n", &number, &end) != 1 || strlen(found) >= QUEUE_NAME - 8)
        return true;
    if (number >= queue->next_number)
        queue->next_number = number + 1;
    char name[QUEUE_NAME];
    struct file_stamp stamp;
    snprintf(name, sizeof name, "queue.%u", number);
    if (found[end] == '\0' && strcmp(found, name) == 0)
        return load_one(queue, name, fault);
    if (strcmp(found + end, ".base") == 0 && files_look(queue->notes, name, &stamp) == 0 && stamp.inode == 0)
        unlinkat(queue->notes, found, 0);
    return true;
}

/* Files that an earlier process left: files that came out, or were to go in. A base without its file is worthless. The
 * next file that comes out would write over a file that isn't met here, with the tasks that this file alone has. */
bool queue_leftovers_load(struct queue *queue, struct fault *fault)
{
    struct listing *names = listing_open(queue->notes, ".", fault);
    bool good = names != NULL;
    for (const char *name; good && (name = listing_next(names));)
        good = load_name(queue, name, fault);
    return names && listing_close(names, good ? fault : NULL) && good;
}

void queue_leftovers_free(struct queue *queue)
{
    while (queue->leftover_count)
        remove_leftover(queue, queue->leftover_count - 1, false);
    free(queue->leftovers);
}
