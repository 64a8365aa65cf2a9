/* `agentos show`: one envelope, and its whole way through the system. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "supervisor/cli/inspect/cost_table.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/inspect/items_table.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/reader/envelope_view.h"

/* --- for people --- */

static void show_head(const struct envelope_view *view)
{
    const struct copy *copy = envelope_view_best(view);
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
    if (envelope->ttl_seconds > 0)
        printf("expires %s\n", clock_format(envelope->created + envelope->ttl_seconds, expires));
    else
        puts("never expires");
    if (envelope->in_reply_to != NULL) {
        OWNED char *original = output_clean(envelope->in_reply_to, 0);
        printf("  in reply to %s\n", original);
    }
    if (envelope->reason != NULL) {
        OWNED char *reason = output_clean(envelope->reason, 0);
        printf("  reason: %s\n", reason);
    }
}

static void show_route(const struct envelope_view *view)
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

static void show_copies(const struct envelope_view *view)
{
    puts("\nlies in");
    for (size_t i = 0; i < view->count; i++) {
        const struct copy *copy = &view->scan.copies[view->first + i];
        OWNED char *path = output_clean(copy->path, 0);
        OWNED char *status = output_clean(copy->envelope.status, 0);
        printf("  %s (%s%s)\n", path, status, copy->pruned ? "; in git alone" : "");
    }
}

static void show_relatives(const json_t *items, const char *title)
{
    static const struct item_column COLUMNS[ITEM_COLUMNS_MAX] = {
        {"CREATED", "created"}, {"ID", "id"}, {"KIND", "kind"},
        {"FROM", "from"},       {"TO", "to"}, {"STATUS", "status"}};
    if (json_array_size(items) > 0) {
        printf("\n%s\n", title);
        items_table_show(items, COLUMNS);
    }
}

static void show_people(const struct envelope_view *view, const json_t *whole)
{
    const char *body = envelope_view_best(view)->envelope.body;
    OWNED char *text = output_clean(body != NULL ? body : "", 1);
    size_t length = strlen(text);
    show_head(view);
    show_route(view);
    show_copies(view);
    show_relatives(json_object_get(whole, "answers"), "answers");
    show_relatives(json_object_get(whole, "of_trace"), "of the same trace");
    cost_show(&view->cost);
    printf("\ntext\n%s%s", text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

/* A queue's task is no envelope, but somebody who has just given one may ask for it in this way. */
static void complain_unknown(const struct invocation *invocation, const char *id)
{
    OWNED char *agents = memory_print("%s/agents", invocation->data_dir);
    OWNED char *file = names_file(id), *before = names_file_before(id);
    OWNED_FD int folder = files_open_path(agents, NULL);
    OWNED_LISTING struct listing *names = folder < 0 ? NULL : listing_open(folder, ".", NULL);
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
        if (known)
            output_complain("'%s' is no envelope but a task from %s's queue, which is done: its answer is "
                            "%s, and `agentos log %s` tells what came of it",
                            id, name, where, name);
    }
    if (!known)
        output_complain("there is no envelope '%s' below %s", id, invocation->data_dir);
}

/* Each agent that an envelope lies with, once: only their repositories are opened. */
static void guard_owners(const struct envelope_view *view)
{
    OWNED_BUFFER struct buffer known = {0};
    buffer_text(&known, " ");
    for (size_t i = 0; i < view->scan.count; i++) {
        const char *owner = view->scan.copies[i].owner;
        OWNED char *word = memory_print(" %s ", owner);
        if (names_agent(owner) && !strstr(known.data, word)) {
            buffer_print(&known, "%s ", owner);
            confine_guard(view->data_dir, owner);
        }
    }
}

struct request {
    const struct invocation *invocation;
    struct envelope_view view;
};

static int show(void *context)
{
    struct request *request = context;
    const char *id = request->invocation->words[0];
    if (!envelope_view_read(&request->view, id)) {
        complain_unknown(request->invocation, id);
        return EX_NOINPUT;
    }
    json_t *whole = envelope_view_json(&request->view);
    if (invocation_has(request->invocation, OPTION_JSON)) {
        output_json(whole);
    } else {
        show_people(&request->view, whole);
        json_decref(whole);
    }
    return EX_OK;
}

static void complain(const char *sentence)
{
    output_complain("%s", sentence);
}

int verb_show(struct invocation *invocation)
{
    int status = 0;
    struct request request = {.invocation = invocation,
                              .view = {.data_dir = invocation->data_dir, .complain = complain}};
    if (!data_dir_has(invocation, NULL, &status))
        return status;
    envelope_view_scan(&request.view, invocation->words[0]);
    guard_owners(&request.view);
    status = confine(invocation->data_dir, show, &request);
    envelope_view_free(&request.view);
    return output_end(status);
}
