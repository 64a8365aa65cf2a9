#include "supervisor/reader/envelope_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/listings/nodes_merge.h"
#include "supervisor/reader/envelope_choice.h"
#include "supervisor/reader/envelope_view.h"

#define QUEUES "shared/queues"

enum {
    HEAD_BYTES = 800,    /* of an item besides its body, about */
    LONG_TEXT = 4,       /* a body that takes more than one such part of an answer is left out */
    RELATIVES_MAX = 100, /* relatives that are told to other nodes */
};

static const char *const places[PLACE_COUNT] = {
    [PLACE_OPERATOR] = "operator",
    [PLACE_OUTBOX] = "outbox",
    [PLACE_QUEUE] = "queue",
    [PLACE_INBOX] = "inbox",
    [PLACE_HANDOFFS] = "handoffs",
    [PLACE_ARCHIVE] = "archive",
    [PLACE_DEAD_LETTERS] = "dead-letters",
};

static json_t *item_of(const struct copy *copy)
{
    json_t *item = copy_json(copy);
    json_object_set_new(item, "owner", json_string(copy->owner));
    json_object_set_new(item, "place", json_string(places[copy->place]));
    return item;
}

/* An answer for other nodes goes over the bus, in one message. */
static size_t bytes_wanted(const struct reading *reading)
{
    return reading_count(reading, "bytes", PAGE_BYTES_MAX, PAGE_BYTES_MAX);
}

static json_t *page_of(const struct reading *reading, const struct envelope_choice *choice)
{
    json_t *items = json_array();
    size_t bytes = 0, taken = 0, most = bytes_wanted(reading);
    while (taken < choice->count && taken < choice->most && bytes < most) {
        const struct copy *copy = choice->list[taken++];
        json_t *item = item_of(copy);
        size_t length = json_string_length(json_object_get(item, "body"));
        if (length > most / LONG_TEXT)
            json_object_set_new(item, "body", json_null());
        else
            bytes += length;
        bytes += HEAD_BYTES;
        if (reading_for_nodes(reading))
            json_object_set_new(item, NODES_IGNORANCE, json_integer(copy_ignorance(copy)));
        json_array_append_new(items, item);
    }
    OWNED char *next = NULL;
    if (taken < choice->count && taken > 0) {
        struct envelope_mark last = envelope_mark_of(choice->list[taken - 1]);
        next = memory_print("%" PRId64 "/%s/%s", last.created, last.owner, last.id);
    }
    return json_pack("{s:o, s:s?}", "items", items, "next", next);
}

/* "SECONDS/OWNER/ID", cut into its parts in place. */
static bool read_mark(char *text, struct envelope_mark *mark)
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

/* A kind, or several with commas between them; NULL: any. */
static bool read_kinds(const char *names, unsigned *kinds)
{
    while (names) {
        unsigned before = *kinds;
        size_t length = strcspn(names, ",");
        for (int kind = KIND_HANDOFF; kind <= KIND_SEGMENT; kind++) {
            const char *name = envelope_kind_name((enum envelope_kind)kind);
            if (strlen(name) == length && strncmp(names, name, length) == 0)
                *kinds |= 1u << kind;
        }
        if (*kinds == before)
            return false;
        names = names[length] ? names + length + 1 : NULL;
    }
    return true;
}

static int list(const struct reading *reading, struct envelope_choice *choice, json_t **answer,
                struct fault *fault)
{
    struct envelope_mark mark;
    OWNED char *cursor = memory_text(reading_text(reading, "cursor"));
    if (cursor && !read_mark(cursor, &mark))
        return fault_set(fault, "cursor is `next` of the page before"), EX_USAGE;
    choice->data_dir = reading->data_dir;
    choice->complain = reading->complain;
    choice->most = reading_count(reading, "limit", PAGE_ITEMS, PAGE_ITEMS_MAX);
    choice->after = cursor ? &mark : NULL;
    envelope_choose(choice);
    envelope_choose_pruned(choice);
    *answer = page_of(reading, choice);
    envelope_choice_free(choice);
    return EX_OK;
}

int envelope_page(const struct reading *reading, json_t **answer, struct fault *fault)
{
    struct envelope_choice choice = {.agent = reading_text(reading, "agent"),
                                     .owner = reading_text(reading, "owner"),
                                     .status = reading_text(reading, "status")};
    if (!read_place(reading_text(reading, "place"), &choice.place))
        fault_set(fault, "place is operator, outbox, queue, inbox, handoffs, archive or dead-letters");
    else if (!read_kinds(reading_text(reading, "kind"), &choice.kinds))
        fault_set(fault,
                  "kind is handoff, message, result, bounce, item, task or segment, or several of them with "
                  "commas");
    else
        return list(reading, &choice, answer, fault);
    return EX_USAGE;
}

/* --- queues --- */

static json_int_t items_in(const struct reading *reading, const char *queue)
{
    OWNED char *path = memory_print(QUEUES "/%s", queue);
    OWNED_LISTING struct listing *names = listing_open(reading->data, path, NULL);
    json_int_t count = 0;
    for (const char *name; names && (name = listing_next(names));)
        count += names_work(name);
    return count;
}

static json_t *queues(const struct reading *reading)
{
    json_t *list = json_array();
    size_t count = 0;
    OWNED_LISTING struct listing *folders = listing_open(reading->data, QUEUES, NULL);
    char **names = folders ? listing_sorted(folders, &count) : NULL;
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
    struct envelope_choice choice = {.owner = reading_text(reading, "queue"), .place = PLACE_QUEUE};
    int status = list(reading, &choice, answer, fault);
    if (status == EX_OK)
        json_object_set_new(*answer, "queues", queues(reading));
    return status;
}

/* --- one envelope --- */

/* Bounds a list of relatives: past a number of bytes the texts are left out; a list that goes over the bus keeps only
 * its oldest items. */
static void bound(const struct reading *reading, json_t *view, const char *list)
{
    bool goes_far = json_object_get(reading->request, "bytes") != NULL;
    size_t index, bytes = 0, most = bytes_wanted(reading) / (goes_far ? LONG_TEXT : 1);
    json_t *item, *items = json_object_get(view, list);
    size_t count = json_array_size(items), kept = goes_far && count > RELATIVES_MAX ? RELATIVES_MAX : count;
    if (kept < count) {
        OWNED char *sentence = memory_print("%zu more of its %s are not told", count - kept,
                                            strcmp(list, "answers") == 0 ? "answers" : "trace's envelopes");
        reading->complain(sentence);
    }
    while (json_array_size(items) > kept)
        json_array_remove(items, json_array_size(items) - 1);
    json_array_foreach(items, index, item)
    {
        bytes += json_string_length(json_object_get(item, "body"));
        if (bytes > most)
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
        *answer = envelope_view_json(&view, reading_for_nodes(reading));
        bound(reading, *answer, "answers");
        bound(reading, *answer, "of_trace");
    } else {
        fault_set(fault, "there is no envelope of this id");
    }
    envelope_view_free(&view);
    return found ? EX_OK : EX_NOINPUT;
}
