/* `agentos handoffs`, `messages`, `dead-letters` and `queues`: envelopes, wherever they lie. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/envelope_scan.h"

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

static int list(const struct invocation *invocation, const struct catalogue *catalogue)
{
    int status = 0;
    size_t count = 0;
    size_t most = 0;
    struct fault fault = {0};
    const char *agent = invocation->words[0];
    if (!invocation_newest(invocation, &most, &fault)) {
        output_complain("%s", fault.text);
        return EX_USAGE;
    }
    if (!data_dir_has(invocation, agent, &status)) {
        return status;
    }
    struct envelope_scan scan;
    const struct copy **chosen = choose_newest(catalogue, invocation, most, &scan, &count);
    size_t shown = count < most ? count : most; /* the newest stand at the end */
    if (invocation_has(invocation, OPTION_JSON)) {
        show_json(chosen + count - shown, shown);
    } else {
        show_table(catalogue, chosen + count - shown, shown);
    }
    free(chosen);
    envelope_scan_free(&scan);
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
