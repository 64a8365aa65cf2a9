#include "supervisor/listings/envelope_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "common/utf8.h"

/* A worker puts this behind the name of a file that is no envelope. */
#define SET_ASIDE ".md.unreadable-"

/* The folders of each place: one for all, or one for each entry of another folder. */
static const struct {
    const char *above; /* the folder whose entries are the owners; NULL: the owner is the operator */
    const char *folder;
} PLACES[PLACE_COUNT] = {
    [PLACE_OPERATOR] = {NULL, "shared/outbox"},
    [PLACE_OUTBOX] = {"agents", TREE_OUTBOX},
    [PLACE_QUEUE] = {"shared/queues", ""},
    [PLACE_INBOX] = {"agents", TREE_INBOX},
    [PLACE_HANDOFFS] = {"agents", TREE_HANDOFFS},
    [PLACE_ARCHIVE] = {"agents", TREE_ARCHIVE},
    [PLACE_DEAD_LETTERS] = {"agents", TREE_DEAD_LETTERS},
};

const char *place_folder(enum place place)
{
    return place == PLACE_QUEUE ? PLACES[place].above : PLACES[place].folder;
}

struct copy *envelope_scan_add(struct envelope_scan *scan, enum place place, const char *owner,
                               const char *path)
{
    struct copy *copy = MEMORY_ADD(scan->copies, scan->count);
    *copy = (struct copy){.place = place, .owner = memory_text(owner), .path = memory_text(path)};
    return copy;
}

static bool is_without_end(const char *file, const char *name)
{
    return strlen(file) == strlen(name) + 3 && strncmp(file, name, strlen(name)) == 0;
}

/* Whether the path without its ".md" is the name of an envelope with this id, or was in earlier versions. */
static bool is_named_after(const char *file, const char *id)
{
    OWNED char *now = names_file(id), *before = names_file_before(id);
    return is_without_end(file, now) || is_without_end(file, before);
}

void copy_read(struct copy *copy, const char *text, size_t length, const char *file, bool bodies)
{
    struct fault fault = {0};
    if (!envelope_parse(&copy->envelope, text, length, file, &fault)) {
        copy->fault = memory_print("is no valid envelope: %s", fault.text);
    } else if (!is_named_after(file, copy->envelope.id)) {
        copy->fault = memory_print("holds the envelope %s", copy->envelope.id);
    } else if (!bodies) {
        free(copy->envelope.body);
        copy->envelope.body = NULL;
    }
}

struct envelope_times {
    int64_t *items;
    size_t count;
};

struct reading {
    struct envelope_scan *scan;
    int folder;
    enum place place;
    const char *owner, *path; /* of the folder */
    bool bodies;
    struct envelope_times *times; /* NULL: the envelopes are wanted; else only the files' times */
};

static void add_time(struct envelope_times *times, int64_t modified_ns)
{
    *MEMORY_ADD(times->items, times->count) = modified_ns;
}

static bool is_older(const struct reading *reading, const char *file)
{
    return reading->scan->since_ns != 0 &&
           files_stamp_at(reading->folder, file).modified_ns < reading->scan->since_ns;
}

static void read_entry(const struct reading *reading, const char *file)
{
    if (reading->times != NULL) {
        add_time(reading->times, files_stamp_at(reading->folder, file).modified_ns);
        return;
    }
    if (is_older(reading, file))
        return;
    if (reading->scan->looked != NULL)
        reading->scan->looked(reading->scan->count);
    struct fault fault = {0};
    OWNED char *text = NULL;
    OWNED char *path = memory_print("%s/%s", reading->path, file);
    size_t length = 0;
    int got = names_markdown(file)
                  ? files_read(reading->folder, file, ENVELOPE_FILE_MAX, &text, &length, NULL, &fault)
                  : 1;
    if (got == 0)
        return; /* the file moved on since the folder was read */
    struct copy *copy = envelope_scan_add(reading->scan, reading->place, reading->owner, path);
    if (!names_markdown(file)) {
        copy->set_aside = strstr(file, SET_ASIDE) != NULL;
        copy->fault = memory_text("is no envelope");
    } else if (got < 0) {
        copy->fault = memory_print("is no valid envelope: %s", fault.text);
    } else {
        copy_read(copy, text, length, file, reading->bodies);
    }
}

static void cannot_read(struct envelope_scan *scan, enum place place, const char *owner, const char *path)
{
    envelope_scan_add(scan, place, owner, path)->fault = memory_print("cannot be read: %s", strerror(errno));
}

static void read_folder(struct envelope_scan *scan, int data, enum place place, const char *owner,
                        const char *path, bool bodies)
{
    struct listing *names = listing_open(data, path, NULL);
    if (names == NULL) {
        if (errno != ENOENT)
            cannot_read(scan, place, owner, path);
        return;
    }
    struct reading reading = {scan, listing_folder(names), place, owner, path, bodies, scan->times};
    for (const char *name = listing_next(names); name != NULL; name = listing_next(names))
        if (name[0] != '.')
            read_entry(&reading, name);
    if (!listing_close(names, NULL))
        cannot_read(scan, place, owner, path);
}

static void read_owner(struct envelope_scan *scan, int data, enum place place, const char *name, bool bodies)
{
    if (name[0] != '.' && (place == PLACE_QUEUE || names_agent(name))) {
        OWNED char *path = memory_print("%s/%s%s%s", PLACES[place].above, name,
                                        place == PLACE_QUEUE ? "" : "/", PLACES[place].folder);
        read_folder(scan, data, place, name, path, bodies);
    }
}

static void read_place(struct envelope_scan *scan, int data, enum place place, bool bodies)
{
    size_t count = 0;
    if (PLACES[place].above == NULL) {
        read_folder(scan, data, place, "operator", PLACES[place].folder, bodies);
        return;
    }
    struct listing *names = listing_open(data, PLACES[place].above, NULL);
    if (names == NULL && errno != ENOENT)
        cannot_read(scan, place, "", PLACES[place].above);
    char **owners = names != NULL ? listing_sorted(names, &count) : NULL;
    if (names != NULL && !listing_close(names, NULL))
        cannot_read(scan, place, "", PLACES[place].above);
    for (size_t i = 0; i < count; i++) {
        read_owner(scan, data, place, owners[i], bodies);
        free(owners[i]);
    }
    free(owners);
}

static void read_places(struct envelope_scan *scan, int data, bool bodies)
{
    for (int place = 0; place < PLACE_COUNT; place++)
        read_place(scan, data, (enum place)place, bodies);
}

void envelope_scan_since(struct envelope_scan *scan, const char *data_dir, int64_t since_ns,
                         void (*looked)(size_t files))
{
    OWNED_FD int data = files_open_path(data_dir, NULL);
    *scan = (struct envelope_scan){.since_ns = since_ns, .looked = looked};
    if (data >= 0)
        read_places(scan, data, true);
}

int envelope_scan_newest_first(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a < b) - (a > b);
}

int64_t *envelope_scan_times(const char *data_dir, size_t *count)
{
    OWNED_FD int data = files_open_path(data_dir, NULL);
    struct envelope_times times = {0};
    struct envelope_scan scan = {.times = &times};
    if (data >= 0)
        read_places(&scan, data, false);
    envelope_scan_free(&scan); /* folders that can't be read */
    MEMORY_SORT(times.items, times.count, envelope_scan_newest_first);
    *count = times.count;
    return times.items;
}

void envelope_scan_take(struct envelope_scan *scan, const char *data_dir, bool bodies)
{
    OWNED_FD int data = files_open_path(data_dir, NULL);
    *scan = (struct envelope_scan){0};
    if (data >= 0)
        read_places(scan, data, bodies);
}

void envelope_scan_find_pruned(struct envelope_scan *scan, const char *data_dir, const char *id)
{
    struct pruned pruned;
    OWNED char *agents = memory_print("%s/agents", data_dir);
    OWNED char *file = names_file(id);
    OWNED_LISTING struct listing *names = listing_take(files_open_path(agents, NULL), agents, NULL);
    for (const char *name; names != NULL && (name = listing_next(names)) != NULL;) {
        OWNED_FD int tree =
            names_agent(name) ? files_open_folder(listing_folder(names), name, false, NULL) : -1;
        if (tree >= 0 && pruned_find(tree, TREE_ARCHIVE, file, &pruned)) {
            OWNED char *path = memory_print("agents/%s/%s/%s.md", name, TREE_ARCHIVE, file);
            envelope_scan_add(scan, PLACE_ARCHIVE, name, path)->pruned = true;
        }
    }
}

void envelope_scan_drop(struct envelope_scan *scan)
{
    struct copy *copy = &scan->copies[--scan->count];
    free(copy->path);
    free(copy->owner);
    free(copy->fault);
    envelope_free(&copy->envelope);
}

void envelope_scan_free(struct envelope_scan *scan)
{
    while (scan->count > 0)
        envelope_scan_drop(scan);
    free(scan->copies);
    *scan = (struct envelope_scan){0};
}

/* --- copies of one envelope --- */

const char *copy_receiver(const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    if (envelope->kind == KIND_TASK)
        return copy->owner; /* the envelope never travels */
    if (strncmp(envelope->to, "queue:", 6) == 0)
        return envelope->consumer != NULL ? envelope->consumer : "";
    /* The owner that has the envelope or had it to its end: people move envelopes, too. */
    bool has_it = copy_is_live(copy) || (copy->place == PLACE_ARCHIVE && !copy_is_senders(copy));
    return has_it ? copy->owner : envelope->to;
}

bool copy_is_live(const struct copy *copy)
{
    return copy->fault == NULL && (copy->place == PLACE_INBOX || copy->place == PLACE_HANDOFFS);
}

/* An agent's envelope to itself comes to its end in the archive where the sender's copy lies. */
bool copy_is_senders(const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    return copy->place == PLACE_ARCHIVE && strcmp(copy->owner, envelope->from) == 0 &&
           strcmp(envelope->status, "finished") != 0 && strcmp(envelope->status, "read") != 0;
}

int copy_ignorance(const struct copy *copy)
{
    static const int OF_PLACE[PLACE_COUNT] = {
        [PLACE_ARCHIVE] = 0, [PLACE_DEAD_LETTERS] = 1, [PLACE_INBOX] = 2,    [PLACE_HANDOFFS] = 2,
        [PLACE_QUEUE] = 3,   [PLACE_OUTBOX] = 4,       [PLACE_OPERATOR] = 4,
    };
    if (copy->fault != NULL)
        return 6;
    return copy_is_senders(copy) ? 5 : OF_PLACE[copy->place];
}

/* A task's id is its agent's own affair: two agents may have the same. */
static int compare_identity(const struct copy *a, const struct copy *b)
{
    bool task_a = a->envelope.kind == KIND_TASK;
    bool task_b = b->envelope.kind == KIND_TASK;
    int by_id = strcmp(a->envelope.id, b->envelope.id);
    if (by_id != 0 || task_a != task_b)
        return by_id != 0 ? by_id : task_a - task_b;
    return task_a ? strcmp(a->owner, b->owner) : 0;
}

static int compare_copies(const void *left, const void *right)
{
    const struct copy *a = left;
    const struct copy *b = right;
    if (a->fault != NULL || b->fault != NULL) {
        int order = (a->fault != NULL) - (b->fault != NULL);
        return order != 0 ? order : strcmp(a->path, b->path);
    }
    int order = compare_identity(a, b);
    order = order != 0 ? order : copy_ignorance(a) - copy_ignorance(b);
    return order != 0 ? order : strcmp(a->path, b->path);
}

void envelope_scan_group(struct envelope_scan *scan)
{
    MEMORY_SORT(scan->copies, scan->count, compare_copies);
}

size_t envelope_scan_same(const struct envelope_scan *scan, size_t first)
{
    size_t count = 1;
    while (scan->copies[first].fault == NULL && first + count < scan->count &&
           scan->copies[first + count].fault == NULL &&
           compare_identity(&scan->copies[first], &scan->copies[first + count]) == 0)
        count++;
    return count;
}

/* --- for programs --- */

static json_t *time_or_null(int64_t seconds)
{
    char text[CLOCK_TEXT];
    return seconds != 0 ? json_string(clock_format(seconds, text)) : json_null();
}

json_t *copy_json(const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    char created[CLOCK_TEXT];
    bool segment = envelope->kind == KIND_SEGMENT;
    return json_pack("{s:o, s:s, s:o, s:o, s:s, s:I, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
                     "s:o, s:o, s:o, s:o}",
                     "id", utf8_json(envelope->id), "kind", envelope_kind_name(envelope->kind), "from",
                     utf8_json(envelope->from), "to", utf8_json(envelope->to), "created",
                     clock_format(envelope->created, created), "ttl_seconds",
                     (json_int_t)envelope->ttl_seconds, "priority", priority_name(envelope->priority),
                     "status", utf8_json(envelope->status), "attempts", (json_int_t)envelope->attempts,
                     "hops", (json_int_t)envelope->hops, "trace", utf8_json(envelope->trace), "in_reply_to",
                     utf8_json(envelope->in_reply_to), "delivered", time_or_null(envelope->delivered), "read",
                     time_or_null(envelope->read), "finished", time_or_null(envelope->finished), "reason",
                     utf8_json(envelope->reason), "lock", utf8_json(envelope->lock), "consumer",
                     utf8_json(envelope->consumer), "base_version",
                     segment ? json_integer((json_int_t)envelope->base_version) : json_null(), "body",
                     utf8_json(envelope->body), "path", utf8_json(copy->path));
}
