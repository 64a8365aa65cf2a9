/* Beside each file that came out of queue.md lies its base: NAME.base, the marks of the blocks in it that queue.md has. */
#include "worker/queue/part.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/tree.h"

static const char first_line[] = "queue-base 1 %" SCNu64 " %" SCNx64 " %zu\n%n";

bool queue_base_write(struct queue *queue, const struct leftover *leftover, uint64_t rest_inode,
                      struct fault *fault)
{
    OWNED_BUFFER struct buffer out = {0}, lines = {0};
    size_t count = 0;
    for (size_t i = 0; i < leftover->base.count; i++) {
        struct mark mark = leftover->base.items[i];
        if (queue_marks_have(&leftover->brought, mark))
            continue; /* after a crash it is looked for once more */
        buffer_print(&lines, "%016" PRIx64 " %016" PRIx64 "\n", mark.id, mark.hash);
        count++;
    }
    buffer_print(&out, "queue-base 1 %" PRIu64 " %016" PRIx64 " %zu\n", rest_inode, leftover->preamble,
                 count);
    buffer_add(&out, lines.data, lines.length);
    char name[QUEUE_NAME + 8];
    snprintf(name, sizeof name, "%s.base", leftover->name);
    return files_write(queue->notes, name, out.data, out.length, false, fault);
}

/* 0: there is no base, or a damaged one. -1 and fault: the base can't be read now. */
int queue_base_read(struct queue *queue, struct leftover *leftover, uint64_t *rest_inode, struct fault *fault)
{
    enum { LINE = 34, DIGITS = 16 };
    OWNED char *text = NULL;
    size_t length, count;
    int start = 0;
    char name[QUEUE_NAME + 8];
    snprintf(name, sizeof name, "%s.base", leftover->name);
    int found = files_read(queue->notes, name, QUEUE_FILE_MAX, &text, &length, NULL, fault);
    if (found != 1)
        return found == 0 || files_lasting(errno) ? 0 : -1;
    if (sscanf(text, first_line, rest_inode, &leftover->preamble, &count, &start) != 3 || start == 0 ||
        (length - (size_t)start) % LINE != 0 || (length - (size_t)start) / LINE != count)
        return 0;
    struct marks marks = {memory_new(count + 1, sizeof *marks.items), count};
    for (size_t i = 0; i < count; i++) {
        const char *line = text + start + i * LINE;
        marks.items[i] = (struct mark){strtoull(line, NULL, 16), strtoull(line + DIGITS, NULL, 16)};
    }
    queue_marks_sort(&marks);
    leftover->base = marks;
    leftover->based = true;
    return 1;
}
