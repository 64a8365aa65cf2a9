#include "supervisor/store/task_block.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/format/answer_file.h"
#include "common/format/block.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/store/queue_search.h"

enum {
    APPEND_TRIES = 50,
    APPEND_PAUSE_NS = 200 * 1000,
    NOTES_MAX = 4096,              /* names in the worker's notes */
    CAME_OUT_MAX = QUEUE_FILE_MAX, /* bytes of the files there that came out of queue.md */
    MARKS_MAX = 16,                /* blocks with one id that are looked for among the marks of such a file */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Whether the text is one line that isn't empty, without control characters or blanks around it. */
static bool is_one_line(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || is_blank(text[0]) || is_blank(text[length - 1]))
        return false;
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return true;
}

static bool has_something(const char *text)
{
    while (is_blank(*text))
        text++;
    return *text != '\0';
}

bool task_block_check(const struct task_block *block, struct fault *fault)
{
    if (!is_one_line(block->id))
        return fault_set(fault,
                         "a task's id is one line of text without blanks around it; nothing was added");
    if (strlen(block->id) > ID_MAX)
        return fault_set(fault, "a task's id has at most %d bytes, this one has %zu; nothing was added",
                         ID_MAX, strlen(block->id));
    if (!has_something(block->text))
        return fault_set(fault, "the task has no text; nothing was added");
    if (strlen(block->text) > TASK_TEXT_MAX)
        return fault_set(fault, "a task's text has at most %d bytes, this one has %zu; nothing was added",
                         TASK_TEXT_MAX, strlen(block->text));
    if (!utf8_valid(block->id, strlen(block->id)) || !utf8_valid(block->text, strlen(block->text)))
        return fault_set(fault, "the task is not UTF-8; nothing was added");
    if (block->lock && (!is_one_line(block->lock) || strlen(block->lock) > NAME_LENGTH_MAX))
        return fault_set(fault, "a lock's name is one line of at most %d bytes; nothing was added",
                         NAME_LENGTH_MAX);
    if (block->ttl_seconds < 0)
        return fault_set(fault, "ttl_seconds can't be below 0; nothing was added");
    return true;
}

/* False for a text that would be read otherwise behind "task: " than it stands: it goes into an indented block. */
static bool fits_behind_the_key(const char *text)
{
    return is_one_line(text) && !strchr("|>\"'&*!%@`#-[]{},?:", text[0]);
}

static void print_indented(const char *text, struct buffer *out)
{
    size_t length = strlen(text);
    while (length && is_blank(text[length - 1]))
        length--;
    bool at_start = true;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '\r') {
            if (text[i + 1] == '\n')
                continue;
            c = '\n';
        }
        if (at_start && c != '\n')
            buffer_text(out, "  ");
        buffer_add(out, &c, 1);
        at_start = c == '\n';
    }
    buffer_text(out, "\n");
}

void task_block_print(const struct task_block *block, struct buffer *out)
{
    char created[CLOCK_TEXT];
    buffer_print(out, "\n## %s\n", block->id);
    if (fits_behind_the_key(block->text)) {
        buffer_print(out, "task: %s\n", block->text);
    } else {
        buffer_text(out, "task: |\n");
        print_indented(block->text, out);
    }
    buffer_print(out, "priority: %s\n", priority_name(block->priority));
    buffer_print(out, "created: %s\n", clock_format(block->created, created));
    if (block->ttl_seconds > 0)
        buffer_print(out, "ttl_seconds: %" PRId64 "\n", block->ttl_seconds);
    if (block->lock)
        buffer_print(out, "lock: %s\n", block->lock);
}

/* Of a task, as its answer's file has them (common/format/answer_file.h); 0: not known. */
struct hashes {
    uint64_t text, whole;
};

static struct hashes hashes_of(const struct block *block)
{
    return (struct hashes){.text = answer_hash(block->task ? block->task : ""),
                           .whole = answer_hash_whole(block)};
}

/* Of the block as the worker will read it. */
static struct hashes hashes_as_read(const struct task_block *block)
{
    OWNED_BUFFER struct buffer text = {0};
    struct block_list list;
    task_block_print(block, &text);
    block_parse(&list, text.data, text.length);
    struct hashes hashes = {.text = answer_hash(block->text)};
    if (list.count && list.items[0].task)
        hashes = hashes_of(&list.items[0]);
    block_list_free(&list);
    return hashes;
}

/* A task that is looked for. */
struct wanted {
    const char *id, *base; /* base: marks of blocks that stand elsewhere too */
    struct hashes found;   /* zero: there is no such block */
    unsigned marks;        /* looked for in base */
};

static bool is_meant(void *context, const char *id)
{
    const struct wanted *wanted = context;
    return strcmp(id, wanted->id) == 0;
}

static bool take(void *context, const struct block *block)
{
    struct wanted *wanted = context;
    OWNED char *mark =
        memory_print("\n%016llx %016" PRIx64 "\n", names_hash(block->id, strlen(block->id)), block->hash);
    if (*wanted->base && ++wanted->marks > MARKS_MAX)
        return true;
    if (!strstr(wanted->base, mark))
        wanted->found = hashes_of(block);
    return wanted->found.text != 0;
}

/* False and fault: the file can't be searched now. */
static bool look_in(int folder, const char *file, struct wanted *wanted, struct fault *fault)
{
    const struct queue_search search = {.is_meant = is_meant, .visit = take, .context = wanted};
    if (queue_search(folder, file, &search, fault) < 0)
        return false;
    return wanted->marks <= MARKS_MAX ||
           fault_set(fault, "%s holds the id more than %d times", file, MARKS_MAX);
}

/* A file that the worker took out of queue.md stands in its notes as queue.K, beside queue.K.base with the marks of the
 * blocks that queue.md has instead: a block that was appended in that moment is without a mark until it is brought home.
 * Such files are there for seconds, and few at once; a worker that was taken over may write many. *any: there is one.
 * False and fault: not all of them can be searched now. */
static bool look_in_came_out(int tree, struct wanted *wanted, bool *any, struct fault *fault)
{
    OWNED_LISTING struct listing *names = listing_open(tree, TREE_NOTES, fault);
    uint64_t bytes = 0;
    size_t count = 0;
    bool told = names || errno == ENOENT;
    for (const char *name; names && told && !wanted->found.text && (name = listing_next(names));) {
        OWNED char *base = NULL, *file = memory_text(name);
        char *ending = strstr(file, ".base");
        size_t length;
        if (++count > NOTES_MAX)
            return fault_set(fault, "%s holds more than %d files", TREE_NOTES, NOTES_MAX);
        if (strncmp(file, "queue.", strlen("queue.")) != 0 || !ending)
            continue;
        int read = files_read(listing_folder(names), name, CAME_OUT_MAX, &base, &length, NULL, fault);
        told = read >= 0;
        if (read != 1)
            continue;
        *any = true;
        *ending = '\0';
        bytes += length + files_stamp_at(listing_folder(names), file).size;
        if (bytes > CAME_OUT_MAX)
            return fault_set(fault, "%s holds more than %d bytes that came out of %s", TREE_NOTES,
                             CAME_OUT_MAX, TREE_QUEUE);
        wanted->base = base;
        wanted->marks = 0;
        told = look_in(listing_folder(names), file, wanted, fault);
        wanted->base = "";
    }
    if (told && names && listing_failed(names))
        return fault_set(fault, "the folder %s can't be read to its end", TREE_NOTES);
    return told;
}

/* The pending task's hashes, zero: no such task is pending. A block that was brought home between the two
 * looks stands in queue.md again. False and fault: nobody can tell now. */
static bool look_among_pending(int tree, const char *id, struct hashes *found, struct fault *fault)
{
    struct wanted wanted = {.id = id, .base = ""};
    bool any = false;
    bool told = look_in(tree, TREE_QUEUE, &wanted, fault) &&
                (wanted.found.text || look_in_came_out(tree, &wanted, &any, fault)) &&
                (wanted.found.text || !any || look_in(tree, TREE_QUEUE, &wanted, fault));
    *found = wanted.found;
    return told;
}

/* The task's answer has left the work tree, and its text's hash alone is kept. */
static bool is_pruned(int tree, const char *id, int *reward, struct hashes *asked)
{
    struct pruned pruned;
    OWNED char *now = names_file(id), *before = names_file_before(id);
    if (!pruned_find(tree, TREE_OUTPUTS, now, &pruned) && !pruned_find(tree, TREE_OUTPUTS, before, &pruned))
        return false;
    *reward = (int)pruned.reward;
    *asked = (struct hashes){.text = pruned.asked};
    return true;
}

static bool is_done(int tree, const char *id, int *reward, struct hashes *asked)
{
    OWNED_ANSWER struct answer_file answer = {0};
    if (answer_read(tree, id, &answer, NULL) != 1)
        return is_pruned(tree, id, reward, asked);
    *reward = answer.reward;
    *asked = (struct hashes){.text = answer.asked, .whole = answer.whole};
    return true;
}

/* A hash that an earlier version didn't keep tells nothing apart. */
static bool differ(uint64_t before, uint64_t asked)
{
    return before && asked && before != asked;
}

enum task_known task_block_known(int tree, const struct task_block *block, int *reward, struct fault *fault)
{
    struct hashes asked = hashes_as_read(block), before = {0};
    struct fault why;
    if (!look_among_pending(tree, block->id, &before, &why)) {
        fault_set(fault, "nobody can tell now whether a task '%s' is pending already (%s); nothing was added",
                  block->id, why.text);
        return TASK_UNTOLD;
    }
    bool pending = before.text != 0, done = !pending && is_done(tree, block->id, reward, &before);
    const char *other = differ(before.text, asked.text)                     ? "text"
                        : block->whole && differ(before.whole, asked.whole) ? "priority, time to live or lock"
                                                                            : NULL;
    if (other) {
        fault_set(fault, "a task '%s' with another %s is %s; nothing was added", block->id, other,
                  done ? "done already" : "pending");
        return TASK_OTHER;
    }
    return pending ? TASK_PENDING : done ? TASK_DONE : TASK_NEW;
}

/* The worker holds a lease on the file for microseconds at a time, in which it can't be opened for writing. */
static bool append(int tree, const struct buffer *text, struct fault *fault)
{
    for (int tries = 0;; tries++) {
        errno = 0;
        if (files_append(tree, TREE_QUEUE, text->data, text->length, fault))
            return true;
        if (errno != EAGAIN || tries >= APPEND_TRIES)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = APPEND_PAUSE_NS}, NULL);
    }
}

int task_block_append(int data, const char *agent, const struct task_block *block, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    task_block_print(block, &text);
    OWNED char *below = memory_print("agents/%s", agent);
    OWNED_FD int tree = files_open_folder(data, below, true, fault);
    if (tree < 0)
        return EX_CANTCREAT;
    if (append(tree, &text, fault))
        return EX_OK;
    return errno == EAGAIN ? EX_TEMPFAIL : EX_IOERR;
}
