#include "worker/memory/skills.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/format/markdown.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/memory/learning.h"

const char skills_preamble[] =
    "# Skills\n\nAt most 20, each earned by a task with reward +1; their texts lie under skills/.\n";

enum {
    SKILL_READ_MAX = SKILL_BODY_MAX + SKILL_BODY_MAX / 2,
    GRAIN_MS = 20,
    FOLDER_FILES_MAX = 256,
    LOOKS = 3
};

static void skill_free(struct skill *skill)
{
    free(skill->path);
    free(skill->body);
    word_set_free(&skill->head);
    word_set_free(&skill->words);
}

uint64_t skills_hash(const char *text, size_t length)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

void skills_shown_forget(struct skills *skills, size_t first)
{
    while (skills->shown_count > first)
        free(skills->shown[--skills->shown_count].name);
    for (size_t i = 0; i < first; i++) /* the line that said so may be among the lines that went */
        skills->shown[i].over = false;
    size_t end = first ? skills->shown[first - 1].end : 0;
    OWNED char *kept = memory_slice(skills->stays.data ? skills->stays.data : "", end);
    buffer_free(&skills->stays);
    buffer_add(&skills->stays, kept, end);
    if (first == 0) {
        free(skills->shown);
        skills->shown = NULL;
        skills->prompts = 0;
    }
}

void skills_free(struct skills *skills)
{
    for (size_t i = 0; i < skills->entries.count; i++)
        skill_free(&skills->beside[i]);
    free(skills->beside);
    entries_free(&skills->entries);
    buffer_free(&skills->news);
    skills_shown_forget(skills, 0);
    buffer_free(&skills->stays);
    *skills = (struct skills){0};
}

/* skills/NAME/…, every part of it made of harmless characters and none of them "..". */
static bool below_skills(const char *path)
{
    const char *rest = path + strlen(TREE_SKILL_FOLDER "/");
    return strncmp(path, TREE_SKILL_FOLDER "/", strlen(TREE_SKILL_FOLDER "/")) == 0 && *rest &&
           strlen(path) < 256 && !strstr(path, "..") && !strstr(path, "//") &&
           path[strlen(path) - 1] != '/' &&
           strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(path);
}

static char *path_of(const struct entry *entry)
{
    char *path = entry_get(entry, "file");
    if (path && below_skills(path))
        return path;
    free(path);
    return names_skill(entry->heading) ? memory_print(TREE_SKILL_FOLDER "/%s/SKILL.md", entry->heading)
                                       : NULL;
}

static void describe(struct skill *skill, const struct entry *entry)
{
    size_t length;
    const char *description = entry_value(entry, "description", &length);
    skill->path = path_of(entry);
    word_set_add(&skill->head, entry->heading, strlen(entry->heading));
    if (description)
        word_set_add(&skill->head, description, length);
}

void skills_parse(struct skills *skills, const char *text, size_t length)
{
    struct buffer news = skills->news;
    skills->news = (struct buffer){0};
    skills_free(skills);
    skills->news = news;
    skills->unsettled = true;
    entries_parse(&skills->entries, 3, text, length);
    skills->beside = memory_new(skills->entries.count, sizeof *skills->beside);
    for (size_t i = 0; i < skills->entries.count; i++)
        describe(&skills->beside[i], &skills->entries.items[i]);
}

static struct entry *append(struct skills *skills, const char *name)
{
    struct entry *entry = entries_append(&skills->entries, name);
    skills->beside = memory_grow(skills->beside, skills->entries.count, sizeof *skills->beside);
    skills->beside[skills->entries.count - 1] = (struct skill){0};
    return entry;
}

static void set_time(struct entry *entry, const char *key, int64_t seconds)
{
    char text[CLOCK_TEXT];
    entry_set(entry, key, clock_format(seconds, text));
}

/* The text of the skill's file. */
static void take_text(struct skill *skill, const char *text, size_t length)
{
    OWNED char *clean =
        utf8_valid(text, length) && !memchr(text, '\0', length) ? NULL : utf8_clean(text, length);
    size_t body_length = clean ? strlen(clean) : length;
    const char *body = markdown_body(clean ? clean : text, &body_length);
    skill->body = memory_slice(body, body_length);
    skill->says = skills_hash(body, body_length);
    word_set_add(&skill->words, body, body_length);
}

static void read_body(struct skill *skill, int tree)
{
    char *text;
    size_t length;
    free(skill->body);
    skill->body = NULL;
    skill->says = 0;
    word_set_free(&skill->words);
    int read = files_read(tree, skill->path, SKILL_READ_MAX, &text, &length, &skill->stamp, NULL);
    skill->fresh = clock_now_ms() - skill->stamp.changed_ns / 1000000 < GRAIN_MS;
    skill->trouble = read < 0 ? "can't be read as a text of at most 96 KiB" : read == 0 ? "is missing" : NULL;
    if (read <= 0)
        return;
    OWNED char *raw = text;
    if (markdown_conflict(raw, length, false))
        skill->trouble = "has the conflict marks of a merge (<<<<<<<)";
    else
        take_text(skill, raw, length);
}

void skill_look_again(struct skill *skill, int tree)
{
    if (!skill->path || skill->coming)
        return;
    struct file_stamp stamp = files_stamp_at(tree, skill->path);
    if (skill->fresh || !files_stamp_equal(&stamp, &skill->stamp))
        read_body(skill, tree);
}

/* A person's skill folder: its line in skills.md is made of the front matter. */
static void adopt(struct skills *skills, int tree, const char *name)
{
    char *text;
    size_t length;
    OWNED char *path = memory_print(TREE_SKILL_FOLDER "/%s/SKILL.md", name);
    int read = files_read(tree, path, SKILL_READ_MAX, &text, &length, NULL, NULL);
    if (read < 0 && !files_lasting(errno))
        skills->folder_fresh = true;
    if (read <= 0)
        return;
    OWNED char *raw = text;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    const char *description = NULL;
    bool parsed = utf8_valid(raw, length) && frontmatter_parse(&matter, raw, length, path, NULL);
    if (parsed)
        description = frontmatter_text(&matter, "description");
    struct entry *entry = append(skills, name);
    entry_set(entry, "description", description ? description : "Added by hand.");
    entry_set(entry, "reward_evidence", "1");
    set_time(entry, "created", clock_now());
    entry_set(entry, "file", path);
    describe(&skills->beside[skills->entries.count - 1], entry);
    buffer_print(&skills->news, "skill taken up: %s (somebody added %s)\n", name, path);
}

static void look_for_new(struct skills *skills, int tree, const struct file_stamp *list)
{
    struct stat status;
    if (fstatat(tree, TREE_SKILL_FOLDER, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    struct file_stamp folder = files_stamp(&status);
    if (!skills->folder_fresh && files_stamp_equal(&folder, &skills->folder))
        return;
    skills->folder = folder;
    skills->folder_fresh = clock_now_ms() - folder.changed_ns / 1000000 < GRAIN_MS;
    struct listing *names = listing_open(tree, TREE_SKILL_FOLDER, NULL);
    const char *name;
    bool none = skills->entries.count ==
                0; /* an empty list is as bootstrap makes it beside skills that came before */
    for (int seen = 0; names && (name = listing_next(names)) && seen < 10000; seen++) {
        if (!names_skill(name) || entries_find(&skills->entries, name) || skills->entries.count >= SKILLS_MAX)
            continue;
        OWNED char *path = memory_print(TREE_SKILL_FOLDER "/%s/SKILL.md", name);
        struct file_stamp stamp = files_stamp_at(tree, path);
        if (stamp.inode && (none || stamp.changed_ns > list->changed_ns))
            adopt(skills, tree, name);
    }
    if (!names || !listing_close(names, NULL))
        skills->folder_fresh = true; /* looked into again */
}

void skills_look(struct skills *skills, int tree, const struct file_stamp *list)
{
    look_for_new(skills, tree, list);
    size_t count = skills->entries.count;
    for (size_t i = 0; i < count; i++) {
        struct skill *skill = &skills->beside[i];
        bool read = skill->body && skill->stamp.inode;
        if (skill->path && !read && !skill->trouble && !skill->coming)
            read_body(skill, tree);
    }
    for (size_t i = 0; i < LOOKS && count; i++)
        skill_look_again(&skills->beside[skills->turn++ % count], tree);
}

void skills_report(const struct skills *skills, int64_t now, struct buffer *problems)
{
    const struct entries *entries = &skills->entries;
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->items[i];
        const struct skill *skill = &skills->beside[i];
        int64_t last;
        if (!skill->path)
            buffer_print(problems,
                         "%s: \"%.80s\" is no name for a skill (a-z 0-9 -, at most 64) and has no file\n",
                         TREE_SKILLS, entry->heading);
        else if (skill->trouble)
            buffer_print(problems, "%s %s; the skill is known by its line in %s alone\n", skill->path,
                         skill->trouble, TREE_SKILLS);
        const char *date = entry_time(entry, "last_success", &last) ? "last_success" : "created";
        if (entry_time(entry, date, &last) && last > now + 60)
            buffer_print(problems, "%s: %s of \"%.80s\" lies in the future and counts as now\n", TREE_SKILLS,
                         date, entry->heading);
        for (size_t j = 0; j < i; j++)
            if (strcmp(entries->items[j].heading, entry->heading) == 0) {
                buffer_print(problems, "%s has \"%.80s\" twice; successes count for the first\n", TREE_SKILLS,
                             entry->heading);
                break;
            }
    }
}

struct skill_standing skills_standing(const struct entry *entry, int64_t now, double halflife_days)
{
    int64_t evidence = 1, last = now;
    if (!entry_integer(entry, "reward_evidence", &evidence))
        evidence = 1;
    if (!entry_time(entry, "last_success", &last) && !entry_time(entry, "created", &last))
        last = now;
    struct skill_standing standing = {
        .evidence = evidence > 0 ? (double)evidence : 0,
        .days = last < now ? (double)(now - last) / 86400 : 0,
    };
    double halflife = halflife_days > 1e-6 ? halflife_days : 1e-6;
    double decay = exp2(-standing.days / halflife);
    standing.score = standing.days <= halflife ? standing.evidence * decay : decay;
    return standing;
}

/* All files below the folder go; git keeps no folders. False: more files may lie there. */
static bool remove_folder(int tree, const char *path, unsigned depth, size_t *left,
                          struct change_list *changes)
{
    struct listing *names = listing_open(tree, path, NULL);
    if (!names)
        return errno == ENOENT || files_lasting(errno);
    bool whole = true;
    for (const char *name; *left && (name = listing_next(names));) {
        struct stat status;
        if (fstatat(listing_folder(names), name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            whole = whole && errno == ENOENT;
            continue;
        }
        OWNED char *below = memory_print("%s/%s", path, name);
        --*left;
        if (S_ISREG(status.st_mode))
            change_list_add(changes, CHANGE_REMOVE, below, NULL, 0);
        else if (S_ISDIR(status.st_mode) && depth < 8)
            whole = remove_folder(tree, below, depth + 1, left, changes) && whole;
    }
    return listing_close(names, NULL) && whole;
}

static bool is_removed(const struct change_list *changes, const char *path)
{
    for (size_t i = 0; i < changes->count; i++)
        if (strcmp(changes->items[i].path, path) == 0)
            return true;
    return false;
}

static void remove_text(const struct skills *skills, size_t index, int tree, struct change_list *changes)
{
    const char *path = skills->beside[index].path;
    for (size_t i = 0; path && i < skills->entries.count; i++)
        if (i != index && skills->beside[i].path && strcmp(path, skills->beside[i].path) == 0)
            return; /* another line has the same text */
    if (!path)
        return;
    OWNED char *own = memory_print(TREE_SKILL_FOLDER "/%s/SKILL.md", skills->entries.items[index].heading);
    size_t left = FOLDER_FILES_MAX;
    if (strcmp(own, path) == 0) {
        own[strlen(own) - strlen("/SKILL.md")] = '\0';
        if (!remove_folder(tree, own, 0, &left, changes) && !is_removed(changes, path))
            change_list_add(changes, CHANGE_REMOVE, path, NULL, 0); /* the rest of it is nobody's skill */
    } else if (files_stamp_at(tree, path).inode) {
        change_list_add(changes, CHANGE_REMOVE, path, NULL, 0);
    }
}

static void drop(struct skills *skills, size_t index)
{
    skill_free(&skills->beside[index]);
    entries_remove(&skills->entries, index);
    memmove(&skills->beside[index], &skills->beside[index + 1],
            (skills->entries.count - index) * sizeof *skills->beside);
}

/* The skill with the lowest score; of equal ones the skill whose success lies longer back; of these the first by
 * name. */
static size_t lowest(const struct skills *skills, int64_t now, double halflife_days)
{
    size_t worst = 0;
    struct skill_standing least = {0};
    for (size_t i = 0; i < skills->entries.count; i++) {
        const struct entry *entry = &skills->entries.items[i];
        struct skill_standing standing = skills_standing(entry, now, halflife_days);
        bool lower = standing.score < least.score;
        if (standing.score <= least.score && !lower)
            lower = standing.days > least.days ||
                    (standing.days >= least.days &&
                     strcmp(entry->heading, skills->entries.items[worst].heading) < 0);
        if (i == 0 || lower) {
            worst = i;
            least = standing;
        }
    }
    return worst;
}

/* The name of the last that went; NULL: none had to. Caller frees. */
static char *prune(struct skills *skills, int tree, size_t limit, int64_t now, double halflife_days,
                   struct change_list *changes, struct buffer *note)
{
    char *gone = NULL;
    while (skills->entries.count > limit) {
        size_t index = lowest(skills, now, halflife_days);
        struct skill_standing standing = skills_standing(&skills->entries.items[index], now, halflife_days);
        buffer_print(note,
                     "skill pruned: %s (score %.2f, the lowest: evidence %.0f, %.1f days since its last "
                     "success, half-life %g)\n",
                     skills->entries.items[index].heading, standing.score, standing.evidence, standing.days,
                     halflife_days);
        remove_text(skills, index, tree, changes);
        memory_set(&gone, skills->entries.items[index].heading);
        drop(skills, index);
    }
    return gone;
}

/* A text that is known by evidence isn't changed by a success that names it: the evidence would count for other words.
 * The author of the other words is told. A text that can't be read, or is still to be written, is compared with
 * none. */
static void tell_unused(struct skills *skills, int tree, const struct entry *entry,
                        const struct skill_success *success, struct buffer *note, struct buffer *faults)
{
    struct skill *skill = &skills->beside[entry - skills->entries.items];
    OWNED char *known = entry_get(entry, "description");
    if (success->description && known && strcmp(success->description, known) != 0)
        buffer_print(note, "description not changed: %s\n", success->name);
    skill_look_again(skill, tree);
    if (!success->body || !skill->body)
        return;
    const char *new = success->body, *old = skill->body;
    size_t new_length = strlen(new), old_length = strlen(old);
    markdown_trim(&new, &new_length);
    markdown_trim(&old, &old_length);
    if (new_length == old_length && memcmp(new, old, new_length) == 0)
        return;
    buffer_print(note, "text not changed: %s\n", success->name);
    buffer_print(faults, "%sthe skill \"%s\" is known: its text stays as it is, and the new one was not used",
                 faults->length ? "; " : "", success->name);
}

static void strengthen(struct entry *entry, const struct skill_success *success, struct buffer *note)
{
    if (success->disputed) {
        buffer_print(note, "skill not strengthened: %s (the audit disputes the reward)\n", success->name);
        return;
    }
    int64_t evidence = 1;
    if (!entry_integer(entry, "reward_evidence", &evidence) || evidence < 0)
        evidence = 1;
    OWNED char *number = memory_print("%" PRId64, evidence < INT32_MAX ? evidence + 1 : evidence);
    entry_set(entry, "reward_evidence", number);
    set_time(entry, "last_success", success->now);
    buffer_print(note, "skill strengthened: %s (%s)\n", success->name, number);
}

/* The next prompt may show it before its file is in place. */
static void write_text(struct skill *skill, const struct skill_success *success, const char *description,
                       struct change_list *changes)
{
    OWNED_BUFFER struct buffer text = {0};
    const char *body = success->body ? success->body : description;
    size_t length = strlen(body);
    buffer_text(&text, "---\n");
    yaml_write_text(&text, "name", success->name);
    yaml_write_text(&text, "description", description);
    buffer_text(&text, "---\n\n");
    markdown_trim(&body, &length);
    buffer_add(&text, body, utf8_cut(body, length, SKILL_BODY_MAX));
    buffer_add(&text, "\n", 1);
    change_list_add(changes, CHANGE_WRITE, skill->path, text.data, text.length);
    take_text(skill, text.data, text.length);
    skill->coming = true;
}

static void earn(struct skills *skills, const struct skill_success *success, struct change_list *changes,
                 struct buffer *note)
{
    const char *text = success->description ? success->description : success->name;
    OWNED char *description = memory_slice(text, utf8_cut(text, strlen(text), SKILL_DESCRIPTION_MAX));
    for (char *c = description; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    OWNED char *path = memory_print(TREE_SKILL_FOLDER "/%s/SKILL.md", success->name);
    struct entry *entry = append(skills, success->name);
    entry_set(entry, "description", description);
    entry_set(entry, "reward_evidence", success->disputed ? "0" : "1");
    if (success->disputed)
        entry_set(entry, "last_success", "none");
    else
        set_time(entry, "last_success", success->now);
    set_time(entry, "created", success->now);
    entry_set(entry, "file", path);
    struct skill *skill = &skills->beside[skills->entries.count - 1];
    describe(skill, entry);
    write_text(skill, success, description, changes);
    buffer_print(note, "skill earned: %s%s\n", success->name,
                 success->disputed ? " (without evidence: the audit disputes the reward)" : "");
}

char *skills_succeed(struct skills *skills, int tree, const struct skill_success *success,
                     struct change_list *changes, struct buffer *note, struct buffer *faults)
{
    struct entry *known = entries_find(&skills->entries, success->name);
    if (!known && !success->description && !success->body) {
        buffer_print(note, "skill not kept: %s (no such skill is known, and it says nothing of a new one)\n",
                     success->name);
        return NULL;
    }
    if (known) {
        strengthen(known, success, note);
        tell_unused(skills, tree, known, success, note, faults);
        return NULL;
    }
    if (success->disputed && skills->entries.count >= SKILLS_MAX) {
        buffer_print(note, "skill not kept: %s (the audit disputes the reward, and all places are taken)\n",
                     success->name);
        return NULL;
    }
    char *gone = prune(skills, tree, SKILLS_MAX - 1, success->now, success->halflife_days, changes, note);
    earn(skills, success, changes, note);
    return gone;
}

char *skills_last_success(struct skills *skills, const char *name)
{
    const struct entry *entry = entries_find(&skills->entries, name);
    char *at = entry ? entry_get(entry, "last_success") : NULL;
    return at ? at : memory_text("none");
}

enum skill_left skills_take_back(struct skills *skills, const char *name, const char *at, const char *before,
                                 struct buffer *note)
{
    struct entry *entry = entries_find(&skills->entries, name);
    if (!entry)
        return SKILL_GONE;
    int64_t evidence = 1, then, last_time;
    /* Gone already: rolled back, or taken out by a person. */
    if (!clock_parse(at, &then) || !entry_time(entry, "last_success", &last_time) || last_time < then)
        return SKILL_UNTOUCHED;
    if (!entry_integer(entry, "reward_evidence", &evidence) || evidence < 1)
        evidence = 1;
    OWNED char *number = memory_print("%" PRId64, evidence - 1), *last = entry_get(entry, "last_success");
    entry_set(entry, "reward_evidence", number);
    if (last && strcmp(last, at) == 0)
        entry_set(entry, "last_success", before);
    buffer_print(note, "skill weakened: %s (%s; the audit disputes a reward)\n", name, number);
    return evidence > 1 ? SKILL_WEAKENED : SKILL_UNPROVEN;
}

bool skills_bring_back(struct skills *skills, int tree, const struct entry *past, const char *instead,
                       int64_t now, double halflife_days, struct change_list *changes, struct buffer *note)
{
    if (entries_find(&skills->entries, past->heading))
        return false;
    struct entry *entry = append(skills, past->heading);
    size_t last = skills->entries.count - 1;
    memory_set(&entry->lines, past->lines);
    describe(&skills->beside[last], entry);
    skills->beside[last].coming = true;
    if (skills->entries.count > SKILLS_MAX && lowest(skills, now, halflife_days) == last) {
        buffer_print(note, "skill not brought back: %s (its score would be the lowest)\n", past->heading);
        drop(skills, last);
        return false;
    }
    OWNED char *evidence = entry_get(entry, "reward_evidence");
    buffer_print(note, "skill brought back: %s (evidence %s; it had made room for %s)\n", past->heading,
                 evidence ? evidence : "not noted", instead);
    free(prune(skills, tree, SKILLS_MAX, now, halflife_days, changes, note));
    return true;
}

void skills_arrived(struct skills *skills)
{
    for (size_t i = 0; i < skills->entries.count; i++)
        skills->beside[i].coming = false;
}

void skills_settle(struct skills *skills, int tree, int64_t now, double halflife_days,
                   struct change_list *changes, struct buffer *note)
{
    buffer_add(note, skills->news.data, skills->news.length);
    skills->news.length = 0;
    for (size_t i = 0; skills->unsettled && i < skills->entries.count; i++) {
        struct entry *entry = &skills->entries.items[i];
        int64_t at;
        if (!entry_time(entry, "last_success", &at) && !entry_time(entry, "created", &at))
            set_time(entry, "created", now);
    }
    skills->unsettled = false;
    free(prune(skills, tree, SKILLS_MAX, now, halflife_days, changes, note));
}
