/* `agentos show`: an envelope, and its whole way through the system. */
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
#include "common/printable.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "supervisor/cli/inspect/cost_table.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/inspect/items_table.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/nodes_merge.h"
#include "supervisor/reader/envelope_view.h"

/* --- for people --- */

/* The object's text, cleaned; "": it has no such text. Caller frees. */
static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return output_clean(text != NULL ? text : "", 0);
}

static void show_text(const json_t *whole, const char *key, const char *what)
{
    OWNED char *text = text_of(whole, key);
    if (text[0] != '\0')
        printf("  %s %s\n", what, text);
}

static void show_head(const json_t *whole)
{
    char expires[CLOCK_TEXT];
    int64_t created = 0;
    long long ttl = (long long)json_integer_value(json_object_get(whole, "ttl_seconds"));
    OWNED char *id = text_of(whole, "id"), *kind = text_of(whole, "kind"), *from = text_of(whole, "from");
    OWNED char *to = text_of(whole, "to"), *consumer = text_of(whole, "consumer"),
               *node = text_of(whole, "node");
    OWNED char *status = text_of(whole, "status"), *priority = text_of(whole, "priority");
    OWNED char *trace = text_of(whole, "trace"), *moment = text_of(whole, "created");
    printf("%s %s\n  from %s to %s%s%s%s%s: %s\n", kind, id, from, to,
           consumer[0] != '\0' ? ", given to " : "", consumer, node[0] != '\0' ? ", on node " : "", node,
           status);
    printf("  priority %s, attempts %lld, hops %lld, trace %s, ", priority,
           (long long)json_integer_value(json_object_get(whole, "attempts")),
           (long long)json_integer_value(json_object_get(whole, "hops")), trace);
    if (ttl > 0 && clock_parse(moment, &created) && ttl < INT64_MAX - created)
        printf("expires %s\n", clock_format(created + ttl, expires));
    else
        puts("never expires");
    show_text(whole, "in_reply_to", "in reply to");
    show_text(whole, "reason", "reason:");
    show_text(whole, "lock", "lock:");
}

static void show_route(const json_t *route)
{
    static const char *const HEADS[] = {"WHEN", "WHERE", "COMMIT", "WHAT"};
    struct table table;
    size_t index = 0;
    const json_t *step = NULL;
    puts("\nroute");
    table_begin(&table, HEADS, 4);
    json_array_foreach(route, index, step)
    {
        OWNED char *time = text_of(step, "time"), *agent = text_of(step, "agent"),
                   *node = text_of(step, "node");
        OWNED char *commit = text_of(step, "commit"), *subject = text_of(step, "subject"),
                   *what = text_of(step, "what");
        table_cell(&table, time);
        table_cellf(&table, "%s%s%s", agent, node[0] != '\0' ? " on " : "", node);
        table_cellf(&table, "%.7s", commit[0] != '\0' ? commit : "-");
        table_cellf(&table, "%s%s%s", subject, subject[0] != '\0' && what[0] != '\0' ? ": " : "", what);
    }
    table_show(&table);
}

static void show_copies(const json_t *copies)
{
    size_t index = 0;
    const json_t *copy = NULL;
    puts("\nlies in");
    json_array_foreach(copies, index, copy)
    {
        OWNED char *path = text_of(copy, "path"), *status = text_of(copy, "status"),
                   *node = text_of(copy, "node");
        bool pruned = json_is_true(json_object_get(copy, "pruned"));
        printf("  %s (%s%s%s%s)\n", path, status, pruned ? "; in git alone" : "",
               node[0] != '\0' ? "; on node " : "", node);
    }
}

static void show_relatives(const json_t *items, const char *title)
{
    static const struct item_column COLUMNS[ITEM_COLUMNS_MAX] = {
        {"CREATED", "created"}, {"ID", "id"},      {"KIND", "kind"},    {"FROM", "from"},
        {"TO", "to"},           {"NODE", "?node"}, {"STATUS", "status"}};
    if (json_array_size(items) > 0) {
        printf("\n%s\n", title);
        items_table_show(items, COLUMNS);
    }
}

static void show_people(const json_t *whole)
{
    const char *body = json_string_value(json_object_get(whole, "body"));
    OWNED char *text = output_clean(body != NULL ? body : "", 1);
    size_t length = strlen(text);
    show_head(whole);
    show_route(json_object_get(whole, "route"));
    show_copies(json_object_get(whole, "copies"));
    show_relatives(json_object_get(whole, "answers"), "answers");
    show_relatives(json_object_get(whole, "of_trace"), "of the same trace");
    cost_show(json_object_get(whole, "cost"));
    printf("\ntext\n%s%s", text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

/* A queue's task is no envelope, but somebody who has just given a task may ask for it in this way. */
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
        OWNED char *word = printable_word(id);
        OWNED char *where = is_now || is_old ? memory_print("%s/%s", agents, is_now ? path : old)
                                             : memory_print("shown by `agentos answer %s %s`", name, word);
        if (known)
            output_complain("'%s' is no envelope but a task from %s's queue, which is done: its answer is "
                            "%s, and `agentos log %s` tells what came of it",
                            id, name, where, name);
    }
    if (!known)
        output_complain("there is no envelope '%s' below %s", id, invocation->data_dir);
}

/* Guards each agent that the envelope lies with, once: only their repositories are opened. */
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
    json_t *told; /* by other nodes; NULL: no answer */
};

static void complain(const char *sentence)
{
    OWNED char *clean = output_clean(sentence, 0);
    output_complain("%s", clean);
}

static int show(void *context)
{
    struct request *request = context;
    const char *id = request->invocation->words[0];
    size_t index = 0;
    const json_t *problem = NULL;
    bool here = envelope_view_read(&request->view, id);
    json_auto_t *whole =
        nodes_merge_envelope(here ? envelope_view_json(&request->view, true) : NULL, request->told);
    const json_t *problems = json_object_get(whole != NULL ? whole : request->told, "problems");
    json_array_foreach(problems, index, problem) if (json_is_string(problem))
        complain(json_string_value(problem));
    json_object_del(whole, "problems");
    if (whole == NULL) {
        complain_unknown(request->invocation, id);
        return EX_NOINPUT;
    }
    if (invocation_has(request->invocation, OPTION_JSON))
        output_json(json_incref(whole));
    else
        show_people(whole);
    return EX_OK;
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
    request.told =
        client_nodes(invocation, json_pack("{s:s, s:s}", "read", "envelope", "id", invocation->words[0]));
    status = confine(invocation->data_dir, show, &request);
    json_decref(request.told);
    envelope_view_free(&request.view);
    return output_end(status);
}
