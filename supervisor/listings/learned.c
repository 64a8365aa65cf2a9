#include "supervisor/listings/learned.h"

#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/format/entries.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"

/* The source of a list's items, and their agent. */
struct source {
    int folder;
    const char *name, *file;
};

static void set_path(json_t *item, const struct source *source, const char *file)
{
    OWNED char *path = memory_print("agents/%s/%s", source->name, file);
    json_object_set_new(item, "path", utf8_json(path));
}

/* The keys of an entry; '#' before a key that is a number. */
static void set_fields(json_t *item, const struct entry *entry, const char *const *keys)
{
    for (; *keys; keys++) {
        bool number = **keys == '#';
        const char *key = *keys + number;
        OWNED char *value = entry_get(entry, key);
        char *end = NULL;
        long long whole = value ? strtoll(value, &end, 10) : 0;
        bool is_number = number && value && end != value && !*end;
        json_object_set_new(item, key, is_number ? json_integer(whole) : utf8_json(value));
    }
}

static json_t *skill_item(const struct source *source, const struct entry *entry)
{
    static const char *const keys[] = {"description", "#reward_evidence", "last_success", "created", NULL};
    json_t *item = json_pack("{s:o}", "name", utf8_json(entry->heading));
    OWNED char *file = entry_get(entry, "file"), *body = NULL;
    size_t length = 0;
    set_fields(item, entry, keys);
    bool read = file && files_read(source->folder, file, TREE_FILE_MAX, &body, &length, NULL, NULL) == 1;
    json_object_set_new(item, "body", utf8_json(read ? body : NULL));
    set_path(item, source, file ? file : source->file);
    return item;
}

static json_t *reward_item(const struct source *source, const struct entry *entry)
{
    static const char *const keys[] = {"#reward", "#audit_score", "at", "reason", "#tokens", NULL};
    json_t *item = json_pack("{s:o}", "task", utf8_json(entry->heading));
    set_fields(item, entry, keys);
    set_path(item, source, source->file);
    return item;
}

static json_t *reflection_item(const struct source *source, const struct entry *entry)
{
    json_t *item =
        json_pack("{s:o, s:o}", "task", utf8_json(entry->heading), "body", utf8_json(entry->lines));
    set_path(item, source, source->file);
    return item;
}

static const struct {
    const char *file;
    int level;         /* of the headings */
    bool newest_first; /* the file has the newest last */
    json_t *(*item)(const struct source *source, const struct entry *entry);
} kinds[] = {
    [LEARNED_SKILLS] = {TREE_SKILLS, 3, false, skill_item},
    [LEARNED_REWARDS] = {TREE_REWARDS, 2, true, reward_item},
    [LEARNED_GOALS] = {TREE_GOALS, 0, false, NULL},
    [LEARNED_REFLECTIONS] = {TREE_REFLECTIONS, 2, true, reflection_item},
};

/* "- [ ] text" or "- [x] text": the text, and whether it is done. NULL: the line is no goal. */
static const char *goal_in(const char *line, bool *done)
{
    line += strspn(line, " \t");
    if ((line[0] != '-' && line[0] != '*') || line[1] != ' ' || line[2] != '[' || !line[3] || line[4] != ']')
        return NULL;
    *done = line[3] == 'x' || line[3] == 'X';
    line += 5;
    line += strspn(line, " \t");
    return *line ? line : NULL;
}

static json_t *goals_in(const struct source *source, char *text)
{
    json_t *items = json_array();
    char *rest = text;
    for (char *line = strsep(&rest, "\r\n"); line; line = strsep(&rest, "\r\n")) {
        bool done = false;
        const char *goal = goal_in(line, &done);
        if (!goal)
            continue;
        json_t *item = json_pack("{s:o, s:b}", "goal", utf8_json(goal), "done", done);
        set_path(item, source, source->file);
        json_array_append_new(items, item);
    }
    return items;
}

static json_t *entries_in(const struct source *source, enum learned kind, const char *text)
{
    struct entries entries = {0};
    json_t *items = json_array();
    entries_parse(&entries, kinds[kind].level, text, strlen(text));
    for (size_t i = 0; i < entries.count; i++)
        json_array_append_new(items, kinds[kind].item(source, &entries.items[i]));
    entries_free(&entries);
    return items;
}

/* The newest items are at the file's end. */
static json_t *newest(json_t *items, size_t most, bool first)
{
    json_t *chosen = json_array();
    size_t count = json_array_size(items), begin = count > most ? count - most : 0;
    for (size_t i = begin; i < count; i++)
        json_array_append(chosen, json_array_get(items, first ? count - 1 - (i - begin) : i));
    json_decref(items);
    return chosen;
}

json_t *learned_items(int folder, const char *name, enum learned kind, size_t most, struct fault *fault)
{
    const struct source source = {folder, name, kinds[kind].file};
    OWNED char *text = NULL;
    size_t length = 0;
    int got = files_read(folder, source.file, TREE_FILE_MAX, &text, &length, NULL, fault);
    if (got < 0)
        return NULL;
    OWNED char *clean = got ? utf8_clean(text, length) : memory_text("");
    json_t *items = kinds[kind].item ? entries_in(&source, kind, clean) : goals_in(&source, clean);
    return newest(items, most, kinds[kind].newest_first);
}
