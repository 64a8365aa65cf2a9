#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"

/* .agentos/seen: a line "ID HASH TIME" for each block that has a TTL and no time of its own. A power cut may take the
 * last lines along, and a full disk the end of a line, which the next line then goes on from and is no line either; such
 * a block lives a little longer. */

static const char seen_name[] = "seen";
enum { SEEN_LIMIT = 8 * 1024 * 1024, SEEN_SPARE = 256 };

/* The place where the entry is, or would be: entries are sorted. */
static size_t place(const struct queue *queue, struct mark mark)
{
    size_t low = 0, high = queue->seen_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct seen *seen = &queue->seen[middle];
        if (seen->hash < mark.hash || (seen->hash == mark.hash && seen->id < mark.id))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct seen *find(struct queue *queue, struct mark mark)
{
    size_t at = place(queue, mark);
    struct seen *seen = at < queue->seen_count ? &queue->seen[at] : NULL;
    return seen && seen->hash == mark.hash && seen->id == mark.id ? seen : NULL;
}

static void add(struct queue *queue, struct seen seen)
{
    MEMORY_MORE(queue->seen, queue->seen_count);
    size_t at = place(queue, (struct mark){seen.id, seen.hash});
    memmove(&queue->seen[at + 1], &queue->seen[at], (queue->seen_count - at) * sizeof seen);
    queue->seen[at] = seen;
    queue->seen_count++;
}

/* Of two lines about one block the later: the block went, and came again. */
static int by_mark(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->time < y->time) - (x->time > y->time);
}

static void sort(struct queue *queue)
{
    size_t kept = 0;
    MEMORY_SORT(queue->seen, queue->seen_count, by_mark);
    for (size_t i = 0; i < queue->seen_count; i++) {
        const struct seen *seen = &queue->seen[i], *last = kept ? &queue->seen[kept - 1] : NULL;
        if (!last || seen->hash != last->hash || seen->id != last->id)
            queue->seen[kept++] = *seen;
    }
    queue->seen_count = kept;
}

bool queue_seen_load(struct queue *queue, struct fault *fault)
{
    OWNED char *text = NULL;
    size_t length;
    int found = files_read(queue->notes, seen_name, SEEN_LIMIT, &text, &length, NULL, fault);
    if (found != 1)
        return found == 0 || files_lasting(errno);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct seen seen;
        int read = 0;
        queue->seen_lines++;
        *end = '\0'; /* sscanf measures its text first */
        if (sscanf(line, "%16" SCNx64 " %16" SCNx64 " %20" SCNd64 "%n", &seen.id, &seen.hash, &seen.time,
                   &read) == 3 &&
            line + read == end)
            *MEMORY_ADD(queue->seen, queue->seen_count) = seen;
    }
    sort(queue);
    return true;
}

void queue_ask_sight(struct queue *queue, int64_t (*earlier)(void *context, const struct block *block),
                     void *context)
{
    queue->earlier = earlier;
    queue->earlier_context = context;
}

static int64_t remember(struct queue *queue, const struct block *block)
{
    struct mark mark = queue_mark(block);
    struct seen *known = find(queue, mark);
    if (known)
        return known->time;
    int64_t earlier = queue->earlier ? queue->earlier(queue->earlier_context, block) : 0;
    struct seen seen = {mark.id, mark.hash, earlier ? earlier : clock_now()};
    add(queue, seen);
    char line[64];
    int length = snprintf(line, sizeof line, "%016" PRIx64 " %016" PRIx64 " %" PRId64 "\n", seen.id,
                          seen.hash, seen.time);
    OWNED_FD int fd = files_open(queue->notes, seen_name, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd >= 0 && files_write_all(fd, line, (size_t)length))
        queue->seen_lines++;
    return seen.time;
}

void queue_seen_note(struct queue *queue)
{
    size_t count = queue_complete(queue);
    for (size_t i = 0; i < count; i++) {
        const struct block *block = &queue->blocks.items[i];
        if (block->ttl_seconds && !block->created)
            remember(queue, block);
    }
}

int64_t queue_first_seen(struct queue *queue, const struct block *block)
{
    return remember(queue, block);
}

void queue_seen_drop(struct queue *queue, struct mark mark)
{
    struct seen *known = find(queue, mark);
    if (!known)
        return;
    size_t behind = queue->seen_count - (size_t)(known - queue->seen) - 1;
    memmove(known, known + 1, behind * sizeof *known);
    queue->seen_count--;
    if (queue->seen_count == 0 && queue->seen_lines) {
        unlinkat(queue->notes, seen_name, 0);
        queue->seen_lines = 0;
    }
}

/* The file grows by a line for each such block: written anew when most of it is about blocks that are gone. */
void queue_seen_tidy(struct queue *queue)
{
    if (!queue->known || !queue->whole || queue->seen_lines < queue->blocks.count + SEEN_SPARE)
        return;
    struct marks present = queue_marks(&queue->blocks, queue->blocks.count);
    OWNED_BUFFER struct buffer out = {0};
    size_t kept = 0;
    for (size_t i = 0; i < queue->seen_count; i++) {
        struct seen seen = queue->seen[i];
        if (!queue_marks_have(&present, (struct mark){seen.id, seen.hash}))
            continue;
        queue->seen[kept++] = seen;
        buffer_print(&out, "%016" PRIx64 " %016" PRIx64 " %" PRId64 "\n", seen.id, seen.hash, seen.time);
    }
    free(present.items);
    queue->seen_count = kept;
    if (files_write(queue->notes, seen_name, out.data ? out.data : "", out.length, false, NULL))
        queue->seen_lines = kept;
}
