/* Tasks of queue.md with a time to live, while their agent has no process: its worker would end them, but only at its
 * next start, and the contract wants their dead letter within a second. This file writes the dead letter from
 * queue.md; the block stays in its place, and the worker ends it as ever when it starts (commit, reflection, the same
 * dead letter).
 *
 * The post office minds each agent's next due task, and the file's stamp. A block without a `created` of its own
 * counts from when its worker first saw it, by the worker's notes, or else from when the supervisor met it here. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/block.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/post/part.h"

enum { SEEN_MAX = 8 * 1024 * 1024, SEEN_LINE = 64, RETRY_S = 1, BURIED_MOST = 256 /* in one turn */ };

/* A block that has a time to live and no `created`, as it was met first. */
struct sight {
    uint64_t id, hash;
    int64_t time; /* epoch seconds */
};

struct tasks {
    struct box *box;
    struct timer entry;
    struct file_stamp stamp; /* of queue.md as it was read */
    struct sight *sights;    /* of the blocks that stood there then, sorted */
    size_t sight_count;
    struct timer slice; /* goes on with blocks that have expired, */
    size_t from;        /* of which those before this one were looked at; 0: none was */
};

/* .agentos/seen, as it was read. */
struct seen {
    struct sight *all; /* sorted */
    size_t count, length /* bytes of the file */;
};

static char *path_in(const struct box *box, const char *name)
{
    return memory_print("agents/%s/%s", box->name, name);
}

static struct sight sight_of(const struct block *block, int64_t time)
{
    return (struct sight){.id = names_hash(block->id, strlen(block->id)), .hash = block->hash, .time = time};
}

static int by_hash_and_id(const void *a, const void *b)
{
    const struct sight *left = a, *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static const struct sight *find_sight(const struct tasks *tasks, const struct sight *wanted)
{
    return tasks->sight_count
               ? bsearch(wanted, tasks->sights, tasks->sight_count, sizeof *wanted, by_hash_and_id)
               : NULL;
}

/* Blocks that are met for the first time count from now on; a block that went is forgotten. */
static void meet(struct tasks *tasks, const struct block_list *blocks)
{
    struct sight *sights = NULL;
    size_t count = 0;
    int64_t now = clock_now();
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *block = &blocks->items[i];
        if (block->ttl_seconds <= 0 || block->created || block->problem || !block->task)
            continue;
        struct sight sight = sight_of(block, now);
        const struct sight *known = find_sight(tasks, &sight);
        MEMORY_MORE(sights, count);
        sights[count++] = known ? *known : sight;
    }
    MEMORY_SORT(sights, count, by_hash_and_id);
    free(tasks->sights);
    tasks->sights = sights;
    tasks->sight_count = count;
}

static int by_sight(const void *a, const void *b)
{
    const struct sight *left = a, *right = b;
    int order = by_hash_and_id(a, b);
    return order ? order : (left->time > right->time) - (left->time < right->time);
}

/* .agentos/seen has lines "ID HASH TIME" (worker/queue/first_seen.c). sscanf looks for its text's end, so each line is
 * read apart: a worker may have written very many. */
static void parse_seen(const char *text, struct seen *seen)
{
    const char *end;
    for (const char *line = text; line && (end = strchr(line, '\n')); line = end + 1) {
        struct sight sight;
        char alone[SEEN_LINE] = "";
        int read = 0;
        if (end - line >= SEEN_LINE)
            continue;
        memcpy(alone, line, (size_t)(end - line));
        if (sscanf(alone, "%16" SCNx64 " %16" SCNx64 " %20" SCNd64 "%n", &sight.id, &sight.hash, &sight.time,
                   &read) == 3 &&
            read == end - line)
            *MEMORY_ADD(seen->all, seen->count) = sight;
    }
    MEMORY_SORT(seen->all, seen->count, by_sight);
}

/* The earliest time that the file has for the block. 0: no line is of this block. */
static int64_t noted(const struct seen *seen, const struct block *block)
{
    struct sight wanted = sight_of(block, 0);
    const struct sight *found =
        seen->count ? bsearch(&wanted, seen->all, seen->count, sizeof wanted, by_hash_and_id) : NULL;
    while (found && found > seen->all && by_hash_and_id(found - 1, &wanted) == 0)
        found--;
    return found ? found->time : 0;
}

static int64_t counts_from(const struct tasks *tasks, const struct block *block, const struct seen *seen)
{
    if (block->created)
        return block->created;
    struct sight wanted = sight_of(block, clock_now());
    int64_t time = noted(seen, block);
    const struct sight *sight = time ? NULL : find_sight(tasks, &wanted);
    return time ? time : sight ? sight->time : wanted.time;
}

/* The worker finds the time from which an expired block counted where it keeps such times itself: a dead letter that has
 * the time goes when somebody requeues or purges it, and the block would have a second life. The agent has no process
 * that writes there too. Where the note can't be written, the dead letter is left. */
static void note_for_worker(const struct tasks *tasks, const struct block *block, const struct seen *seen,
                            int64_t time)
{
    struct sight sight = sight_of(block, time);
    OWNED char *path = path_in(tasks->box, TREE_NOTES "/seen");
    if (block->created || noted(seen, block) || seen->length + SEEN_LINE > SEEN_MAX)
        return;
    char line[SEEN_LINE];
    int length = snprintf(line, sizeof line, "%016" PRIx64 " %016" PRIx64 " %" PRId64 "\n", sight.id,
                          sight.hash, sight.time);
    OWNED_FD int fd = files_open(tasks->box->post->data, path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd >= 0)
        (void)files_write_all(fd, line, (size_t)length);
}

/* written: epoch seconds, when queue.md was written last. The time from which a block without `created` counts is
 * forgotten with the supervisor; what its dead letter found in the queue, and has not been written since, is that block. */
static bool lies_dead(struct box *box, const struct block *block, const char *file, int64_t created,
                      int64_t written)
{
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (mailbox_read(box->post->data, box->name, FOLDER_DEAD_LETTERS, file, &envelope, NULL, NULL) !=
        MAILBOX_READ)
        return false;
    bool still = !block->created && envelope.finished > written && envelope.kind == KIND_TASK &&
                 envelope.trace && strcmp(envelope.trace, block->id) == 0;
    return still ||
           envelope.finished >= created; /* else the dead letter is of another block that had this id */
}

/* When the block's time is over, epoch seconds; -1: never. */
static int64_t end_of(const struct tasks *tasks, const struct block *block, const struct seen *seen)
{
    if (block->ttl_seconds <= 0)
        return -1;
    return expiry_of(counts_from(tasks, block, seen), block->ttl_seconds);
}

/* Another block with the same id and text has time left, such as `requeue` appends: the task is not over. */
static bool lives_on(const struct tasks *tasks, const struct block_list *blocks, const struct block *block,
                     const struct seen *seen, int64_t now)
{
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *twin = &blocks->items[i];
        if (twin == block || twin->problem || !twin->task || strcmp(twin->id, block->id) != 0 ||
            strcmp(twin->task, block->task) != 0)
            continue;
        int64_t at = end_of(tasks, twin, seen);
        if (at < 0 || at > now)
            return true;
    }
    return false;
}

static bool bury(struct tasks *tasks, const struct block_list *blocks, const struct block *block,
                 const struct seen *seen, int64_t created)
{
    struct box *box = tasks->box;
    struct post *post = box->post;
    OWNED char *file = names_file(block->id);
    /* The beginning, of an id that is too long for an envelope. */
    OWNED char *trace = memory_slice(block->id, utf8_cut(block->id, strlen(block->id), MESSAGE_TASK_MOST));
    OWNED char *reason = memory_text("its time to live was over");
    struct fault fault;
    int64_t written = tasks->stamp.modified_ns / 1000000000;
    note_for_worker(tasks, block, seen, created);
    if (lies_dead(box, block, file, created, written) || lives_on(tasks, blocks, block, seen, clock_now()))
        return true;
    struct envelope envelope = {
        .id = file,
        .kind = KIND_TASK,
        .from = block->from ? block->from : POST_OPERATOR,
        .to = box->name,
        .created = created,
        .ttl_seconds = block->ttl_seconds,
        .priority = block->priority,
        .status = "expired",
        .trace = trace,
        .reason = reason,
        .lock = block->lock,
        .finished = clock_now(),
        .body = strlen(block->task) + 4096 > ENVELOPE_MAX ? POST_TEXT_IN_QUEUE : block->task,
    };
    if (mailbox_write(post->data, box->name, FOLDER_DEAD_LETTERS, &envelope, true, &fault) != WRITE_DONE) {
        log_warn("post", box->name, "Task %s has expired; its dead letter is tried again: %s", block->id,
                 fault.text);
        return false;
    }
    post_note(box, "envelope_expired", &envelope, reason);
    return true;
}

/* Buries expired tasks, from tasks->from on; *next: when the next one expires, -1: never. False: the turn has no time
 * for more of them, and tasks->slice goes on. */
static bool go_through(struct tasks *tasks, const struct block_list *blocks, const struct seen *seen,
                       int64_t *next)
{
    int64_t now = clock_now(), until_ms = clock_monotonic_ms() + DECIDING_MS;
    size_t from = tasks->from, looked_at = 0;
    *next = -1;
    tasks->from = 0;
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *block = &blocks->items[i];
        if (block->ttl_seconds <= 0 || block->problem || !block->task)
            continue;
        int64_t at = end_of(tasks, block, seen), created = at - block->ttl_seconds;
        if (at >= 0 && at <= now) {
            if (i < from)
                continue;
            if (looked_at > 0 && (looked_at == BURIED_MOST || clock_monotonic_ms() >= until_ms)) {
                tasks->from = i;
                return false;
            }
            looked_at++;
            at = bury(tasks, blocks, block, seen, created) ? -1 : now + RETRY_S;
        }
        if (at >= 0 && (*next < 0 || at < *next))
            *next = at;
    }
    return true;
}

/* 1: both are read, 0: there is no queue, -1: not now: without both files no task is known to have expired. */
static int read_files(struct tasks *tasks, char **text, size_t *length, char **seen)
{
    int data = tasks->box->post->data;
    OWNED char *path = path_in(tasks->box, TREE_QUEUE), *notes = path_in(tasks->box, TREE_NOTES "/seen");
    size_t seen_length;
    int found = files_read(data, path, QUEUE_FILE_MAX, text, length, &tasks->stamp, NULL);
    if (found != 1)
        return found == 0 || files_lasting(errno) ? 0 : -1;
    found = files_read(data, notes, SEEN_MAX, seen, &seen_length, NULL, NULL);
    return found >= 0 || files_lasting(errno) ? 1 : -1;
}

static void read_queue(struct tasks *tasks)
{
    struct box *box = tasks->box;
    struct post *post = box->post;
    OWNED char *text = NULL, *notes = NULL;
    struct block_list blocks;
    struct seen seen = {0};
    struct file_stamp before = tasks->stamp;
    size_t length;
    int64_t next;
    int found = post_owns(box) ? read_files(tasks, &text, &length, &notes) : -1;
    if (found == 0)
        expiry_clear(post->expiry, &tasks->entry);
    else if (found < 0)
        expiry_set(post->expiry, &tasks->entry, clock_now() + RETRY_S);
    if (found <= 0)
        return;
    block_parse(&blocks, text, length);
    seen.length = notes ? strlen(notes) : 0;
    parse_seen(notes, &seen);
    meet(tasks, &blocks);
    if (!files_stamp_equal(&before, &tasks->stamp))
        tasks->from = 0;
    bool whole = go_through(tasks, &blocks, &seen, &next);
    block_list_free(&blocks);
    free(seen.all);
    if (!whole)
        timer_set(post->loop, &tasks->slice, 0);
    else if (next >= 0)
        expiry_set(post->expiry, &tasks->entry, next);
    else
        expiry_clear(post->expiry, &tasks->entry);
}

static void task_due(void *tasks)
{
    read_queue(tasks);
}

void post_tasks_look(struct box *box)
{
    OWNED char *path = path_in(box, TREE_QUEUE);
    if (!has_tree(box)) /* the agent's own queue.md, with its tasks, is on another node */
        return;
    struct file_stamp stamp = files_stamp_at(box->post->data, path);
    if (!box->tasks) {
        box->tasks = memory_new(1, sizeof *box->tasks);
        *box->tasks = (struct tasks){.box = box};
        box->tasks->entry = box->tasks->slice = (struct timer){.ring = task_due, .context = box->tasks};
    } else if (files_stamp_equal(&stamp, &box->tasks->stamp)) {
        return;
    }
    read_queue(box->tasks);
}

void post_tasks_scan(struct box *box)
{
    const struct post_owner *owner = &box->post->owner;
    if (box->subject && owner->rests && owner->rests(box->subject))
        post_tasks_forget(box);
    else
        post_tasks_look(box);
}

void post_tasks_forget(struct box *box)
{
    if (!box->tasks)
        return;
    expiry_clear(box->post->expiry, &box->tasks->entry);
    timer_clear(box->post->loop, &box->tasks->slice);
    free(box->tasks->sights);
    free(box->tasks);
    box->tasks = NULL;
}
