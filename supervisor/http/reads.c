#include "supervisor/http/reads.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/log.h"
#include "common/memory.h"
#include "supervisor/listings/nodes_merge.h"

void reads_begin(struct reads *reads, struct calls *calls, struct loop *loop, void (*settled)(void *context),
                 void *context)
{
    *reads = (struct reads){.calls = calls, .loop = loop, .settled = settled, .context = context};
    TAILQ_INIT(&reads->all);
}

static void free_read(struct read *read)
{
    TAILQ_REMOVE(&read->reads->all, read, link);
    timer_clear(read->reads->loop, &read->timer);
    read->reads->count--;
    json_decref(read->request);
    json_decref(read->answer);
    json_decref(read->far.told);
    ready_document_free(&read->ready);
    free(read->key);
    free(read);
}

static bool is_over(const struct read *read)
{
    return read->state == READ_SETTLED && !read->timer.place;
}

static void has_served(void *context)
{
    struct read *read = context;
    if (read->users == 0)
        free_read(read);
}

static void settle(struct read *read)
{
    read->state = READ_SETTLED;
    timer_set(read->reads->loop, &read->timer, READ_FRESH_MS);
}

/* --- the other nodes' part --- */

static const char *text_of(const json_t *request, const char *key)
{
    const char *text = json_string_value(json_object_get(request, key));
    return text ? text : "";
}

/* Whether other nodes are asked, too. A request with a place is this node's: its dead letters are requeued and purged
 * here. */
static bool is_across(const json_t *request)
{
    static const char *const names[] = {"envelope", "envelopes", "queues"};
    bool across = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        across = across || strcmp(text_of(request, "read"), names[i]) == 0;
    return across && !json_object_get(request, "place");
}

static void merge_envelope(struct read *read)
{
    json_t *view = json_object_get(read->answer, "answer");
    json_t *whole = nodes_merge_envelope(json_incref(view), read->far.told);
    const char *problem = json_string_value(json_array_get(json_object_get(read->far.told, "problems"), 0));
    bool missing = json_integer_value(json_object_get(read->answer, "exit")) == EX_NOINPUT;
    if (!whole && !(problem && missing))
        return;
    if (!whole) { /* a node that may have the envelope was not asked, or did not answer */
        OWNED char *unsure = memory_print("no node that answered has it; %s", problem);
        json_decref(read->answer);
        read->answer = json_pack("{s:i, s:s}", "exit", EX_TEMPFAIL, "complaint", unsure);
        return;
    }
    json_decref(read->answer);
    read->answer = json_pack("{s:i, s:o}", "exit", EX_OK, "answer", whole);
}

static void merge(struct read *read)
{
    json_int_t limit = json_integer_value(json_object_get(read->request, "limit"));
    json_t *page = json_object_get(read->answer, "answer");
    const struct nodes_page how = {.once = strcmp(text_of(read->request, "read"), "envelopes") == 0,
                                   .paged = true,
                                   .most = limit > 0 && limit < PAGE_ITEMS_MAX ? (size_t)limit
                                           : limit > 0                         ? PAGE_ITEMS_MAX
                                                                               : PAGE_ITEMS};
    if (strcmp(text_of(read->request, "read"), "envelope") == 0)
        merge_envelope(read);
    else if (page)
        nodes_merge_page(page, read->far.told, &how);
}

static void go_on(struct reads *reads);

static void is_whole(struct read *read)
{
    struct reads *reads = read->reads;
    if (read->call || read->far.call)
        return;
    if (read->answer && is_across(read->request))
        merge(read);
    settle(read);
    reads->settled(reads->context);
}

static void far_is_told(void *context, const json_t *answer)
{
    struct read *read = context;
    read->far.call = NULL;
    read->far.told = json_incref((json_t *)answer);
    is_whole(read);
}

/* Called also when nobody wants the answer any more: the next client that asks while it is fresh gets it. */
static void is_told(void *context, const json_t *answer)
{
    struct read *read = context;
    struct reads *reads = read->reads;
    read->call = NULL;
    read->answer = json_incref((json_t *)answer);
    reads->under_way--;
    go_on(reads);
    is_whole(read);
}

static void start(struct read *read)
{
    struct reads *reads = read->reads;
    json_t *request = read->request;
    read->state = READ_UNDER_WAY;
    log_debug("http", NULL, "A reader is asked for %s", text_of(request, "read"));
    if (is_across(request)) {
        json_object_set_new(request, "for_nodes", json_true());
        read->far.call = call_begin(reads->calls, CALL_CONTROL,
                                    json_pack("{s:s, s:O}", "verb", "nodes", "request", request),
                                    READ_WAIT_MS, far_is_told, read);
    }
    read->call = call_begin(reads->calls, CALL_READER, json_incref(request), READ_WAIT_MS, is_told, read);
    if (read->call) {
        reads->under_way++;
        return;
    }
    call_drop(read->far.call);
    read->far.call = NULL;
    settle(read);
}

static void go_on(struct reads *reads)
{
    struct read *read;
    TAILQ_FOREACH(read, &reads->all, link)
    if (read->state == READ_QUEUED && reads->under_way < READS_AT_ONCE)
        start(read);
}

static struct read *find(const struct reads *reads, const char *key)
{
    struct read *read;
    TAILQ_FOREACH(read, &reads->all, link)
    if (!read->outdated && !is_over(read) && strcmp(read->key, key) == 0)
        return read;
    return NULL;
}

/* Makes room for another read: a settled read without users goes. */
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

struct read *reads_ask(struct reads *reads, json_t *request)
{
    OWNED char *key = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
    struct read *read = key ? find(reads, key) : NULL;
    if (read || !key || !make_room(reads)) {
        json_decref(request);
    } else {
        read = memory_new(1, sizeof *read);
        *read = (struct read){.reads = reads,
                              .key = memory_text(key),
                              .request = request,
                              .timer = {.ring = has_served, .context = read}};
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
    if (read && --read->users == 0 && (read->state == READ_QUEUED || is_over(read)))
        free_read(read);
}

void reads_outdate(struct reads *reads)
{
    struct read *read;
    TAILQ_FOREACH(read, &reads->all, link)
    read->outdated |= read->state != READ_QUEUED;
}
