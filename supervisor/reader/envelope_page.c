#include "supervisor/reader/envelope_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "supervisor/listings/envelope_scan.h"
#include "supervisor/reader/envelope_view.h"
#include "supervisor/reader/pruned_file.h"

#define QUEUES "shared/queues"

enum { FILES_LEAST = 256, FILES_GROWTH = 8 };

static const int64_t SECOND_NS = 1000 * 1000 * 1000;

static const char *const places[PLACE_COUNT] = {
    [PLACE_OPERATOR] = "operator",
    [PLACE_OUTBOX] = "outbox",
    [PLACE_QUEUE] = "queue",
    [PLACE_INBOX] = "inbox",
    [PLACE_HANDOFFS] = "handoffs",
    [PLACE_ARCHIVE] = "archive",
    [PLACE_DEAD_LETTERS] = "dead-letters",
};

/* Where a page ends: the next one begins behind this envelope. */
struct mark {
    int64_t created;
    const char *owner, *id;
};

struct choice {
    const char *agent, *kind, *status, *queue; /* NULL: any */
    int place;                                 /* PLACE_COUNT: any, and then the copy that knows most */
    const struct mark *after;                  /* NULL: from the newest on */
};

static struct mark mark_of(const struct copy *copy)
{
    return (struct mark){copy->envelope.created, copy->owner, copy->envelope.id};
}

/* The newest first, in a second by the ids: they begin with a time, too. */
static int compare_marks(const struct mark *a, const struct mark *b)
{
    if (a->created != b->created)
        return a->created < b->created ? 1 : -1;
    int order = strcmp(b->id, a->id);
    return order ? order : strcmp(a->owner, b->owner);
}

static int by_mark(const void *left, const void *right)
{
    struct mark a = mark_of(*(struct copy *const *)left), b = mark_of(*(struct copy *const *)right);
    return compare_marks(&a, &b);
}

static bool is_from_or_to(const struct copy *copy, const char *agent)
{
    return strcmp(copy->owner, agent) == 0 || strcmp(copy->envelope.from, agent) == 0 ||
           strcmp(copy_receiver(copy), agent) == 0;
}

static bool is_chosen(const struct choice *choice, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    if (copy->fault || (choice->place != PLACE_COUNT && (int)copy->place != choice->place) ||
        (choice->queue && strcmp(choice->queue, copy->owner) != 0) ||
        (choice->agent && !is_from_or_to(copy, choice->agent)) ||
        (choice->kind && strcmp(choice->kind, envelope_kind_name(envelope->kind)) != 0) ||
        (choice->status && strcmp(choice->status, envelope->status) != 0))
        return false;
    struct mark here = mark_of(copy);
    return !choice->after || compare_marks(choice->after, &here) < 0;
}

/* Borrowed from the scan, the newest first; the caller frees the list. */
static const struct copy **choose(const struct choice *choice, const struct envelope_scan *scan,
                                  size_t *count)
{
    const struct copy **chosen = memory_new(scan->count + 1, sizeof *chosen);
    size_t step = 1;
    *count = 0;
    for (size_t i = 0; i < scan->count; i += step) {
        step = choice->place == PLACE_COUNT ? envelope_scan_same(scan, i) : 1;
        if (is_chosen(choice, &scan->copies[i]))
            chosen[(*count)++] = &scan->copies[i];
    }
    qsort(chosen, *count, sizeof *chosen, by_mark);
    return chosen;
}

/* A file is no older than its envelope, so the newest files have the newest envelopes: so few are read that the page is
 * full, and the first file left unread is older than the page's last envelope. */
static const struct copy **choose_newest(const struct reading *reading, const struct choice *choice,
                                         size_t most, struct envelope_scan *scan, size_t *count)
{
    size_t files = 0;
    OWNED int64_t *times = envelope_scan_times(reading->data_dir, &files);
    for (size_t wanted = FILES_LEAST + most * 2;; wanted *= FILES_GROWTH) {
        int64_t since = wanted < files ? times[wanted] : 0;
        envelope_scan_since(scan, reading->data_dir, since, NULL);
        envelope_scan_group(scan);
        const struct copy **chosen = choose(choice, scan, count);
        if (since == 0 || (*count > most && chosen[most]->envelope.created > since / SECOND_NS))
            return chosen;
        free(chosen);
        envelope_scan_free(scan);
    }
}

/* --- what git alone has --- */

struct pruned_times {
    const struct choice *choice;
    int64_t *items; /* when they were created, the newest first */
    size_t count;
};

static void add_time(void *context, const struct pruned *record)
{
    struct pruned_times *times = context;
    const struct mark *after = times->choice->after;
    if (record->created <= 0 || (after && record->created > after->created))
        return;
    if ((times->count & (times->count - 1)) == 0)
        times->items = memory_grow(times->items, times->count ? times->count * 2 : 1, sizeof *times->items);
    times->items[times->count++] = record->created;
}

static int newest_first(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a < b) - (a > b);
}

/* The agents some of whose envelopes left the work tree before the page's end; the caller frees the names and the list. */
static char **find_owners(const struct reading *reading, struct pruned_times *times, size_t *count)
{
    struct listing *folders = listing_open(reading->data, "agents", NULL);
    char **names = folders ? listing_sorted(folders, count) : NULL;
    size_t kept = 0;
    for (size_t i = 0; names && i < *count; i++) {
        size_t before = times->count;
        OWNED_FD int tree =
            names_agent(names[i]) ? files_open_folder(listing_folder(folders), names[i], false, NULL) : -1;
        if (tree >= 0)
            pruned_each(tree, add_time, times);
        if (times->count > before)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    if (folders)
        (void)listing_close(folders, NULL);
    *count = kept;
    if (times->count > 0)
        qsort(times->items, times->count, sizeof *times->items, newest_first);
    return names;
}

/* The page of the files is chosen; envelopes that left the work tree take their places in it. So few are read that the page
 * is full, and those left unread are older than its last one. */
static const struct copy **choose_pruned(const struct reading *reading, const struct choice *choice,
                                         size_t most, struct envelope_scan *scan, const struct copy **chosen,
                                         size_t *count)
{
    struct pruned_times times = {.choice = choice};
    size_t owners = 0, wanted = FILES_LEAST + most * 2;
    char **names = find_owners(reading, &times, &owners);
    struct pruned_range range = {.until = choice->after ? choice->after->created : INT64_MAX};
    while (owners > 0 && range.since != 1 &&
           (*count <= most || chosen[most]->envelope.created <= range.until)) {
        range.since = wanted < times.count ? times.items[wanted] : 1;
        if (*count > most && chosen[most]->envelope.created > range.since)
            range.since = chosen[most]->envelope.created;
        for (size_t i = 0; i < owners; i++) {
            struct fault fault = {0};
            if (!pruned_file_list(scan, reading->data_dir, names[i], range, &fault))
                reading->complain(fault.text);
        }
        envelope_scan_group(scan);
        free(chosen);
        chosen = choose(choice, scan, count);
        range.until = range.since - 1;
        wanted *= FILES_GROWTH;
    }
    for (size_t i = 0; i < owners; i++)
        free(names[i]);
    free(names);
    free(times.items);
    return chosen;
}

/* --- the page --- */

static json_t *item_of(const struct copy *copy)
{
    json_t *item = copy_json(copy);
    json_object_set_new(item, "owner", json_string(copy->owner));
    json_object_set_new(item, "place", json_string(places[copy->place]));
    return item;
}

static json_t *page_of(const struct copy *const *chosen, size_t count, size_t most)
{
    json_t *items = json_array();
    size_t bytes = 0, taken = 0;
    while (taken < count && taken < most && bytes < PAGE_BYTES_MAX) {
        const char *body = chosen[taken]->envelope.body;
        bytes += body ? strlen(body) : 0;
        json_array_append_new(items, item_of(chosen[taken++]));
    }
    OWNED char *next = NULL;
    if (taken < count && taken > 0) {
        struct mark last = mark_of(chosen[taken - 1]);
        next = memory_print("%" PRId64 "/%s/%s", last.created, last.owner, last.id);
    }
    return json_pack("{s:o, s:s?}", "items", items, "next", next);
}

/* "SECONDS/OWNER/ID", cut into its parts in place. */
static bool read_mark(char *text, struct mark *mark)
{
    char *end = NULL;
    mark->created = strtoll(text, &end, 10);
    if (end == text || *end != '/')
        return false;
    char *id = strchr(end + 1, '/');
    if (!id)
        return false;
    *id = '\0';
    mark->owner = end + 1;
    mark->id = id + 1;
    return true;
}

static bool read_place(const char *name, int *place)
{
    for (*place = 0; *place < PLACE_COUNT; ++*place)
        if (name && strcmp(name, places[*place]) == 0)
            return true;
    return !name;
}

static bool is_kind(const char *name)
{
    for (int kind = KIND_HANDOFF; kind <= KIND_SEGMENT; kind++)
        if (strcmp(name, envelope_kind_name((enum envelope_kind)kind)) == 0)
            return true;
    return false;
}

static int list(const struct reading *reading, struct choice *choice, json_t **answer, struct fault *fault)
{
    struct mark mark;
    size_t count = 0, most = reading_count(reading, "limit", PAGE_ITEMS, PAGE_ITEMS_MAX);
    OWNED char *cursor = memory_text(reading_text(reading, "cursor"));
    if (cursor && !read_mark(cursor, &mark)) {
        fault_set(fault, "cursor is what the page before said as its next one");
        return EX_USAGE;
    }
    choice->after = cursor ? &mark : NULL;
    struct envelope_scan scan;
    const struct copy **chosen = choose_newest(reading, choice, most, &scan, &count);
    if (choice->place == PLACE_COUNT || choice->place == PLACE_ARCHIVE)
        chosen = choose_pruned(reading, choice, most, &scan, chosen, &count);
    *answer = page_of(chosen, count, most);
    free(chosen);
    envelope_scan_free(&scan);
    return EX_OK;
}

int envelope_page(const struct reading *reading, json_t **answer, struct fault *fault)
{
    struct choice choice = {.agent = reading_text(reading, "agent"),
                            .kind = reading_text(reading, "kind"),
                            .status = reading_text(reading, "status")};
    if (!read_place(reading_text(reading, "place"), &choice.place))
        fault_set(fault, "place is operator, outbox, queue, inbox, handoffs, archive or dead-letters");
    else if (choice.kind && !is_kind(choice.kind))
        fault_set(fault, "kind is handoff, message, result, bounce, item, task or segment");
    else
        return list(reading, &choice, answer, fault);
    return EX_USAGE;
}

/* --- queues --- */

static json_int_t items_in(const struct reading *reading, const char *queue)
{
    OWNED char *path = memory_print(QUEUES "/%s", queue);
    struct listing *names = listing_open(reading->data, path, NULL);
    json_int_t count = 0;
    for (const char *name; names && (name = listing_next(names));)
        count += names_work(name);
    if (names)
        (void)listing_close(names, NULL);
    return count;
}

static json_t *queues(const struct reading *reading)
{
    json_t *list = json_array();
    size_t count = 0;
    struct listing *folders = listing_open(reading->data, QUEUES, NULL);
    char **names = folders ? listing_sorted(folders, &count) : NULL;
    if (folders)
        (void)listing_close(folders, NULL);
    for (size_t i = 0; i < count; i++) {
        if (names_agent(names[i]))
            json_array_append_new(
                list, json_pack("{s:s, s:I}", "queue", names[i], "items", items_in(reading, names[i])));
        free(names[i]);
    }
    free(names);
    return list;
}

int envelope_page_queues(const struct reading *reading, json_t **answer, struct fault *fault)
{
    struct choice choice = {.queue = reading_text(reading, "queue"), .place = PLACE_QUEUE};
    int status = list(reading, &choice, answer, fault);
    if (status == EX_OK)
        json_object_set_new(*answer, "queues", queues(reading));
    return status;
}

/* --- one envelope --- */

/* Of very much that belongs to an envelope the texts are left out. */
static void bound(json_t *view, const char *list)
{
    size_t index, bytes = 0;
    json_t *item;
    json_array_foreach(json_object_get(view, list), index, item)
    {
        bytes += json_string_length(json_object_get(item, "body"));
        if (bytes > PAGE_BYTES_MAX)
            json_object_set_new(item, "body", json_null());
    }
}

int envelope_page_one(const struct reading *reading, json_t **answer, struct fault *fault)
{
    const char *id = reading_text(reading, "id");
    struct envelope_view view = {.data_dir = reading->data_dir, .complain = reading->complain};
    envelope_view_scan(&view, id ? id : "");
    bool found = id && envelope_view_read(&view, id);
    if (found) {
        *answer = envelope_view_json(&view);
        bound(*answer, "answers");
        bound(*answer, "of_trace");
    } else {
        fault_set(fault, "there is no envelope of this id");
    }
    envelope_view_free(&view);
    return found ? EX_OK : EX_NOINPUT;
}
