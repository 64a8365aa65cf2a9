#include "worker/queue/waiting.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"

enum {
    GAP_MAX_MS = 2 * 60 * 1000,
    LOOK_MS = 1000,
    MISSED_MAX = 8, /* looks: a file that can't be read for a moment takes nothing away */
    LOOK_EACH = 10, /* pieces of work that put the next look off by a millisecond */
    WRITE_MS = 60 * 1000,
    WRITTEN_MAX = 4096, /* pieces of work that waited longest */
    FILE_LIMIT = 1024 * 1024,
};
static const char file_name[] = TREE_NOTES "/waiting";

struct piece {
    uint64_t work;
    int64_t since_ms; /* of the clock that runs while the agent can work */
    unsigned missed;  /* looks in a row that did not note it */
};

struct waiting {
    int tree; /* borrowed */
    int64_t clock_ms, passed_ms, looked_ms, written_ms;
    struct piece *pieces, *noted; /* pieces: sorted by work */
    size_t count, noted_count;
    bool written; /* the file is there */
};

static int by_work(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;
    return (a->work > b->work) - (a->work < b->work);
}

static int by_age(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;
    return (a->since_ms > b->since_ms) - (a->since_ms < b->since_ms);
}

static const struct piece *find(const struct waiting *waiting, uint64_t work)
{
    const struct piece key = {.work = work};
    return waiting->count ? bsearch(&key, waiting->pieces, waiting->count, sizeof *waiting->pieces, by_work)
                          : NULL;
}

/* --- the file: a line "WORK MILLISECONDS" for each piece --- */

static void load(struct waiting *waiting)
{
    OWNED char *text = NULL;
    size_t length;
    if (files_read(waiting->tree, file_name, FILE_LIMIT, &text, &length, NULL, NULL) != 1)
        return;
    waiting->written = true;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        struct piece piece = {0};
        int64_t waited;
        if (sscanf(line, "%16" SCNx64 " %20" SCNd64, &piece.work, &waited) != 2 || waited < 0)
            continue;
        piece.since_ms = -waited;
        *MEMORY_ADD(waiting->pieces, waiting->count) = piece;
    }
    MEMORY_SORT(waiting->pieces, waiting->count, by_work);
}

static void write_file(struct waiting *waiting)
{
    OWNED struct piece *old = memory_new(waiting->count + 1, sizeof *old);
    OWNED_BUFFER struct buffer out = {0};
    size_t count = 0;
    for (size_t i = 0; i < waiting->count; i++)
        if (waiting->clock_ms - waiting->pieces[i].since_ms >= WRITE_MS)
            old[count++] = waiting->pieces[i];
    waiting->written_ms = waiting->clock_ms;
    if (count == 0) {
        if (waiting->written)
            unlinkat(waiting->tree, file_name, 0);
        waiting->written = false;
        return;
    }
    qsort(old, count, sizeof *old, by_age);
    for (size_t i = 0; i < count && i < WRITTEN_MAX; i++)
        buffer_print(&out, "%016" PRIx64 " %" PRId64 "\n", old[i].work, waiting->clock_ms - old[i].since_ms);
    waiting->written |= files_write(waiting->tree, file_name, out.data, out.length, false, NULL);
}

struct waiting *waiting_open(int tree)
{
    struct waiting *waiting = memory_new(1, sizeof *waiting);
    waiting->tree = tree;
    load(waiting);
    return waiting;
}

void waiting_close(struct waiting *waiting)
{
    if (!waiting)
        return;
    write_file(waiting);
    free(waiting->pieces);
    free(waiting->noted);
    free(waiting);
}

/* --- the clock and the looks --- */

void waiting_pass(struct waiting *waiting, bool able, int64_t now_ms)
{
    int64_t gap = waiting->passed_ms ? now_ms - waiting->passed_ms : 0;
    waiting->passed_ms = now_ms;
    if (able)
        waiting->clock_ms += gap < GAP_MAX_MS ? gap : GAP_MAX_MS;
}

bool waiting_is_due(const struct waiting *waiting, int64_t now_ms)
{
    return waiting->looked_ms == 0 ||
           now_ms - waiting->looked_ms >= LOOK_MS + (int64_t)waiting->count / LOOK_EACH;
}

void waiting_begin(struct waiting *waiting)
{
    waiting->noted_count = 0;
}

static void add(struct waiting *waiting, struct piece piece)
{
    *MEMORY_ADD(waiting->noted, waiting->noted_count) = piece;
}

void waiting_note(struct waiting *waiting, uint64_t work)
{
    const struct piece *known = find(waiting, work);
    add(waiting, (struct piece){.work = work, .since_ms = known ? known->since_ms : waiting->clock_ms});
}

void waiting_end(struct waiting *waiting, int64_t now_ms)
{
    struct piece *before = waiting->pieces;
    size_t count = waiting->count, noted = waiting->noted_count;
    MEMORY_SORT(waiting->noted, noted, by_work);
    for (size_t i = 0; i < count; i++) {
        struct piece piece = before[i];
        bool there = noted && bsearch(&piece, waiting->noted, noted, sizeof piece, by_work);
        if (!there && piece.missed++ < MISSED_MAX)
            add(waiting, piece);
    }
    free(before);
    waiting->pieces = waiting->noted;
    waiting->count = waiting->noted_count;
    waiting->noted = NULL;
    waiting->noted_count = 0;
    if (waiting->count > noted)
        qsort(waiting->pieces, waiting->count, sizeof *waiting->pieces, by_work);
    waiting->looked_ms = now_ms;
    if (waiting->clock_ms - waiting->written_ms >= WRITE_MS)
        write_file(waiting);
}

uint64_t waiting_key(const char *id, uint64_t hash)
{
    return hash ^ names_hash(id, strlen(id)) * UINT64_C(0x9e3779b97f4a7c15);
}

int64_t waiting_ms(const struct waiting *waiting, uint64_t work)
{
    const struct piece *piece = find(waiting, work);
    return piece ? waiting->clock_ms - piece->since_ms : 0;
}
