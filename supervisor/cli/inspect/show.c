/* `agentos show`: one envelope, and its whole way through the system. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/repository/library.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/cli/inspect/cost.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/envelope_trace.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/inspect/pruned_file.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/envelope_scan.h"

struct view {
    const struct invocation *invocation;
    struct envelope_scan scan; /* grouped */
    size_t first, count;       /* the envelope's copies */
    struct envelope_trace route;
    struct cost cost; /* of the whole trace */
};

static const struct copy *best(const struct view *view)
{
    return &view->scan.copies[view->first];
}

/* Two agents may have a dead letter of the same task id; then the first is shown. */
static bool find(struct view *view, const char *id)
{
    for (size_t i = 0; i < view->scan.count; i += view->count) {
        view->first = i;
        view->count = envelope_scan_same(&view->scan, i);
        if (view->scan.copies[i].fault == NULL && strcmp(view->scan.copies[i].envelope.id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* --- the route --- */

/* What the files know beside the commits: the supervisor's steps are in no repository. */
static void add_times(struct view *view)
{
    const struct copy *copy = best(view);
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
    for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
        if (TIMES[i].time != 0) {
            envelope_trace_add(&view->route, TIMES[i].time, TIMES[i].who, TIMES[i].what, TIMES[i].rank);
        }
    }
}

static bool is_tree_of(const struct view *view, const char *name, size_t until)
{
    for (size_t i = 0; i < until; i++) {
        if (strcmp(view->scan.copies[view->first + i].owner, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_repository(struct view *view, const char *agent)
{
    struct fault fault = {0};
    OWNED char *path = memory_print("%s/agents/%s", view->invocation->data_dir, agent);
    if (!envelope_trace_read(&view->route, agent, path, best(view)->envelope.id, &fault)) {
        output_complain("%s; its part of the route may be missing", fault.text);
    }
}

/* The trees in which a copy lies, and the sender's and the receiver's when none does any more. */
static void add_commits(struct view *view)
{
    const struct envelope *envelope = &best(view)->envelope;
    for (size_t i = 0; i < view->count; i++) {
        const struct copy *copy = &view->scan.copies[view->first + i];
        if (copy->place != PLACE_OPERATOR && copy->place != PLACE_QUEUE &&
            !is_tree_of(view, copy->owner, i)) {
            add_repository(view, copy->owner);
        }
    }
    const char *ends[] = {envelope->from, copy_receiver(best(view))};
    for (size_t i = 0; i < 2; i++) {
        bool again = i == 1 && strcmp(ends[0], ends[1]) == 0;
        OWNED char *path = memory_print("%s/agents/%s/.git", view->invocation->data_dir, ends[i]);
        struct stat status;
        if (!again && ends[i][0] != '\0' && strchr(ends[i], ':') == NULL &&
            !is_tree_of(view, ends[i], view->count) && stat(path, &status) == 0) {
            add_repository(view, ends[i]);
        }
    }
}

/* --- what belongs to it --- */

static bool is_answer(const struct view *view, const struct copy *copy)
{
    return copy->envelope.in_reply_to != NULL &&
           strcmp(copy->envelope.in_reply_to, best(view)->envelope.id) == 0;
}

static bool is_of_trace(const struct view *view, const struct copy *copy)
{
    return strcmp(copy->envelope.trace, best(view)->envelope.trace) == 0 && !is_answer(view, copy);
}

static int by_age(const void *left, const void *right)
{
    const struct envelope *a = &(*(const struct copy *const *)left)->envelope;
    const struct envelope *b = &(*(const struct copy *const *)right)->envelope;
    return a->created != b->created ? (a->created > b->created) - (a->created < b->created)
                                    : strcmp(a->id, b->id);
}

/* The others that belong, oldest first; borrowed, the caller frees the list. */
static const struct copy **relatives(const struct view *view,
                                     bool (*belongs)(const struct view *, const struct copy *), size_t *count)
{
    const struct copy **found = memory_new(view->scan.count + 1, sizeof(const struct copy *));
    *count = 0;
    for (size_t i = 0; i < view->scan.count; i += envelope_scan_same(&view->scan, i)) {
        const struct copy *copy = &view->scan.copies[i];
        if (copy->fault == NULL && i != view->first && belongs(view, copy)) {
            found[(*count)++] = copy;
        }
    }
    qsort(found, *count, sizeof(const struct copy *), by_age);
    return found;
}

/* --- for people --- */

static void show_head(const struct view *view)
{
    const struct copy *copy = best(view);
    const struct envelope *envelope = &copy->envelope;
    char expires[CLOCK_TEXT];
    OWNED char *status = output_clean(envelope->status, 0);
    OWNED char *trace = output_clean(envelope->trace, 0);
    OWNED char *id = output_clean(envelope->id, 0);
    printf("%s %s\n", envelope_kind_name(envelope->kind), id);
    printf("  from %s to %s%s%s: %s\n", envelope->from, envelope->to,
           envelope->consumer != NULL ? ", given to " : "",
           envelope->consumer != NULL ? envelope->consumer : "", status);
    printf("  priority %s, attempts %lld, hops %lld, trace %s, ", priority_name(envelope->priority),
           (long long)envelope->attempts, (long long)envelope->hops, trace);
    if (envelope->ttl_seconds > 0) {
        printf("expires %s\n", clock_format(envelope->created + envelope->ttl_seconds, expires));
    } else {
        puts("never expires");
    }
    if (envelope->in_reply_to != NULL) {
        OWNED char *original = output_clean(envelope->in_reply_to, 0);
        printf("  in reply to %s\n", original);
    }
    if (envelope->reason != NULL) {
        OWNED char *reason = output_clean(envelope->reason, 0);
        printf("  reason: %s\n", reason);
    }
}

static void show_route(const struct view *view)
{
    static const char *const HEADS[] = {"WHEN", "WHERE", "COMMIT", "WHAT"};
    struct table table;
    puts("\nroute");
    table_begin(&table, HEADS, 4);
    for (size_t i = 0; i < view->route.count; i++) {
        const struct step *step = &view->route.steps[i];
        char text[CLOCK_TEXT];
        table_cell(&table, clock_format(step->time, text));
        table_cell(&table, step->agent);
        table_cellf(&table, "%.7s", step->commit[0] != '\0' ? step->commit : "-");
        table_cellf(&table, "%s%s%s", step->subject != NULL ? step->subject : "",
                    step->subject != NULL && step->what[0] != '\0' ? ": " : "", step->what);
    }
    table_show(&table);
}

static void show_copies(const struct view *view)
{
    puts("\nlies in");
    for (size_t i = 0; i < view->count; i++) {
        const struct copy *copy = &view->scan.copies[view->first + i];
        OWNED char *path = output_clean(copy->path, 0);
        OWNED char *status = output_clean(copy->envelope.status, 0);
        printf("  %s (%s%s)\n", path, status, copy->pruned ? "; in git alone" : "");
    }
}

static void show_relatives(const struct view *view, const char *title,
                           bool (*belongs)(const struct view *, const struct copy *))
{
    static const char *const HEADS[] = {"CREATED", "ID", "KIND", "FROM", "TO", "STATUS"};
    size_t count = 0;
    struct table table;
    char text[CLOCK_TEXT];
    const struct copy **found = relatives(view, belongs, &count);
    if (count > 0) {
        printf("\n%s\n", title);
        table_begin(&table, HEADS, 6);
        for (size_t i = 0; i < count; i++) {
            const struct envelope *envelope = &found[i]->envelope;
            table_cell(&table, clock_format(envelope->created, text));
            table_cell(&table, envelope->id);
            table_cell(&table, envelope_kind_name(envelope->kind));
            table_cell(&table, envelope->from);
            table_cell(&table, envelope->to);
            table_cell(&table, envelope->status);
        }
        table_show(&table);
    }
    free(found);
}

static void show_people(const struct view *view)
{
    const char *body = best(view)->envelope.body;
    OWNED char *text = output_clean(body != NULL ? body : "", 1);
    size_t length = strlen(text);
    show_head(view);
    show_route(view);
    show_copies(view);
    show_relatives(view, "answers", is_answer);
    show_relatives(view, "of the same trace", is_of_trace);
    cost_show(&view->cost);
    printf("\ntext\n%s%s", text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

/* --- for programs --- */

static json_t *relatives_json(const struct view *view,
                              bool (*belongs)(const struct view *, const struct copy *))
{
    size_t count = 0;
    json_t *list = json_array();
    const struct copy **found = relatives(view, belongs, &count);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, copy_json(found[i]));
    }
    free(found);
    return list;
}

static json_t *route_json(const struct view *view)
{
    json_t *list = json_array();
    for (size_t i = 0; i < view->route.count; i++) {
        const struct step *step = &view->route.steps[i];
        char text[CLOCK_TEXT];
        OWNED char *subject = step->subject != NULL ? utf8_clean(step->subject, strlen(step->subject)) : NULL;
        OWNED char *what = utf8_clean(step->what, strlen(step->what));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "time", clock_format(step->time, text),
                                        "agent", step->agent, "what", what, "commit",
                                        step->commit[0] != '\0' ? step->commit : NULL, "subject", subject));
    }
    return list;
}

static void show_json(const struct view *view)
{
    json_t *item = copy_json(best(view));
    json_t *copies = json_array();
    for (size_t i = 0; i < view->count; i++) {
        const struct copy *copy = &view->scan.copies[view->first + i];
        OWNED char *path = utf8_clean(copy->path, strlen(copy->path));
        json_array_append_new(copies, json_pack("{s:s, s:s}", "path", path, "status", copy->envelope.status));
    }
    json_object_set_new(item, "copies", copies);
    json_object_set_new(item, "route", route_json(view));
    json_object_set_new(item, "answers", relatives_json(view, is_answer));
    json_object_set_new(item, "of_trace", relatives_json(view, is_of_trace));
    json_object_set_new(item, "cost", view->cost.trace != NULL ? cost_json(&view->cost) : json_null());
    output_json(item);
}

/* A queue's task is no envelope, but somebody who has just given one may ask for it in this way. */
static void complain_unknown(const struct invocation *invocation, const char *id)
{
    OWNED char *agents = memory_print("%s/agents", invocation->data_dir);
    OWNED char *file = names_file(id), *before = names_file_before(id);
    OWNED_FD int folder = files_open_path(agents, NULL);
    struct listing *names = folder < 0 ? NULL : listing_open(folder, ".", NULL);
    bool known = false;
    for (const char *name; names != NULL && !known && (name = listing_next(names)) != NULL;) {
        OWNED char *path = memory_print("%s/%s/%s.md", name, TREE_OUTPUTS, file);
        OWNED char *old = memory_print("%s/%s/%s.md", name, TREE_OUTPUTS, before);
        OWNED_FD int tree = names_agent(name) ? files_open_folder(folder, name, false, NULL) : -1;
        struct pruned pruned;
        bool is_now = faccessat(folder, path, F_OK, 0) == 0;
        bool is_old = faccessat(folder, old, F_OK, 0) == 0;
        known = is_now || is_old || (tree >= 0 && pruned_find(tree, TREE_OUTPUTS, file, &pruned));
        OWNED char *where = is_now || is_old ? memory_print("%s/%s", agents, is_now ? path : old)
                                             : memory_print("what `agentos answer %s %s` shows", name, id);
        if (known) {
            output_complain("'%s' is no envelope but a task from %s's queue, which is done: its answer is "
                            "%s, and `agentos log %s` tells what came of it",
                            id, name, where, name);
        }
    }
    if (names != NULL) {
        (void)listing_close(names, NULL);
    }
    if (!known) {
        output_complain("there is no envelope '%s' below %s", id, invocation->data_dir);
    }
}

/* Each agent that an envelope lies with, once: only their repositories are opened. */
static void guard_owners(const struct view *view)
{
    OWNED_BUFFER struct buffer known = {0};
    buffer_text(&known, " ");
    for (size_t i = 0; i < view->scan.count; i++) {
        const char *owner = view->scan.copies[i].owner;
        OWNED char *word = memory_print(" %s ", owner);
        if (names_agent(owner) && !strstr(known.data, word)) {
            buffer_print(&known, "%s ", owner);
            confine_guard(view->invocation->data_dir, owner);
        }
    }
}

static int show(void *context)
{
    struct view *view = context;
    struct fault fault = {0};
    const char *id = view->invocation->words[0];
    pruned_file_read_all(&view->scan, view->invocation->data_dir);
    envelope_scan_group(&view->scan);
    if (!find(view, id)) {
        complain_unknown(view->invocation, id);
        return EX_NOINPUT;
    }
    add_times(view);
    if (repository_library_start(&fault)) {
        add_commits(view);
        cost_read(&view->cost, &view->scan, view->invocation->data_dir, best(view)->envelope.trace);
    } else {
        output_complain("%s; the commits are missing from the route, and what it cost", fault.text);
    }
    envelope_trace_sort(&view->route);
    if (invocation_has(view->invocation, OPTION_JSON)) {
        show_json(view);
    } else {
        show_people(view);
    }
    return EX_OK;
}

int verb_show(struct invocation *invocation)
{
    int status = 0;
    struct view view = {.invocation = invocation};
    if (!data_dir_has(invocation, NULL, &status)) {
        return status;
    }
    envelope_scan_take(&view.scan, invocation->data_dir, true);
    envelope_scan_find_pruned(&view.scan, invocation->data_dir, invocation->words[0]);
    guard_owners(&view);
    status = confine(invocation->data_dir, show, &view);
    cost_free(&view.cost);
    envelope_scan_free(&view.scan);
    envelope_trace_free(&view.route);
    return output_end(status);
}
