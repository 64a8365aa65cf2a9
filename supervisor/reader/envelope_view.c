#include "supervisor/reader/envelope_view.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/repository/library.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/listings/nodes_merge.h"
#include "supervisor/reader/cost.h"
#include "supervisor/reader/pruned_file.h"

/* The copy that knows most. */
static const struct copy *best_of(const struct envelope_view *view)
{
    return &view->scan.copies[view->first];
}

/* Whether the copy has this id. People may ask by a task's id, whose dead letter has its file's name as id; earlier
 * versions made another one. */
static bool is_called(const struct copy *copy, const char *id)
{
    OWNED char *file = names_file(id), *before = names_file_before(id);
    const char *have = copy->envelope.id;
    return strcmp(have, id) == 0 || strcmp(have, file) == 0 || strcmp(have, before) == 0;
}

/* Two agents may have a dead letter of the same task id; the first is shown. */
static bool find(struct envelope_view *view, const char *id)
{
    for (size_t i = 0; i < view->scan.count; i += view->count) {
        view->first = i;
        view->count = envelope_scan_same(&view->scan, i);
        if (view->scan.copies[i].fault == NULL && is_called(&view->scan.copies[i], id))
            return true;
    }
    return false;
}

/* --- the route --- */

/* The steps that the files tell of beside the commits: the supervisor's steps are in no repository. */
static void add_times(struct envelope_view *view)
{
    const struct copy *copy = best_of(view);
    const struct envelope *envelope = &copy->envelope;
    const char *receiver = copy_receiver(copy);
    bool ended_unread = envelope->read == 0 && envelope->finished != 0;
    struct buffer what OWNED_BUFFER = {0};
    buffer_print(&what, "%s%s%s", ended_unread ? envelope->status : "finished",
                 envelope->reason != NULL ? ": " : "", envelope->reason != NULL ? envelope->reason : "");
    const struct {
        int64_t time;
        const char *who, *what;
        enum step_rank rank;
    } TIMES[] = {
        {envelope->created, envelope->from, "created", RANK_CREATED},
        {envelope->delivered, receiver, "delivered", RANK_DELIVERED},
        {envelope->read, receiver, "read", RANK_READ},
        {envelope->finished, ended_unread && copy->place == PLACE_DEAD_LETTERS ? copy->owner : receiver,
         what.data, RANK_ENDED},
    };
    for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++)
        if (TIMES[i].time != 0)
            envelope_trace_add(&view->route, TIMES[i].time, TIMES[i].who, TIMES[i].what, TIMES[i].rank);
}

static bool is_tree_of(const struct envelope_view *view, const char *name, size_t until)
{
    for (size_t i = 0; i < until; i++)
        if (strcmp(view->scan.copies[view->first + i].owner, name) == 0)
            return true;
    return false;
}

static void add_repository(struct envelope_view *view, const char *agent)
{
    struct fault fault = {0};
    OWNED char *path = memory_print("%s/agents/%s", view->data_dir, agent);
    if (!envelope_trace_read(&view->route, agent, path, best_of(view)->envelope.id, &fault)) {
        OWNED char *sentence = memory_print("%s; its part of the route may be missing", fault.text);
        view->complain(sentence);
    }
}

/* Adds the commits of the trees in which a copy lies, and of the sender's and the receiver's when no copy is left. */
static void add_commits(struct envelope_view *view)
{
    const struct envelope *envelope = &best_of(view)->envelope;
    for (size_t i = 0; i < view->count; i++) {
        const struct copy *copy = &view->scan.copies[view->first + i];
        if (copy->place != PLACE_OPERATOR && copy->place != PLACE_QUEUE && !is_tree_of(view, copy->owner, i))
            add_repository(view, copy->owner);
    }
    const char *ends[] = {envelope->from, copy_receiver(best_of(view))};
    for (size_t i = 0; i < 2; i++) {
        bool again = i == 1 && strcmp(ends[0], ends[1]) == 0;
        OWNED char *path = memory_print("%s/agents/%s/.git", view->data_dir, ends[i]);
        struct stat status;
        if (!again && ends[i][0] != '\0' && strchr(ends[i], ':') == NULL &&
            !is_tree_of(view, ends[i], view->count) && stat(path, &status) == 0)
            add_repository(view, ends[i]);
    }
}

static bool was_dead(const struct envelope_view *view)
{
    for (size_t i = 0; i < view->route.count; i++) {
        const struct step *step = &view->route.steps[i];
        if (step->commit[0] != '\0' && strstr(step->what, TREE_DEAD_LETTERS " (") != NULL)
            return true;
    }
    return false;
}

/* A requeue counts `created` anew, so the file of an envelope that was a dead letter tells when its present life
 * began. */
static void tell_requeue(struct envelope_view *view)
{
    if (best_of(view)->place == PLACE_DEAD_LETTERS || !was_dead(view))
        return;
    for (size_t i = 0; i < view->route.count; i++) {
        struct step *step = &view->route.steps[i];
        if (step->rank == RANK_CREATED) {
            free(step->agent);
            free(step->what);
            step->agent = memory_text("operator");
            step->what = memory_text("given a fresh life (requeued)");
        }
    }
}

/* --- relatives --- */

static bool is_answer(const struct envelope_view *view, const struct copy *copy)
{
    return copy->envelope.in_reply_to != NULL &&
           strcmp(copy->envelope.in_reply_to, best_of(view)->envelope.id) == 0;
}

static bool is_of_trace(const struct envelope_view *view, const struct copy *copy)
{
    return strcmp(copy->envelope.trace, best_of(view)->envelope.trace) == 0 && !is_answer(view, copy);
}

static int by_age(const void *left, const void *right)
{
    const struct envelope *a = &(*(const struct copy *const *)left)->envelope;
    const struct envelope *b = &(*(const struct copy *const *)right)->envelope;
    return a->created != b->created ? (a->created > b->created) - (a->created < b->created)
                                    : strcmp(a->id, b->id);
}

static json_t *item_json(const struct copy *copy, bool for_nodes)
{
    json_t *item = copy_json(copy);
    if (for_nodes)
        json_object_set_new(item, NODES_IGNORANCE, json_integer(copy_ignorance(copy)));
    return item;
}

/* The envelope's relatives, oldest first. */
static json_t *relatives_json(const struct envelope_view *view, bool for_nodes,
                              bool (*belongs)(const struct envelope_view *, const struct copy *))
{
    OWNED const struct copy **found = memory_new(view->scan.count + 1, sizeof(const struct copy *));
    size_t count = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < view->scan.count; i += envelope_scan_same(&view->scan, i)) {
        const struct copy *copy = &view->scan.copies[i];
        if (copy->fault == NULL && i != view->first && belongs(view, copy))
            found[count++] = copy;
    }
    qsort(found, count, sizeof(const struct copy *), by_age);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, item_json(found[i], for_nodes));
    return list;
}

static json_t *route_json(const struct envelope_view *view, bool for_nodes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < view->route.count; i++) {
        const struct step *step = &view->route.steps[i];
        char text[CLOCK_TEXT];
        json_t *object =
            json_pack("{s:s, s:s, s:o, s:s?, s:o}", "time", clock_format(step->time, text), "agent",
                      step->agent, "what", utf8_json(step->what), "commit",
                      step->commit[0] != '\0' ? step->commit : NULL, "subject", utf8_json(step->subject));
        if (for_nodes)
            json_object_set_new(object, NODES_RANK, json_integer(step->rank));
        json_array_append_new(list, object);
    }
    return list;
}

json_t *envelope_view_json(const struct envelope_view *view, bool for_nodes)
{
    json_t *item = item_json(best_of(view), for_nodes);
    json_t *copies = json_array();
    for (size_t i = 0; i < view->count; i++) {
        const struct copy *copy = &view->scan.copies[view->first + i];
        json_array_append_new(copies, json_pack("{s:o, s:s, s:b}", "path", utf8_json(copy->path), "status",
                                                copy->envelope.status, "pruned", (int)copy->pruned));
    }
    json_object_set_new(item, "copies", copies);
    json_object_set_new(item, "route", route_json(view, for_nodes));
    json_object_set_new(item, "answers", relatives_json(view, for_nodes, is_answer));
    json_object_set_new(item, "of_trace", relatives_json(view, for_nodes, is_of_trace));
    json_object_set_new(item, "cost", view->cost != NULL ? json_incref(view->cost) : json_null());
    return item;
}

/* --- the whole --- */

void envelope_view_scan(struct envelope_view *view, const char *id)
{
    envelope_scan_take(&view->scan, view->data_dir, true);
    envelope_scan_find_pruned(&view->scan, view->data_dir, id);
}

bool envelope_view_read(struct envelope_view *view, const char *id)
{
    struct fault fault = {0};
    pruned_file_read_all(&view->scan, view->data_dir);
    envelope_scan_group(&view->scan);
    if (!find(view, id))
        return false;
    add_times(view);
    if (repository_library_start(&fault)) {
        add_commits(view);
        tell_requeue(view);
        view->cost = cost_read(&view->scan, view->data_dir, best_of(view)->envelope.trace, view->complain);
    } else {
        OWNED char *sentence =
            memory_print("%s; the commits and the cost are missing from the route", fault.text);
        view->complain(sentence);
    }
    envelope_trace_sort(&view->route);
    return true;
}

void envelope_view_free(struct envelope_view *view)
{
    json_decref(view->cost);
    envelope_scan_free(&view->scan);
    envelope_trace_free(&view->route);
}
