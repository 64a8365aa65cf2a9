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

/* The path below DATA_DIR, as the contract's listings have it. */
static json_t *path_below(const struct listing *listing, const char *file)
{
    const char *path = listing->agent_path;
    size_t length = strlen(listing->invocation->data_dir);
    if (strncmp(path, listing->invocation->data_dir, length) == 0 && path[length] == '/') {
        path += length + 1;
    }
    return json_sprintf("%s/%s", path, file);
}

static json_t *json_clean(const char *text)
{
    OWNED char *clean = text != NULL ? utf8_clean(text, strlen(text)) : NULL;
    return clean != NULL ? json_string(clean) : json_null();
}

static void set_field(json_t *item, const struct entry *entry, const char *key, bool number)
{
    OWNED char *value = entry_get(entry, key);
    char *end = NULL;
    long long whole = value != NULL ? strtoll(value, &end, 10) : 0;
    bool is_number = number && value != NULL && end != value && *end == '\0';
    json_object_set_new(item, key, is_number ? json_integer(whole) : json_clean(value));
}

static void set_fields(json_t *item, const struct entry *entry, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        bool number = (*keys)[0] == '#';
        set_field(item, entry, *keys + (number ? 1 : 0), number);
    }
}

static void cell_field(struct table *table, const struct entry *entry, const char *key)
{
    OWNED char *value = entry_get(entry, key);
    table_cell(table, value);
}

static json_t *skill_item(const struct listing *listing, const struct entry *entry)
{
    static const char *const KEYS[] = {"description", "#reward_evidence", "last_success", "created", NULL};
    json_t *item = json_pack("{s:o}", "name", json_clean(entry->heading));
    set_fields(item, entry, KEYS);
    OWNED char *file = entry_get(entry, "file");
    OWNED char *body = NULL;
    size_t length = 0;
    if (file != NULL && files_read(listing->folder, file, TREE_FILE_MAX, &body, &length, NULL, NULL) == 1) {
        json_object_set_new(item, "body", json_clean(body));
    } else {
        json_object_set_new(item, "body", json_null());
    }
    json_object_set_new(item, "path", path_below(listing, file != NULL ? file : TREE_SKILLS));
    return item;
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

static json_t *reward_item(const struct listing *listing, const struct entry *entry)
{
    static const char *const KEYS[] = {"#reward", "#audit_score", "at", "reason", "#tokens", NULL};
    json_t *item = json_pack("{s:o}", "task", json_clean(entry->heading));
    set_fields(item, entry, KEYS);
    json_object_set_new(item, "path", path_below(listing, listing->file));
    return item;
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

static json_t *reflection_item(const struct listing *listing, const struct entry *entry)
{
    json_t *item =
        json_pack("{s:o, s:o}", "task", json_clean(entry->heading), "body", json_clean(entry->lines));
    json_object_set_new(item, "path", path_below(listing, listing->file));
    return item;
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

/* How one file of entries is listed. */
struct listing_kind {
    const char *file;
    int level;
    bool newest_first; /* the file has the newest last */
    json_t *(*item)(const struct listing *listing, const struct entry *entry);
    void (*show)(const struct listing *listing, const struct entries *entries);
};

static void list_json(const struct listing_kind *kind, const struct listing *listing,
                      const struct entries *entries)
{
    json_t *items = json_array();
    for (size_t i = 0; i < entries->count; i++) {
        size_t at = kind->newest_first ? entries->count - 1 - i : i;
        json_array_append_new(items, kind->item(listing, &entries->items[at]));
    }
    output_items(items);
}

/* The newest stand at the file's end: those before them go. */
static void keep_newest(struct entries *entries, size_t most)
{
    while (entries->count > most) {
        entries_remove(entries, 0);
    }
}

static int list_entries(const struct invocation *invocation, const struct listing_kind *kind)
{
    int status = 0;
    struct listing listing;
    if (listing_open(&listing, invocation, kind->file, &status)) {
        struct entries entries = {0};
        entries_parse(&entries, kind->level, listing.text, strlen(listing.text));
        keep_newest(&entries, listing.most);
        if (invocation_has(invocation, OPTION_JSON)) {
            list_json(kind, &listing, &entries);
        } else {
            kind->show(&listing, &entries);
        }
        entries_free(&entries);
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
    static const struct listing_kind KIND = {TREE_SKILLS, 3, false, skill_item, show_skills};
    return list_entries(invocation, &KIND);
}

int verb_rewards(struct invocation *invocation)
{
    static const struct listing_kind KIND = {TREE_REWARDS, 2, true, reward_item, show_rewards};
    return list_entries(invocation, &KIND);
}

int verb_reflections(struct invocation *invocation)
{
    static const struct listing_kind KIND = {TREE_REFLECTIONS, 2, true, reflection_item, show_reflections};
    return list_entries(invocation, &KIND);
}

/* "- [ ] text" or "- [x] text": the text, and whether it is done. NULL: another line. */
static const char *goal_text(const char *line, bool *done)
{
    line += strspn(line, " \t");
    if ((line[0] != '-' && line[0] != '*') || line[1] != ' ' || line[2] != '[' || line[3] == '\0' ||
        line[4] != ']') {
        return NULL;
    }
    *done = line[3] == 'x' || line[3] == 'X';
    line += 5;
    return line + strspn(line, " \t");
}

static void list_goal(const struct listing *listing, const char *text, bool done, json_t *items)
{
    if (items != NULL) {
        json_array_append_new(items, json_pack("{s:o, s:b, s:o}", "goal", json_clean(text), "done", done,
                                               "path", path_below(listing, listing->file)));
        return;
    }
    OWNED char *clean = output_clean(text, 0);
    printf("%s  %s\n", done ? "done" : "open", clean);
}

/* How many lines of the text are goals. */
static size_t count_goals(const char *text)
{
    size_t count = 0;
    OWNED char *copy = memory_text(text);
    char *rest = copy;
    for (char *line = strsep(&rest, "\r\n"); line != NULL; line = strsep(&rest, "\r\n")) {
        bool done = false;
        const char *goal = goal_text(line, &done);
        count += goal != NULL && goal[0] != '\0';
    }
    return count;
}

static void list_goals(struct listing *listing, json_t *items)
{
    size_t count = count_goals(listing->text), left_out = count > listing->most ? count - listing->most : 0;
    char *rest = listing->text;
    for (char *line = strsep(&rest, "\r\n"); line != NULL; line = strsep(&rest, "\r\n")) {
        bool done = false;
        const char *text = goal_text(line, &done);
        if (text == NULL || text[0] == '\0') {
            continue;
        }
        if (left_out > 0) {
            left_out--;
        } else {
            list_goal(listing, text, done, items);
        }
    }
    if (items == NULL && count == 0) {
        printf("%s has no goal.\n", listing->invocation->words[0]);
    }
}

int verb_goals(struct invocation *invocation)
{
    int status = 0;
    struct listing listing;
    if (listing_open(&listing, invocation, TREE_GOALS, &status)) {
        json_t *items = invocation_has(invocation, OPTION_JSON) ? json_array() : NULL;
        list_goals(&listing, items);
        if (items != NULL) {
            output_items(items);
        }
    }
    listing_close(&listing);
    return output_end(status);
}
