#include "supervisor/cli/transfer/notes.h"

#include <ctype.h>
#include <string.h>

/* All other notes are this node's: the journal, the ledger and the repository's files beside them are made anew from
 * the history, the lease's epoch is the other node's own, and halves of files (new.K, reading-K) are of no use. */
static const char *const travelling[] = {
    "answer",       /* paid for, and not used yet */
    "attempts",     /* how often each task was begun */
    "bootstrapped", /* files that are still as agents.yaml made them */
    "deferred",     /* tasks that wait for their next try */
    "prompt",       /* how prompts described the skills */
    "pruned",       /* answers and envelopes that are in git alone */
    "seen",         /* since when a task's time to live counts */
    "waiting",      /* how long pieces of work have waited */
};

#define BASE ".base"

/* The files that came out of queue.md and may not be home yet: queue.K, and queue.K.base (worker/queue/exchange.c). */
static bool is_of_queue(const char *name)
{
    static const char start[] = "queue.";
    if (strncmp(name, start, sizeof start - 1) != 0 || !isdigit((unsigned char)name[sizeof start - 1]))
        return false;
    const char *end = name + sizeof start - 1;
    end += strspn(end, "0123456789");
    return *end == '\0' || strcmp(end, BASE) == 0;
}

bool notes_travel(const char *name)
{
    for (size_t i = 0; i < sizeof travelling / sizeof *travelling; i++)
        if (strcmp(name, travelling[i]) == 0)
            return true;
    return is_of_queue(name);
}

/* "queue-base 1 INODE …": the inode tells a file that was not exchanged for queue.md. On another disk another file
 * may have that number; with 0 the blocks of queue.K are brought home, which adds nothing where queue.md has them. */
void notes_leave_node(const char *name, struct buffer *text)
{
    static const char start[] = "queue-base 1 ";
    if (!is_of_queue(name) || !strstr(name, BASE) || text->length < sizeof start ||
        memcmp(text->data, start, sizeof start - 1) != 0)
        return;
    OWNED_BUFFER struct buffer other = {0};
    const char *inode = text->data + sizeof start - 1;
    size_t digits = strspn(inode, "0123456789");
    buffer_print(&other, "%s0", start);
    buffer_add(&other, inode + digits, text->length - (sizeof start - 1) - digits);
    struct buffer gone = *text;
    *text = other;
    other = gone;
}
