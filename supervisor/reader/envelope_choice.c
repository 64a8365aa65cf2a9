#include "supervisor/reader/envelope_choice.h"

#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "supervisor/reader/pruned_file.h"

enum { FILES_LEAST = 256, FILES_GROWTH = 8 };

static const int64_t SECOND_NS = 1000 * 1000 * 1000;

struct envelope_mark envelope_mark_of(const struct copy *copy)
{
    return (struct envelope_mark){copy->envelope.created, copy->owner, copy->envelope.id};
}

/* The newest first, within a second by the ids: they begin with a time, too. */
static int compare_marks(const struct envelope_mark *a, const struct envelope_mark *b)
{
    if (a->created != b->created)
        return a->created < b->created ? 1 : -1;
    int order = strcmp(b->id, a->id);
    return order ? order : strcmp(a->owner, b->owner);
}

static int by_mark(const void *left, const void *right)
{
    struct envelope_mark a = envelope_mark_of(*(struct copy *const *)left),
                         b = envelope_mark_of(*(struct copy *const *)right);
    return compare_marks(&a, &b);
}

static bool is_from_or_to(const struct copy *copy, const char *agent)
{
    return strcmp(copy->owner, agent) == 0 || strcmp(copy->envelope.from, agent) == 0 ||
           strcmp(copy_receiver(copy), agent) == 0;
}

static bool is_chosen(const struct envelope_choice *choice, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    if (copy->fault || (choice->place != PLACE_COUNT && (int)copy->place != choice->place) ||
        (choice->owner && strcmp(choice->owner, copy->owner) != 0) ||
        (choice->agent && !is_from_or_to(copy, choice->agent)) ||
        (choice->kinds && !(choice->kinds & 1u << envelope->kind)) ||
        (choice->status && strcmp(choice->status, envelope->status) != 0))
        return false;
    struct envelope_mark here = envelope_mark_of(copy);
    return !choice->after || compare_marks(choice->after, &here) < 0;
}

static void choose(struct envelope_choice *choice)
{
    const struct envelope_scan *scan = &choice->scan;
    size_t step = 1;
    free(choice->list);
    choice->list = memory_new(scan->count + 1, sizeof *choice->list);
    choice->count = 0;
    for (size_t i = 0; i < scan->count; i += step) {
        step = choice->place == PLACE_COUNT ? envelope_scan_same(scan, i) : 1;
        if (is_chosen(choice, &scan->copies[i]))
            choice->list[choice->count++] = &scan->copies[i];
    }
    qsort(choice->list, choice->count, sizeof *choice->list, by_mark);
}

/* When the envelope behind the last wanted one was created, once both are found. 0: they are not. */
static int64_t enough_at(const struct envelope_choice *choice)
{
    return choice->count > choice->most ? choice->list[choice->most]->envelope.created : 0;
}

static size_t files_wanted(const struct envelope_choice *choice)
{
    return choice->most < SIZE_MAX / 4 ? FILES_LEAST + choice->most * 2 : SIZE_MAX;
}

/* A file is no older than its envelope, so the newest files have the newest envelopes: the reading stops when the
 * first unread file is older than the last wanted envelope. */
static void choose_newest(struct envelope_choice *choice)
{
    size_t files = 0, wanted = files_wanted(choice);
    OWNED int64_t *times = wanted < SIZE_MAX ? envelope_scan_times(choice->data_dir, &files) : NULL;
    for (;; wanted *= FILES_GROWTH) {
        int64_t since = wanted < files ? times[wanted] : 0;
        envelope_scan_since(&choice->scan, choice->data_dir, since, choice->looked);
        envelope_scan_group(&choice->scan);
        choose(choice);
        if (since == 0 || enough_at(choice) > since / SECOND_NS)
            return;
        envelope_scan_free(&choice->scan);
    }
}

/* --- envelopes in git alone --- */

static void add_time(void *context, const struct pruned *record)
{
    struct envelope_choice *choice = context;
    if (record->created <= 0 || record->created < enough_at(choice) ||
        (choice->after && record->created > choice->after->created))
        return;
    *MEMORY_ADD(choice->pruned, choice->pruned_count) = record->created;
}

static void find_owners(struct envelope_choice *choice)
{
    OWNED char *agents = memory_print("%s/agents", choice->data_dir);
    OWNED_LISTING struct listing *folders = listing_take(files_open_path(agents, NULL), agents, NULL);
    choice->owners = folders ? listing_sorted(folders, &choice->owner_count) : NULL;
    size_t kept = 0;
    for (size_t i = 0; i < choice->owner_count; i++) {
        char *name = choice->owners[i];
        size_t before = choice->pruned_count;
        OWNED_FD int tree =
            names_agent(name) ? files_open_folder(listing_folder(folders), name, false, NULL) : -1;
        if (tree >= 0)
            pruned_each(tree, add_time, choice);
        if (choice->pruned_count > before)
            choice->owners[kept++] = name;
        else
            free(name);
    }
    choice->owner_count = kept;
    MEMORY_SORT(choice->pruned, choice->pruned_count, envelope_scan_newest_first);
}

void envelope_choose(struct envelope_choice *choice)
{
    choose_newest(choice);
    if (choice->place == PLACE_COUNT || choice->place == PLACE_ARCHIVE)
        find_owners(choice);
}

/* The reading stops when every unread envelope is older than the last wanted one. */
void envelope_choose_pruned(struct envelope_choice *choice)
{
    size_t wanted = files_wanted(choice);
    int64_t since = 0, until = choice->after ? choice->after->created : INT64_MAX;
    while (choice->owner_count > 0 && since != 1 && enough_at(choice) <= until) {
        since = wanted < choice->pruned_count ? choice->pruned[wanted] : 1;
        since = since > enough_at(choice) ? since : enough_at(choice);
        for (size_t i = 0; i < choice->owner_count; i++) {
            struct fault fault = {0};
            if (!pruned_file_list(&choice->scan, choice->data_dir, choice->owners[i],
                                  (struct pruned_range){since, until}, &fault))
                choice->complain(fault.text);
        }
        envelope_scan_group(&choice->scan);
        choose(choice);
        until = since - 1;
        wanted *= FILES_GROWTH;
    }
}

void envelope_choice_free(struct envelope_choice *choice)
{
    for (size_t i = 0; i < choice->owner_count; i++)
        free(choice->owners[i]);
    free(choice->owners);
    free(choice->pruned);
    free(choice->list);
    envelope_scan_free(&choice->scan);
}
