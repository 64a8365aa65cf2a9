/* The verbs that list: an agent's lessons, envelopes wherever they lie, and the notices in shared/ that every agent
 * may read. Each reads items, shown as JSON to programs and as a table to people. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/inspect/items_table.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/learned.h"
#include "supervisor/listings/nodes_merge.h"
#include "supervisor/listings/notices.h"
#include "supervisor/reader/envelope_choice.h"
#include "supervisor/reader/reading.h"
#include "supervisor/reader/skill_decay.h"

struct request;

struct verb_listing {
    const char *verb;
    int (*read)(struct request *request); /* shows the items, and returns the exit code */
    union {
        enum learned learned;
        const char *notices; /* the folder below DATA_DIR */
        struct {
            unsigned kinds; /* as in struct envelope_choice */
            int place;
            /* For agentos-reader of other nodes; NULL: these are not asked, any kind. */
            const char *read, *kind;
        } envelopes;
    } of;
    const char *nothing; /* the sentence for an empty list, with the agent's name, where it has a %s */
    struct item_column columns[ITEM_COLUMNS_MAX];
    void (*show)(const json_t *items); /* in the place of a table */
};

struct request {
    const struct invocation *invocation;
    const struct verb_listing *listing;
    const char *agent; /* NULL: none was named */
    bool json;
    size_t most;
    struct envelope_choice choice;
    json_t *told; /* by other nodes; NULL: no answer */
};

static void complain(const char *sentence)
{
    output_complain("%s", sentence);
}

/* The items are stolen. */
static void show(const struct request *request, json_t *items)
{
    const struct verb_listing *listing = request->listing;
    if (request->json) {
        output_items(items);
        return;
    }
    if (json_array_size(items) == 0) {
        bool named = strncmp(listing->nothing, "%s", 2) == 0;
        printf("%s%s\n", named ? request->agent : "", listing->nothing + (named ? 2 : 0));
    } else if (listing->show != NULL) {
        listing->show(items);
    } else {
        items_table_show(items, listing->columns);
    }
    json_decref(items);
}

/* --- an agent's lessons --- */

static int read_learned(struct request *request)
{
    int status = 0;
    struct fault fault = {0};
    OWNED char *path = NULL;
    OWNED_FD int folder = data_dir_agent(request->invocation, request->agent, &path, &status);
    if (folder < 0)
        return status;
    enum learned kind = request->listing->of.learned;
    json_t *items = learned_items(folder, request->agent, kind, request->most, &fault);
    if (items == NULL) {
        complain(fault.text);
        return EX_DATAERR;
    }
    if (request->json && kind == LEARNED_SKILLS)
        skill_decay_add(request->invocation->data_dir, request->agent, items);
    show(request, items);
    return EX_OK;
}

static void show_reflections(const json_t *items)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(items, index, item)
    {
        OWNED char *heading = output_clean(json_string_value(json_object_get(item, "task")), 0);
        OWNED char *lines = output_clean(json_string_value(json_object_get(item, "body")), 1);
        printf("%s\n%s", heading, lines);
    }
}

static void show_goals(const json_t *items)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(items, index, item)
    {
        OWNED char *clean = output_clean(json_string_value(json_object_get(item, "goal")), 0);
        printf("%s  %s\n", json_is_true(json_object_get(item, "done")) ? "done" : "open", clean);
    }
}

bool listings_has_skill(int folder)
{
    json_auto_t *items = learned_items(folder, "", LEARNED_SKILLS, SIZE_MAX, NULL);
    return json_array_size(items) > 0;
}

/* --- envelopes --- */

static void looked(size_t files)
{
    output_working("envelopes read", files);
}

static void say_problems(const json_t *page)
{
    size_t index = 0;
    const json_t *problem = NULL;
    json_array_foreach(json_object_get(page, "problems"), index, problem)
    {
        OWNED char *clean = output_clean(json_string_value(problem), 0);
        complain(clean);
    }
}

/* The newest stand at the end. People see the copy's owner, too. */
static int show_envelopes(void *context)
{
    const struct request *request = context;
    const struct envelope_choice *choice = &request->choice;
    const struct nodes_page how = {.once = choice->place == PLACE_COUNT, .most = request->most};
    json_t *found = json_array(), *items = json_array();
    for (size_t i = 0; i < choice->count && i < request->most; i++) {
        json_t *item = copy_json(choice->list[i]);
        json_object_set_new(item, "owner", json_string(choice->list[i]->owner));
        json_object_set_new(item, NODES_IGNORANCE, json_integer(copy_ignorance(choice->list[i])));
        json_array_append_new(found, item);
    }
    json_auto_t *page = json_pack("{s:o}", "items", found);
    nodes_merge_page(page, request->told, &how);
    say_problems(page);
    found = json_object_get(page, "items");
    for (size_t i = json_array_size(found); i-- > 0;) {
        json_t *item = json_array_get(found, i);
        if (request->json)
            json_object_del(item, "owner");
        json_array_append(items, item);
    }
    show(request, items);
    return EX_OK;
}

/* Runs in a confined child, as it reads git. */
static int show_with_git(void *context)
{
    struct request *request = context;
    envelope_choose_pruned(&request->choice);
    return show_envelopes(request);
}

static json_t *ask_nodes(const struct request *request)
{
    size_t limit = request->most < PAGE_ITEMS_MAX ? request->most : PAGE_ITEMS_MAX;
    bool dead = request->listing->of.envelopes.place == PLACE_DEAD_LETTERS;
    return client_nodes(request->invocation,
                        json_pack("{s:s, s:s*, s:s*, s:s*, s:I}", "read", request->listing->of.envelopes.read,
                                  "kind", request->listing->of.envelopes.kind, "place",
                                  dead ? "dead-letters" : NULL, dead ? "owner" : "agent", request->agent,
                                  "limit", (json_int_t)limit));
}

static int read_envelopes(struct request *request)
{
    int status = 0;
    const char *data_dir = request->invocation->data_dir;
    struct envelope_choice *choice = &request->choice;
    int place = request->listing->of.envelopes.place;
    const char *read = request->listing->of.envelopes.read;
    OWNED char *tree = memory_print("%s/agents/%s", data_dir, request->agent != NULL ? request->agent : "");
    bool missing = request->agent != NULL && access(tree, F_OK) != 0;
    OWNED char *elsewhere =
        read != NULL && missing ? data_dir_node(request->invocation, request->agent) : NULL;
    if (!data_dir_has(request->invocation, elsewhere != NULL ? NULL : request->agent, &status))
        return status;
    if (read != NULL)
        request->told = ask_nodes(request);
    *choice = (struct envelope_choice){.data_dir = data_dir,
                                       .agent = place == PLACE_COUNT ? request->agent : NULL,
                                       .owner = place == PLACE_COUNT ? NULL : request->agent,
                                       .kinds = request->listing->of.envelopes.kinds,
                                       .place = place,
                                       .most = request->most,
                                       .complain = complain,
                                       .looked = looked};
    envelope_choose(choice);
    output_working_end();
    for (size_t i = 0; i < choice->owner_count; i++)
        confine_guard(data_dir, choice->owners[i]);
    status = choice->owner_count > 0 ? confine(data_dir, show_with_git, request) : show_envelopes(request);
    envelope_choice_free(choice);
    json_decref(request->told);
    return status;
}

/* --- notices --- */

static int read_notices(struct request *request)
{
    int status = 0;
    if (!data_dir_has(request->invocation, NULL, &status))
        return status;
    OWNED_FD int data = files_open_path(request->invocation->data_dir, NULL);
    show(request, notices_list(data, request->listing->of.notices, complain));
    return EX_OK;
}

/* --- the table --- */

#define MAIL (1u << KIND_MESSAGE | 1u << KIND_RESULT | 1u << KIND_BOUNCE)

#define LISTING(verb_name, what, source, none, ...)                                                          \
    {                                                                                                        \
        .verb = verb_name, .read = read_##what, .of = {source}, .nothing = none, __VA_ARGS__                 \
    }
#define LETTERS(kind_set, lie_in, far_read, far_kind) .envelopes = {kind_set, lie_in, far_read, far_kind}

static const struct verb_listing LISTINGS[] = {
    LISTING("skills", learned, .learned = LEARNED_SKILLS, "%s has earned no skill yet.",
            .columns = {{"SKILL", "name"},
                        {">EVIDENCE", "reward_evidence"},
                        {"LAST SUCCESS", "last_success"},
                        {"DESCRIPTION", "description"}}),
    LISTING("rewards", learned, .learned = LEARNED_REWARDS, "%s has finished no task yet.",
            .columns = {{"WHEN", "at"},
                        {">REWARD", "+reward"},
                        {">AUDIT", "+audit_score"},
                        {">TOKENS", "tokens"},
                        {"TASK", "task"},
                        {"REASON", "reason"}}),
    LISTING("goals", learned, .learned = LEARNED_GOALS, "%s has no goal.", .show = show_goals),
    LISTING("reflections", learned, .learned = LEARNED_REFLECTIONS, "%s has noted nothing yet.",
            .show = show_reflections),
    LISTING("handoffs", envelopes, LETTERS(1u << KIND_HANDOFF, PLACE_COUNT, "envelopes", "handoff"),
            "There are no handoffs yet.",
            .columns = {{"CREATED", "created"},
                        {"ID", "id"},
                        {"FROM", "from"},
                        {"TO", "to"},
                        {"STATUS", "status"},
                        {"PRIORITY", "priority"},
                        {"NODE", "?node"},
                        {"TASK", "~body"}}),
    LISTING("messages", envelopes, LETTERS(MAIL, PLACE_COUNT, "envelopes", "message,result,bounce"),
            "There are no messages.",
            .columns = {{"CREATED", "created"},
                        {"ID", "id"},
                        {"KIND", "kind"},
                        {"FROM", "from"},
                        {"TO", "to"},
                        {"STATUS", "status"},
                        {"NODE", "?node"},
                        {"TEXT", "~body"}}),
    LISTING("dead-letters", envelopes, LETTERS(0, PLACE_DEAD_LETTERS, "envelopes", NULL),
            "There are no dead letters.",
            .columns = {{"CREATED", "created"},
                        {"AGENT", "owner"},
                        {"ID", "id"},
                        {"KIND", "kind"},
                        {"FROM", "from"},
                        {"STATUS", "status"},
                        {"NODE", "?node"},
                        {"REASON", "reason"}}),
    LISTING("queues", envelopes, LETTERS(0, PLACE_QUEUE, "queues", NULL), "No work queue holds anything.",
            .columns = {{"QUEUE", "owner"},
                        {"CREATED", "created"},
                        {"ID", "id"},
                        {"STATUS", "status"},
                        {"CONSUMER", "consumer"},
                        {">ATTEMPTS", "attempts"},
                        {"NODE", "?node"},
                        {"TASK", "~body"}}),
    LISTING("locks", notices, .notices = NOTICES_LOCKS, "No lock was ever taken.",
            .columns = {{"LOCK", "name"},
                        {"HOLDER", "holder"},
                        {"TASK", "task"},
                        {">TOKEN", "token"},
                        {"SINCE", "since"},
                        {"LEASE UNTIL", "lease_until"},
                        {"HOME", "home"},
                        {"WAITERS", "waiters"}}),
    LISTING("segments", notices, .notices = NOTICES_SEGMENTS, "No segment was ever written.",
            .columns = {{"SEGMENT", "name"},
                        {">VERSION", "version"},
                        {"UPDATED", "updated"},
                        {"BY", "by"},
                        {"HOME", "home"}}),
};

int verb_listing(struct invocation *invocation)
{
    struct fault fault = {0};
    struct request request = {.invocation = invocation,
                              .listing = LISTINGS,
                              .agent = invocation->words[0],
                              .json = invocation_has(invocation, OPTION_JSON)};
    while (strcmp(request.listing->verb, invocation->verb->name) != 0)
        request.listing++;
    if (!invocation_newest(invocation, &request.most, &fault)) {
        complain(fault.text);
        return EX_USAGE;
    }
    return output_end(request.listing->read(&request));
}
