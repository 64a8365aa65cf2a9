#include "supervisor/store/task_block.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"

enum { APPEND_TRIES = 50, APPEND_PAUSE_NS = 200 * 1000 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One line with something on it, no control characters, no blanks around it. */
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

/* Text that would be read otherwise than it stands when put behind "task: " goes into an indented block. */
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
