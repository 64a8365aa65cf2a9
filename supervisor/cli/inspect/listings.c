/* What an agent has learned, read from its files: skills, rewards, goals, reflections. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/files.h"
#include "common/format/entries.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/learned.h"
#include "supervisor/reader/skill_decay.h"

/* One state file of an agent: asked where it is, read, taken apart. */
struct listing {
    int folder;       /* owned; -1 none */
    char *agent_path; /* owned; absolute */
    char *text;       /* owned; the whole file as valid UTF-8, "" when there is none */
    const char *file;
    size_t most; /* so many of the newest are listed */
    const struct invocation *invocation;
};

static bool listing_open(struct listing *listing, const struct invocation *invocation, const char *file,
                         int *status)
{
    struct fault fault = {0};
    *listing = (struct listing){.file = file, .folder = -1, .invocation = invocation};
    if (!invocation_newest(invocation, &listing->most, &fault)) {
        output_complain("%s", fault.text);
        *status = EX_USAGE;
        return false;
    }
    listing->folder = data_dir_agent(invocation, invocation->words[0], &listing->agent_path, status);
    if (listing->folder < 0) {
        return false;
    }
    OWNED char *text = NULL;
    size_t length = 0;
    int got = files_read(listing->folder, file, TREE_FILE_MAX, &text, &length, NULL, &fault);
    if (got < 0) {
        output_complain("%s", fault.text);
        *status = EX_DATAERR;
        return false;
    }
    listing->text = got == 0 ? memory_text("") : utf8_clean(text, length);
    return true;
}

static void listing_close(struct listing *listing)
{
    memory_close_at(&listing->folder);
    free(listing->agent_path);
    free(listing->text);
}

static void cell_field(struct table *table, const struct entry *entry, const char *key)
{
    OWNED char *value = entry_get(entry, key);
    table_cell(table, value);
}

static void show_skills(const struct listing *listing, const struct entries *entries)
{
    static const char *const HEADS[] = {"SKILL", ">EVIDENCE", "LAST SUCCESS", "DESCRIPTION"};
    struct table table;
    table_begin(&table, HEADS, 4);
    for (size_t i = 0; i < entries->count; i++) {
        table_cell(&table, entries->items[i].heading);
        cell_field(&table, &entries->items[i], "reward_evidence");
        cell_field(&table, &entries->items[i], "last_success");
        cell_field(&table, &entries->items[i], "description");
    }
    if (entries->count == 0) {
        printf("%s has earned no skill yet.\n", listing->invocation->words[0]);
    } else {
        table_show(&table);
    }
}

static void show_rewards(const struct listing *listing, const struct entries *entries)
{
    static const char *const HEADS[] = {"WHEN", ">REWARD", ">AUDIT", ">TOKENS", "TASK", "REASON"};
    struct table table;
    table_begin(&table, HEADS, 6);
    for (size_t i = entries->count; i-- > 0;) {
        const struct entry *entry = &entries->items[i];
        cell_field(&table, entry, "at");
        cell_field(&table, entry, "reward");
        cell_field(&table, entry, "audit_score");
        cell_field(&table, entry, "tokens");
        table_cell(&table, entry->heading);
        cell_field(&table, entry, "reason");
    }
    if (entries->count == 0) {
        printf("%s has finished no task yet.\n", listing->invocation->words[0]);
    } else {
        table_show(&table);
    }
}

static void show_reflections(const struct listing *listing, const struct entries *entries)
{
    if (entries->count == 0) {
        printf("%s has noted nothing yet.\n", listing->invocation->words[0]);
    }
    for (size_t i = entries->count; i-- > 0;) {
        OWNED char *heading = output_clean(entries->items[i].heading, 0);
        OWNED char *lines = output_clean(entries->items[i].lines, 1);
        printf("%s\n%s", heading, lines);
    }
}

/* The newest stand at the file's end: those before them go. */
static void keep_newest(struct entries *entries, size_t most)
{
    while (entries->count > most) {
        entries_remove(entries, 0);
    }
}

static void show_entries(const struct listing *listing, int level,
                         void (*show)(const struct listing *listing, const struct entries *entries))
{
    struct entries entries = {0};
    entries_parse(&entries, level, listing->text, strlen(listing->text));
    keep_newest(&entries, listing->most);
    show(listing, &entries);
    entries_free(&entries);
}

/* False: the items could not be read, which has been said. */
static bool show_json(const struct listing *listing, enum learned kind)
{
    struct fault fault = {0};
    json_t *items =
        learned_items(listing->folder, listing->invocation->words[0], kind, listing->most, &fault);
    if (items == NULL) {
        output_complain("%s", fault.text);
        return false;
    }
    if (kind == LEARNED_SKILLS) {
        skill_decay_add(listing->invocation->data_dir, listing->invocation->words[0], items);
    }
    output_items(items);
    return true;
}

static int list_entries(const struct invocation *invocation, enum learned kind, int level,
                        void (*show)(const struct listing *listing, const struct entries *entries))
{
    int status = 0;
    struct listing listing;
    if (listing_open(&listing, invocation, learned_file(kind), &status)) {
        if (!invocation_has(invocation, OPTION_JSON)) {
            show_entries(&listing, level, show);
        } else if (!show_json(&listing, kind)) {
            status = EX_DATAERR;
        }
    }
    listing_close(&listing);
    return output_end(status);
}

bool listings_has_skill(int folder)
{
    OWNED char *text = NULL;
    size_t length = 0;
    if (files_read(folder, TREE_SKILLS, TREE_FILE_MAX, &text, &length, NULL, NULL) != 1) {
        return false;
    }
    struct entries entries = {0};
    entries_parse(&entries, 3, text, strlen(text));
    bool has = entries.count > 0;
    entries_free(&entries);
    return has;
}

int verb_skills(struct invocation *invocation)
{
    return list_entries(invocation, LEARNED_SKILLS, 3, show_skills);
}

int verb_rewards(struct invocation *invocation)
{
    return list_entries(invocation, LEARNED_REWARDS, 2, show_rewards);
}

int verb_reflections(struct invocation *invocation)
{
    return list_entries(invocation, LEARNED_REFLECTIONS, 2, show_reflections);
}

static void show_goals(const struct listing *listing)
{
    size_t index = 0;
    const json_t *item = NULL;
    const char *agent = listing->invocation->words[0];
    json_t *items = learned_items(listing->folder, agent, LEARNED_GOALS, listing->most, NULL);
    json_array_foreach(items, index, item)
    {
        OWNED char *clean = output_clean(json_string_value(json_object_get(item, "goal")), 0);
        printf("%s  %s\n", json_is_true(json_object_get(item, "done")) ? "done" : "open", clean);
    }
    if (json_array_size(items) == 0) {
        printf("%s has no goal.\n", agent);
    }
    json_decref(items);
}

int verb_goals(struct invocation *invocation)
{
    int status = 0;
    struct listing listing;
    if (listing_open(&listing, invocation, TREE_GOALS, &status)) {
        if (!invocation_has(invocation, OPTION_JSON)) {
            show_goals(&listing);
        } else if (!show_json(&listing, LEARNED_GOALS)) {
            status = EX_DATAERR;
        }
    }
    listing_close(&listing);
    return output_end(status);
}
