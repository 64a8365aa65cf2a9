#include "supervisor/http/reads.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

void reads_begin(struct reads *reads, struct calls *calls, void (*settled)(void *context), void *context)
{
    *reads = (struct reads){.calls = calls, .settled = settled, .context = context};
    TAILQ_INIT(&reads->all);
}

static void free_read(struct read *read)
{
    TAILQ_REMOVE(&read->reads->all, read, link);
    read->reads->count--;
    json_decref(read->request);
    json_decref(read->answer);
    ready_document_free(&read->ready);
    free(read->key);
    free(read);
}

static bool is_fresh(const struct read *read, int64_t now)
{
    return !read->outdated && (read->state != READ_SETTLED || now - read->settled_at < READ_FRESH_MS);
}

static void settle(struct read *read, const json_t *answer)
{
    read->state = READ_SETTLED;
    read->answer = json_incref((json_t *)answer);
    read->settled_at = clock_monotonic_ms();
}

static void go_on(struct reads *reads);

/* Also when nobody wants the answer any more: the next who asks within its time gets it. */
static void is_told(void *context, const json_t *answer)
{
    struct read *read = context;
    struct reads *reads = read->reads;
    read->call = NULL;
    reads->under_way--;
    settle(read, answer);
    go_on(reads);
    reads->settled(reads->context);
}

static void start(struct read *read)
{
    struct reads *reads = read->reads;
    json_t *request = read->request;
    read->request = NULL;
    read->state = READ_UNDER_WAY;
    log_debug("http", NULL, "A reader is asked for %s", json_string_value(json_object_get(request, "read")));
    read->call =
        call_begin(reads->calls, CALL_READER, request, clock_monotonic_ms() + READ_WAIT_MS, is_told, read);
    if (read->call)
        reads->under_way++;
    else
        settle(read, NULL);
}

static void go_on(struct reads *reads)
{
    struct read *read;
    TAILQ_FOREACH(read, &reads->all, link)
    if (read->state == READ_QUEUED && reads->under_way < READS_AT_ONCE)
        start(read);
}

static struct read *find(const struct reads *reads, const char *key, int64_t now)
{
    struct read *read;
    TAILQ_FOREACH(read, &reads->all, link)
    if (is_fresh(read, now) && strcmp(read->key, key) == 0)
        return read;
    return NULL;
}

/* Room for another one: a settled one that nobody reads goes. */
static bool make_room(struct reads *reads)
{
    struct read *read;
    if (reads->count < READS_MAX)
        return true;
    TAILQ_FOREACH(read, &reads->all, link)
    if (read->state == READ_SETTLED && read->users == 0) {
        free_read(read);
        return true;
    }
    return false;
}

struct read *reads_ask(struct reads *reads, json_t *request, int64_t now)
{
    OWNED char *key = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
    struct read *read = key ? find(reads, key, now) : NULL;
    if (read || !key || !make_room(reads)) {
        json_decref(request);
    } else {
        read = memory_new(1, sizeof *read);
        *read = (struct read){.reads = reads, .key = memory_text(key), .request = request};
        TAILQ_INSERT_TAIL(&reads->all, read, link);
        reads->count++;
        go_on(reads);
    }
    if (read)
        read->users++;
    return read;
}

/* A read that waits for its turn, and that nobody waits for, is not made. */
void read_drop(struct read *read)
{
    if (read && --read->users == 0 && read->state == READ_QUEUED)
        free_read(read);
}

void reads_outdate(struct reads *reads)
{
    struct read *read;
    TAILQ_FOREACH(read, &reads->all, link)
    read->outdated |= read->state != READ_QUEUED;
}

void reads_expire(struct reads *reads, int64_t now)
{
    struct read *read, *next;
    for (read = TAILQ_FIRST(&reads->all); read; read = next) {
        next = TAILQ_NEXT(read, link);
        if (read->state == READ_SETTLED && read->users == 0 && !is_fresh(read, now))
            free_read(read);
    }
}

int64_t reads_deadline(const struct reads *reads)
{
    const struct read *read;
    int64_t first = -1;
    TAILQ_FOREACH(read, &reads->all, link)
    if (read->users == 0 && read->state == READ_SETTLED &&
        (first < 0 || read->settled_at + READ_FRESH_MS < first))
        first = read->settled_at + READ_FRESH_MS;
    return first;
}
