/* A block as text that block_parse reads back as the same. */
#include <string.h>

#include "common/clock.h"
#include "common/format/block.h"

static bool is_blank(char c)
{
    return c && strchr(" \t\r\n\f\v", c);
}

/* One line of a value: what would not come back as it is goes in double quotes. */
static void print_scalar(struct buffer *out, const char *name, const char *value)
{
    bool plain =
        *value && !strpbrk(value, "\"'\\\n\t#") && !is_blank(value[0]) && !is_blank(value[strlen(value) - 1]);
    buffer_print(out, "%s: ", name);
    if (!plain)
        buffer_text(out, "\"");
    for (const char *at = value; *at; at++) {
        if (!plain && (*at == '"' || *at == '\\'))
            buffer_text(out, "\\");
        if (*at == '\n' || *at == '\t')
            buffer_text(out, *at == '\n' ? "\\n" : "\\t");
        else if (!is_blank(*at) || *at == ' ')
            buffer_add(out, at, 1);
    }
    buffer_text(out, plain ? "\n" : "\"\n");
}

/* As an indented block: the only form in which any text comes back unchanged. `|2` says that the indentation is ours,
 * for a text whose first line begins with blanks. */
static void print_task(struct buffer *out, const char *task)
{
    bool one_line = *task && !strpbrk(task, "\n\r") && !strchr("\"'|> \t\f\v", *task) &&
                    !is_blank(task[strlen(task) - 1]) && !strstr(task, "##");
    if (one_line) {
        buffer_print(out, "task: %s\n", task);
        return;
    }
    buffer_text(out, is_blank(*task) ? "task: |2\n" : "task: |\n");
    for (const char *at = task; *at;) {
        size_t length = strcspn(at, "\n");
        if (length)
            buffer_text(out, "  ");
        buffer_add(out, at, length);
        buffer_text(out, "\n");
        at += length + (at[length] ? 1 : 0);
    }
}

void block_print(const struct block *block, struct buffer *out)
{
    buffer_text(out, "\n## ");
    for (const char *at = block->id; *at; at++)
        buffer_add(out, is_blank(*at) ? " " : at, 1);
    buffer_text(out, "\n");
    print_task(out, block->task ? block->task : "");
    buffer_print(out, "priority: %s\n",
                 block->priority == PRIORITY_HIGH  ? "high"
                 : block->priority == PRIORITY_LOW ? "low"
                                                   : "normal");
    if (block->created) {
        char time[CLOCK_TEXT];
        buffer_print(out, "created: %s\n", clock_format(block->created, time));
    }
    if (block->ttl_seconds)
        buffer_print(out, "ttl_seconds: %lld\n", (long long)block->ttl_seconds);
    if (block->lock)
        print_scalar(out, "lock", block->lock);
    if (block->from)
        print_scalar(out, "from", block->from);
}
