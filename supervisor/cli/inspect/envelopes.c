/* `agentos handoffs`, `messages`, `dead-letters` and `queues`: envelopes, wherever they lie. */
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
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/envelope_scan.h"
#include "supervisor/reader/pruned_file.h"

enum { GIST_CHARACTERS = 60, FILES_LEAST = 64, FILES_MOST = 1000 * 1000 };

/* One listing: which copies it is about, and what people see of them. */
struct catalogue {
    const char *const *heads;
    size_t columns;
    void (*row)(struct table *table, const struct copy *copy);
    bool (*lists)(const struct copy *copy);
    bool every_copy; /* else one row for each envelope: the copy that knows most */
    bool of_owner;   /* with an agent named: what lies with it; else what is from or to it */
    const char *nothing;
};

/* The body's first line with text, cut. */
static void cell_gist(struct table *table, const char *body)
{
    const char *line = body != NULL ? body + strspn(body, " \t\r\n") : "";
    size_t length = strcspn(line, "\r\n");
    size_t cut = 0;
    for (size_t characters = 0; cut < length; cut++) {
        characters += ((unsigned char)line[cut] & 0xC0) != 0x80;
        if (characters > GIST_CHARACTERS) {
            break;
        }
    }
    OWNED char *text = memory_slice(line, cut);
    table_cellf(table, "%s%s", text, cut < length ? "…" : "");
}

static void cell_time(struct table *table, int64_t seconds)
{
    char text[CLOCK_TEXT];
    table_cell(table, clock_format(seconds, text));
}

static void row_letter(struct table *table, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    cell_time(table, envelope->created);
    table_cell(table, envelope->id);
    table_cell(table, envelope->from);
    table_cell(table, envelope->to);
    table_cell(table, envelope->status);
    table_cell(table, priority_name(envelope->priority));
    cell_gist(table, envelope->body);
}

static void row_message(struct table *table, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    cell_time(table, envelope->created);
    table_cell(table, envelope->id);
    table_cell(table, envelope_kind_name(envelope->kind));
    table_cell(table, envelope->from);
    table_cell(table, envelope->to);
    table_cell(table, envelope->status);
    cell_gist(table, envelope->body);
}

static void row_dead(struct table *table, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    cell_time(table, envelope->created);
    table_cell(table, copy->owner);
    table_cell(table, envelope->id);
    table_cell(table, envelope_kind_name(envelope->kind));
    table_cell(table, envelope->from);
    table_cell(table, envelope->status);
    table_cell(table, envelope->reason);
}

static void row_item(struct table *table, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    table_cell(table, copy->owner);
    cell_time(table, envelope->created);
    table_cell(table, envelope->id);
    table_cell(table, envelope->status);
    table_cell(table, envelope->consumer);
    table_cellf(table, "%lld", (long long)envelope->attempts);
    cell_gist(table, envelope->body);
}

static bool is_handoff(const struct copy *copy)
{
    return copy->envelope.kind == KIND_HANDOFF;
}

static bool is_message(const struct copy *copy)
{
    return envelope_kind_has(copy->envelope.kind, KIND_IS_MAIL);
}

static bool is_dead(const struct copy *copy)
{
    return copy->place == PLACE_DEAD_LETTERS;
}

static bool is_queued(const struct copy *copy)
{
    return copy->place == PLACE_QUEUE;
}

static bool concerns(const struct catalogue *catalogue, const struct copy *copy, const char *agent)
{
    if (agent == NULL || strcmp(copy->owner, agent) == 0) {
        return true;
    }
    return !catalogue->of_owner &&
           (strcmp(copy->envelope.from, agent) == 0 || strcmp(copy_receiver(copy), agent) == 0);
}

static int by_age(const void *left, const void *right)
{
    const struct envelope *a = &(*(struct copy *const *)left)->envelope;
    const struct envelope *b = &(*(struct copy *const *)right)->envelope;
    return a->created != b->created ? (a->created > b->created) - (a->created < b->created)
                                    : strcmp(a->id, b->id);
}

/* Borrowed from the scan, oldest first; the caller frees the list. */
static const struct copy **choose(const struct catalogue *catalogue, const struct envelope_scan *scan,
                                  const char *agent, size_t *count)
{
    const struct copy **chosen = memory_new(scan->count + 1, sizeof(const struct copy *));
    *count = 0;
    for (size_t i = 0; i < scan->count; i += catalogue->every_copy ? 1 : envelope_scan_same(scan, i)) {
        const struct copy *copy = &scan->copies[i];
        if (copy->fault == NULL && catalogue->lists(copy) && concerns(catalogue, copy, agent)) {
            chosen[(*count)++] = copy;
        }
    }
    qsort(chosen, *count, sizeof(const struct copy *), by_age);
    return chosen;
}

static void looked(size_t files)
{
    output_working("envelopes read", files);
}

/* The newest `most` of them for certain, and maybe more: so few files are read that they are enough, since a file that was
 * written before an envelope was created is another one's. The files that are asked for grow until they are enough. */
static const struct copy **choose_newest(const struct catalogue *catalogue,
                                         const struct invocation *invocation, size_t most,
                                         struct envelope_scan *scan, size_t *count)
{
    size_t files = 0;
    OWNED int64_t *times = most < SIZE_MAX ? envelope_scan_times(invocation->data_dir, &files) : NULL;
    for (size_t wanted = FILES_LEAST + (most < FILES_MOST ? most * 2 : FILES_MOST);; wanted *= 4) {
        int64_t since = wanted < files ? times[wanted] : 0;
        envelope_scan_since(scan, invocation->data_dir, since, looked);
        envelope_scan_group(scan);
        const struct copy **chosen = choose(catalogue, scan, invocation->words[0], count);
        if (since == 0 || (*count >= most && chosen[*count - most]->envelope.created > since / 1000000000)) {
            output_working_end();
            return chosen;
        }
        free(chosen);
        envelope_scan_free(scan);
    }
}

static void show_json(const struct copy *const *chosen, size_t count)
{
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, copy_json(chosen[i]));
    }
    output_items(items);
}

static void show_table(const struct catalogue *catalogue, const struct copy *const *chosen, size_t count)
{
    struct table table;
    if (count == 0) {
        puts(catalogue->nothing);
        return;
    }
    table_begin(&table, catalogue->heads, catalogue->columns);
    for (size_t i = 0; i < count; i++) {
        catalogue->row(&table, chosen[i]);
    }
    table_show(&table);
}

/* What is to be listed, for a confined child where git is read, too. */
struct listed {
    const struct invocation *invocation;
    const struct catalogue *catalogue;
    struct envelope_scan scan;
    const struct copy **chosen;
    size_t count, most;
    struct buffer owners; /* a line each: the agents of which git alone has some that belong here */
};

static int show_listed(struct listed *listed)
{
    size_t shown =
        listed->count < listed->most ? listed->count : listed->most; /* the newest stand at the end */
    const struct copy *const *first = listed->chosen + listed->count - shown;
    if (invocation_has(listed->invocation, OPTION_JSON)) {
        show_json(first, shown);
    } else {
        show_table(listed->catalogue, first, shown);
    }
    return EX_OK;
}

static int with_git(void *context)
{
    struct listed *listed = context;
    const char *data_dir = listed->invocation->data_dir;
    for (char *rest = listed->owners.data, *owner; (owner = strsep(&rest, "\n")) != NULL && *owner;) {
        struct fault fault = {0};
        if (!pruned_file_list(&listed->scan, data_dir, owner, (struct pruned_range){0, INT64_MAX}, &fault)) {
            output_complain("%s", fault.text);
        }
    }
    envelope_scan_group(&listed->scan);
    free(listed->chosen);
    listed->chosen = choose(listed->catalogue, &listed->scan, listed->invocation->words[0], &listed->count);
    return show_listed(listed);
}

/* Envelopes that left the work tree (`keep`) are older than most that stayed; with -n they are asked for only where they
 * may be among the newest. */
static void find_owners(struct listed *listed)
{
    const char *data_dir = listed->invocation->data_dir;
    int64_t since =
        listed->count < listed->most ? 1 : listed->chosen[listed->count - listed->most]->envelope.created;
    OWNED char *agents = memory_print("%s/agents", data_dir);
    struct listing *names = listing_take(files_open_path(agents, NULL), agents, NULL);
    for (const char *name; names != NULL && (name = listing_next(names)) != NULL;) {
        OWNED_FD int tree =
            names_agent(name) ? files_open_folder(listing_folder(names), name, false, NULL) : -1;
        if (tree >= 0 && pruned_newest(tree) >= since) {
            buffer_print(&listed->owners, "%s\n", name);
            confine_guard(data_dir, name);
        }
    }
    if (names != NULL) {
        (void)listing_close(names, NULL);
    }
}

static int list(const struct invocation *invocation, const struct catalogue *catalogue)
{
    int status = 0;
    struct fault fault = {0};
    const char *agent = invocation->words[0];
    struct listed listed = {.invocation = invocation, .catalogue = catalogue};
    if (!invocation_newest(invocation, &listed.most, &fault)) {
        output_complain("%s", fault.text);
        return EX_USAGE;
    }
    if (!data_dir_has(invocation, agent, &status)) {
        return status;
    }
    listed.chosen = choose_newest(catalogue, invocation, listed.most, &listed.scan, &listed.count);
    if (!catalogue->every_copy) {
        find_owners(&listed);
    }
    status =
        listed.owners.length > 0 ? confine(invocation->data_dir, with_git, &listed) : show_listed(&listed);
    free(listed.chosen);
    buffer_free(&listed.owners);
    envelope_scan_free(&listed.scan);
    return output_end(status);
}

int verb_handoffs(struct invocation *invocation)
{
    static const char *const HEADS[] = {"CREATED", "ID", "FROM", "TO", "STATUS", "PRIORITY", "TASK"};
    static const struct catalogue CATALOGUE = {
        HEADS, 7, row_letter, is_handoff, false, false, "Nothing has been handed over."};
    return list(invocation, &CATALOGUE);
}

int verb_messages(struct invocation *invocation)
{
    static const char *const HEADS[] = {"CREATED", "ID", "KIND", "FROM", "TO", "STATUS", "TEXT"};
    static const struct catalogue CATALOGUE = {
        HEADS, 7, row_message, is_message, false, false, "There are no messages."};
    return list(invocation, &CATALOGUE);
}

int verb_dead_letters(struct invocation *invocation)
{
    static const char *const HEADS[] = {"CREATED", "AGENT", "ID", "KIND", "FROM", "STATUS", "REASON"};
    static const struct catalogue CATALOGUE = {
        HEADS, 7, row_dead, is_dead, true, true, "There are no dead letters."};
    return list(invocation, &CATALOGUE);
}

int verb_queues(struct invocation *invocation)
{
    static const char *const HEADS[] = {"QUEUE", "CREATED", "ID", "STATUS", "CONSUMER", ">ATTEMPTS", "TASK"};
    static const struct catalogue CATALOGUE = {
        HEADS, 7, row_item, is_queued, true, true, "No work queue holds anything."};
    return list(invocation, &CATALOGUE);
}
