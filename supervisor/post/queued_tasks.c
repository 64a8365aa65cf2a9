/* Tasks of queue.md with a time to live, while their agent has no process: its worker would end them, but only at its
 * next start, and the contract wants their dead letter within a second. This file writes the dead letter from
 * queue.md; the block stays in its place, and the worker ends it as ever when it starts (commit, reflection, the same
 * dead letter).
 *
 * The post office minds each agent's next due task, and the file's stamp. A block without a `created` of its own
 * counts from when its worker first saw it, by the worker's notes, or else from when the supervisor met it here.
 *
 * A worker that was taken over may have left a queue.md of any content up to QUEUE_FILE_MAX, so a round over the file
 * is made in steps, and goes on in the next turn when this turn's time is over. The round has the text as it was read;
 * a change meanwhile begins another round. A large text is held for one agent at a time. */
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

enum {
    SEEN_MAX = 8 * 1024 * 1024,
    SEEN_LINE = 64,
    SEEN_HASH = 16, /* digits */
    RETRY_S = 1,
    BURIED_MOST = 256,        /* in one turn */
    DYING_MOST = 64 * 1024,   /* at a time */
    SIGHTS_MOST = 100 * 1000, /* further ones are ended by the worker alone */
    WINDOW = 128 * 1024,      /* bytes that are parsed in one step, */
    WINDOW_MAX =
        4 * 1024 * 1024 /* or so many for a block with a long text; the worker alone ends a longer one */,
    LARGE = 1024 * 1024, /* bytes of a file */
    LARGE_REST_MS = 500, /* between a change of such a file and the round over it */
};

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
    struct timer slice;  /* begins a round, or goes on with it */
    struct round *round; /* NULL: none is under way */
};

/* .agentos/seen, as it was read. */
struct seen {
    struct sight *all; /* sorted */
    size_t count, length /* bytes of the file */;
};

/* A block whose time is over. */
struct dying {
    uint64_t id, text; /* hashes */
    size_t start, end; /* in the round's text */
    int64_t created;
    bool lives_on; /* another block with the same id and text has time left, such as `requeue` appends */
};

struct round {
    char *text;
    size_t length;
    struct seen seen;
    enum step { STEP_SEEN, STEP_FIND, STEP_TWINS, STEP_BURY } step;
    size_t at, window;   /* where the step goes on, and how many bytes it parses */
    size_t from;         /* dying blocks that start before it were buried in this round */
    struct dying *dying; /* in the order of the file, but for STEP_TWINS */
    size_t dying_count, buried;
    bool more;            /* there are more of them than DYING_MOST */
    struct sight *sights; /* that are met, not sorted */
    size_t sight_count;
    int64_t next; /* when the next task expires, epoch seconds; -1: none does */
    bool sliced;  /* the round takes more than a turn */
    bool failed;  /* a dead letter couldn't be written */
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

/* Blocks that are met for the first time count from now on. */
static void meet(const struct tasks *tasks, const struct block *block, int64_t now)
{
    struct round *round = tasks->round;
    if (block->created || round->sight_count == SIGHTS_MOST)
        return;
    struct sight sight = sight_of(block, now);
    const struct sight *known = find_sight(tasks, &sight);
    *MEMORY_ADD(round->sights, round->sight_count) = known ? *known : sight;
}

/* A block that went is forgotten. */
static void take_sights(struct tasks *tasks)
{
    struct round *round = tasks->round;
    MEMORY_SORT(round->sights, round->sight_count, by_hash_and_id);
    free(tasks->sights);
    tasks->sights = round->sights;
    tasks->sight_count = round->sight_count;
    round->sights = NULL;
    round->sight_count = 0;
}

static int by_sight(const void *a, const void *b)
{
    const struct sight *left = a, *right = b;
    int order = by_hash_and_id(a, b);
    return order ? order : (left->time > right->time) - (left->time < right->time);
}

/* .agentos/seen has lines "ID HASH TIME" (worker/queue/first_seen.c), the first two of SEEN_HASH digits. */
static bool parse_sight(const char *line, const char *end, struct sight *sight)
{
    char *after_id, *after_hash, *after_time;
    if (end - line < 2 * SEEN_HASH + 3 || end - line >= SEEN_LINE)
        return false;
    sight->id = strtoull(line, &after_id, 16);
    sight->hash = strtoull(line + SEEN_HASH + 1, &after_hash, 16);
    sight->time = strtoll(line + 2 * SEEN_HASH + 2, &after_time, 10);
    return after_id == line + SEEN_HASH && after_hash == line + 2 * SEEN_HASH + 1 && after_time == end;
}

static void parse_seen(const char *text, struct seen *seen)
{
    const char *end;
    for (const char *line = text; line && (end = strchr(line, '\n')); line = end + 1) {
        struct sight sight;
        if (parse_sight(line, end, &sight))
            *MEMORY_ADD(seen->all, seen->count) = sight;
    }
    MEMORY_SORT(seen->all, seen->count, by_sight);
}

/* The latest time that the file has for the block: the block went, and came again. 0: no line is of this block. */
static int64_t noted(const struct seen *seen, const struct block *block)
{
    struct sight wanted = sight_of(block, 0);
    const struct sight *found =
        seen->count ? bsearch(&wanted, seen->all, seen->count, sizeof wanted, by_hash_and_id) : NULL;
    while (found && found + 1 < seen->all + seen->count && by_hash_and_id(found + 1, &wanted) == 0)
        found++;
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
static void note_for_worker(const struct tasks *tasks, const struct block *block, int64_t time)
{
    struct seen *seen = &tasks->round->seen;
    struct sight sight = sight_of(block, time);
    OWNED char *path = path_in(tasks->box, TREE_NOTES "/seen");
    if (block->created || noted(seen, block) || seen->length + SEEN_LINE > SEEN_MAX)
        return;
    char line[SEEN_LINE];
    int length = snprintf(line, sizeof line, "%016" PRIx64 " %016" PRIx64 " %" PRId64 "\n", sight.id,
                          sight.hash, sight.time);
    OWNED_FD int fd = files_open(tasks->box->post->data, path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd >= 0 && files_write_all(fd, line, (size_t)length))
        seen->length += (size_t)length; /* a round may write very many */
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

static bool bury(struct tasks *tasks, const struct block *block, int64_t created)
{
    struct box *box = tasks->box;
    struct post *post = box->post;
    OWNED char *file = names_file(block->id);
    /* The beginning, of an id that is too long for an envelope. */
    OWNED char *trace = memory_slice(block->id, utf8_cut(block->id, strlen(block->id), MESSAGE_TASK_MOST));
    OWNED char *reason = memory_text("its time to live was over");
    struct fault fault;
    int64_t written = tasks->stamp.modified_ns / 1000000000;
    note_for_worker(tasks, block, created);
    if (lies_dead(box, block, file, created, written))
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

/* --- a round --- */

static void end_round(struct tasks *tasks)
{
    struct round *round = tasks->round;
    if (!round)
        return;
    if (tasks->box->post->active.large_round == tasks)
        tasks->box->post->active.large_round = NULL;
    free(round->text);
    free(round->seen.all);
    free(round->dying);
    free(round->sights);
    free(round);
    tasks->round = NULL;
}

/* The blocks that are next in the text, each of them whole, the first *count of the list; their places count from *base.
 * A block starts wherever its heading stands, but for strays, which nobody wants here. */
static void parse_more(struct round *round, struct block_list *blocks, size_t *count, size_t *base)
{
    size_t rest = round->length - round->at, taken = rest < round->window ? rest : round->window;
    while (taken < rest && taken > 0 && round->text[round->at + taken - 1] != '\n')
        taken--;
    block_parse(blocks, round->text + round->at, taken);
    size_t last = blocks->count;
    while (taken < rest && last > 0 && (blocks->items[--last].stray))
        ;
    *base = round->at;
    *count = taken < rest ? last : blocks->count;
    if (taken == rest || (last == 0 && round->window >= WINDOW_MAX))
        round->at += taken ? taken : rest < round->window ? rest : round->window;
    else if (last == 0)
        round->window *= 2;
    else
        round->at += blocks->items[last].start;
    if (last > 0)
        round->window = WINDOW;
}

/* Of the text from its start, or from where the step has come to. True: to the text's end. */
static bool go_through(struct tasks *tasks,
                       void (*visit)(struct tasks *, const struct block *, size_t base, int64_t now))
{
    struct round *round = tasks->round;
    struct block_list blocks;
    size_t count, base;
    int64_t now = clock_now();
    parse_more(round, &blocks, &count, &base);
    for (size_t i = 0; i < count; i++)
        if (!blocks.items[i].problem && blocks.items[i].task)
            visit(tasks, &blocks.items[i], base, now);
    block_list_free(&blocks);
    bool whole = round->at >= round->length;
    if (whole)
        round->at = 0;
    return whole;
}

static void come_first(struct round *round, int64_t at)
{
    if (round->next < 0 || at < round->next)
        round->next = at;
}

static void find_dying(struct tasks *tasks, const struct block *block, size_t base, int64_t now)
{
    struct round *round = tasks->round;
    if (block->ttl_seconds <= 0)
        return;
    meet(tasks, block, now);
    int64_t at = end_of(tasks, block, &round->seen);
    size_t start = base + block->start;
    if (at > now)
        come_first(round, at);
    if (at < 0 || at > now || start < round->from || round->more)
        return;
    if (round->dying_count == DYING_MOST) {
        round->more = true;
        round->from = start;
        return;
    }
    *MEMORY_ADD(round->dying, round->dying_count) =
        (struct dying){.id = names_hash(block->id, strlen(block->id)),
                       .text = names_hash(block->task, strlen(block->task)),
                       .start = start,
                       .end = base + block->end,
                       .created = at - block->ttl_seconds};
}

static int by_text(const void *a, const void *b)
{
    const struct dying *left = a, *right = b;
    if (left->text != right->text)
        return left->text < right->text ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static int by_place(const void *a, const void *b)
{
    const struct dying *left = a, *right = b;
    return (left->start > right->start) - (left->start < right->start);
}

static void find_twin(struct tasks *tasks, const struct block *block, size_t base, int64_t now)
{
    struct round *round = tasks->round;
    const struct dying wanted = {.id = names_hash(block->id, strlen(block->id)),
                                 .text = names_hash(block->task, strlen(block->task))};
    struct dying *found = bsearch(&wanted, round->dying, round->dying_count, sizeof wanted, by_text);
    int64_t at = found ? end_of(tasks, block, &round->seen) : 0;
    (void)base;
    if (!found || (at >= 0 && at <= now))
        return;
    while (found > round->dying && by_text(found - 1, &wanted) == 0)
        found--;
    for (; found < round->dying + round->dying_count && by_text(found, &wanted) == 0; found++)
        found->lives_on = true;
}

static void bury_next(struct tasks *tasks)
{
    struct round *round = tasks->round;
    const struct dying *dying = &round->dying[round->buried++];
    struct block_list blocks;
    if (dying->lives_on)
        return;
    block_parse(&blocks, round->text + dying->start, dying->end - dying->start);
    if (blocks.count > 0 && blocks.items[0].task && !bury(tasks, &blocks.items[0], dying->created))
        round->failed = true;
    block_list_free(&blocks);
}

/* 1: read, 0: there is no such file, -1: not now. */
static int read_seen(struct tasks *tasks)
{
    OWNED char *notes = path_in(tasks->box, TREE_NOTES "/seen"), *text = NULL;
    struct seen *seen = &tasks->round->seen;
    int found = files_read(tasks->box->post->data, notes, SEEN_MAX, &text, &seen->length, NULL, NULL);
    if (found < 0 && !files_lasting(errno))
        return -1;
    parse_seen(text, seen);
    return found == 1;
}

static void take_step(struct round *round, enum step step)
{
    round->step = step;
    round->at = 0;
    round->window = WINDOW;
}

/* True: the round is over. */
static bool do_step(struct tasks *tasks)
{
    struct round *round = tasks->round;
    switch (round->step) {
    case STEP_SEEN:
        if (read_seen(tasks) < 0) {
            round->failed = true; /* without both files no task is known to have expired */
            return true;
        }
        take_step(round, STEP_FIND);
        return false;
    case STEP_FIND:
        if (!go_through(tasks, find_dying))
            return false;
        take_sights(tasks);
        MEMORY_SORT(round->dying, round->dying_count, by_text);
        take_step(round, STEP_TWINS);
        return round->dying_count == 0;
    case STEP_TWINS:
        if (!go_through(tasks, find_twin))
            return false;
        MEMORY_SORT(round->dying, round->dying_count, by_place);
        take_step(round, STEP_BURY);
        return false;
    default:
        bury_next(tasks);
        if (round->buried < round->dying_count)
            return false;
        round->dying_count = round->buried = 0;
        bool over = !round->more;
        round->more = false;
        take_step(round, STEP_FIND);
        return over;
    }
}

static void set_entry(struct tasks *tasks, int64_t next)
{
    struct expiry *expiry = tasks->box->post->expiry;
    if (next >= 0)
        expiry_set(expiry, &tasks->entry, next);
    else
        expiry_clear(expiry, &tasks->entry);
}

static void go_on(struct tasks *tasks)
{
    struct round *round = tasks->round;
    int64_t until_ms = clock_monotonic_ms() + DECIDING_MS;
    /* A small text is gone through in one turn, and a task buried, however slow the machine. */
    bool over = false, late = false;
    size_t buried = 0;
    if (!post_owns(tasks->box)) /* the lease was lost between two turns */
        round->failed = over = true;
    while (!over && !late && buried < BURIED_MOST) {
        buried += round->step == STEP_BURY;
        over = do_step(tasks);
        late = (round->length > LARGE || buried > 0) && clock_monotonic_ms() >= until_ms;
    }
    if (!over) {
        round->sliced = true;
        timer_set(tasks->box->post->loop, &tasks->slice, 0);
        return;
    }
    if (round->failed)
        come_first(round, clock_now() + RETRY_S);
    set_entry(tasks, round->next);
    bool sliced = round->sliced;
    end_round(tasks);
    if (sliced)
        post_tasks_look(tasks->box); /* the file may have changed meanwhile */
}

/* 1: the text is read, 0: there is none, -1: not now. */
static int read_text(struct tasks *tasks, char **text, size_t *length)
{
    OWNED char *path = path_in(tasks->box, TREE_QUEUE);
    int found = files_read(tasks->box->post->data, path, QUEUE_FILE_MAX, text, length, &tasks->stamp, NULL);
    return found < 0 && files_lasting(errno) ? 0 : found;
}

static bool has_times(const char *text, size_t length)
{
    return memmem(text, length, "ttl_seconds", strlen("ttl_seconds")) != NULL;
}

static bool is_large(const struct file_stamp *stamp)
{
    return stamp->size > LARGE;
}

static void begin_round(struct tasks *tasks)
{
    struct box *box = tasks->box;
    struct post *post = box->post;
    OWNED char *path = path_in(box, TREE_QUEUE), *text = NULL;
    struct file_stamp stamp = files_stamp_at(post->data, path);
    size_t length;
    bool waits = !post_owns(box) || (is_large(&stamp) && post->active.large_round);
    int found = waits ? -1 : read_text(tasks, &text, &length);
    if (found < 0)
        set_entry(tasks, clock_now() + RETRY_S);
    else if (found == 0)
        set_entry(tasks, -1);
    if (found <= 0)
        return;
    if (!has_times(text, length)) {
        tasks->sight_count = 0;
        set_entry(tasks, -1);
        return;
    }
    tasks->round = memory_new(1, sizeof *tasks->round);
    *tasks->round = (struct round){.text = text, .length = length, .next = -1};
    text = NULL;
    if (length <= LARGE) {
        go_on(tasks);
        return;
    }
    post->active.large_round = tasks; /* its reading was enough for this turn */
    tasks->round->sliced = true;
    timer_set(post->loop, &tasks->slice, 0);
}

static void task_due(void *context)
{
    struct tasks *tasks = context;
    if (!tasks->round)
        begin_round(tasks);
}

static void slice_due(void *context)
{
    struct tasks *tasks = context;
    if (tasks->round)
        go_on(tasks);
    else
        begin_round(tasks);
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
        box->tasks->entry = (struct timer){.ring = task_due, .context = box->tasks};
        box->tasks->slice = (struct timer){.ring = slice_due, .context = box->tasks};
    } else if (files_stamp_equal(&stamp, &box->tasks->stamp)) {
        return;
    }
    if (is_large(&stamp) && !box->tasks->slice.place)
        timer_set(box->post->loop, &box->tasks->slice, LARGE_REST_MS);
    else if (!box->tasks->slice.place)
        begin_round(box->tasks);
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
    end_round(box->tasks);
    expiry_clear(box->post->expiry, &box->tasks->entry);
    timer_clear(box->post->loop, &box->tasks->slice);
    free(box->tasks->sights);
    free(box->tasks);
    box->tasks = NULL;
}
