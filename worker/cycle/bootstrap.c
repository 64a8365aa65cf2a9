#include "worker/cycle/bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/frontmatter.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "worker/cycle/bootstrap_texts.h"
#include "worker/cycle/prompt.h"
#include "worker/memory/reflections.h"
#include "worker/memory/rewards.h"
#include "worker/memory/skills.h"

#define NOTES TREE_NOTES "/bootstrapped"

/* The table of files: the text with which each begins, and whether the file follows agents.yaml (or a newer default of
 * ours) as long as no person and no agent has changed it. */
static const struct seed {
    const char *path, *text;
    void (*print)(const struct roster_agent *agent, struct buffer *out); /* in the text's place */
    bool follows;
} seeds[] = {
    {TREE_PERSONA, NULL, bootstrap_persona, true},
    {TREE_CONSTRAINTS, bootstrap_constraints, NULL, true},
    {TREE_SKILLS, skills_preamble, NULL, false},
    {TREE_GOALS, NULL, bootstrap_goals, true},
    {TREE_REWARDS, rewards_preamble, NULL, false},
    {TREE_REFLECTIONS, reflections_preamble, NULL, false},
    {TREE_SYSTEM_PROMPT, prompt_default_template, NULL, true},
    {TREE_CARD, NULL, bootstrap_card, false},
    {TREE_QUEUE, bootstrap_queue, NULL, false},
};
enum { SEED_COUNT = sizeof seeds / sizeof *seeds };

static const char *const folders[] = {TREE_SKILL_FOLDER, TREE_OUTPUTS, TREE_INBOX,        TREE_HANDOFFS,
                                      TREE_OUTBOX,       TREE_ARCHIVE, TREE_DEAD_LETTERS, TREE_NOTES};

struct work {
    int tree;
    const struct roster_agent *agent;
    bool first;                 /* the repository has no commit yet */
    uint64_t noted[SEED_COUNT]; /* hashes of what bootstrap wrote last; 0: not known */
    uint64_t noted_before[SEED_COUNT];
    bool missing[SEED_COUNT];
    struct change_list changes;
    struct buffer made, rewritten; /* names, for the commit's subject */
    struct buffer *problems;
};

/* --- the notes: "HASH PATH" a line --- */

static void read_notes(struct work *work)
{
    OWNED char *text = NULL;
    size_t length;
    if (files_read(work->tree, NOTES, 64 * 1024, &text, &length, NULL, NULL) != 1)
        return; /* missing or damaged: then nothing counts as still ours */
    for (char *line = text, *rest; (line = strtok_r(line, "\n", &rest)); line = NULL)
        for (size_t i = 0; i < SEED_COUNT; i++)
            if (strlen(line) > 17 && strcmp(line + 17, seeds[i].path) == 0)
                work->noted[i] = strtoull(line, NULL, 16);
    memcpy(work->noted_before, work->noted, sizeof work->noted);
}

/* After the commit: a crash between leaves files that are as we want them, which the next start notes. */
static bool write_notes(struct work *work, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    if (memcmp(work->noted, work->noted_before, sizeof work->noted) == 0)
        return true;
    for (size_t i = 0; i < SEED_COUNT; i++)
        if (work->noted[i])
            buffer_print(&text, "%016" PRIx64 " %s\n", work->noted[i], seeds[i].path);
    return files_write(work->tree, NOTES, text.data ? text.data : "", text.length, false, fault);
}

/* --- files --- */

static void name_it(struct buffer *names, const char *path)
{
    buffer_text(names, names->length ? ", " : "");
    buffer_text(names, path);
}

/* queue.md is the one file that a person may create in this very moment, with `cat >>`: bootstrap makes it without ever
 * replacing a file, and text that was appended since stands behind our lines. */
static bool make_queue(struct work *work, const struct buffer *text, struct fault *fault)
{
    OWNED_FD int fd = files_open(work->tree, TREE_QUEUE, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0644);
    if (fd < 0 && errno == EEXIST)
        return true;
    if (fd < 0 || !files_write_all(fd, text->data, text->length))
        return fault_errno(fault, "cannot make %s", TREE_QUEUE);
    return true;
}

static bool make(struct work *work, size_t index, const struct buffer *text, struct fault *fault)
{
    const struct seed *seed = &seeds[index];
    bool queue = strcmp(seed->path, TREE_QUEUE) == 0;
    if (queue && !make_queue(work, text, fault))
        return false;
    change_list_add(&work->changes, queue ? CHANGE_RECORD : CHANGE_WRITE, seed->path, text->data,
                    text->length);
    work->missing[index] = true;
    work->noted[index] = names_hash(text->data, text->length);
    name_it(&work->made, seed->path);
    return true;
}

/* A file that is there before the first commit came from somebody else: the first commit has the file, too. */
static void record(struct work *work, size_t index)
{
    OWNED char *text = NULL;
    size_t length;
    if (files_read(work->tree, seeds[index].path, TREE_FILE_MAX, &text, &length, NULL, NULL) == 1)
        change_list_add(&work->changes, CHANGE_RECORD, seeds[index].path, text, length);
}

/* The definition says something else than when we wrote the file. */
static void follow(struct work *work, size_t index, const struct buffer *wanted, uint64_t hash)
{
    OWNED char *text = NULL;
    size_t length;
    const char *path = seeds[index].path;
    if (files_read(work->tree, path, TREE_FILE_MAX, &text, &length, NULL, NULL) != 1)
        return;
    uint64_t present = names_hash(text, length);
    if (present == hash) {
        work->noted[index] = hash;
    } else if (work->noted[index] && present == work->noted[index]) {
        change_list_add(&work->changes, CHANGE_WRITE, path, wanted->data, wanted->length);
        work->noted[index] = hash;
        name_it(&work->rewritten, path);
    } else if (work->noted[index]) {
        struct fault note;
        fault_set(&note,
                  "%s was edited since it was made from agents.yaml, so the changes there are not taken over "
                  "into the file; take them over by hand, or remove the file to have it made anew",
                  path);
        buffer_print(work->problems, "%s\n", note.text);
        log_warn("bootstrap", work->agent->name, "%s", note.text);
    }
}

static bool look_at(struct work *work, size_t index, struct fault *fault)
{
    const struct seed *seed = &seeds[index];
    struct stat status;
    OWNED_BUFFER struct buffer text = {0};
    bool missing = fstatat(work->tree, seed->path, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    if (!missing && !seed->follows && !work->first)
        return true;
    if (seed->print)
        seed->print(work->agent, &text);
    else
        buffer_text(&text, seed->text);
    if (missing)
        return make(work, index, &text, fault);
    if (work->first)
        record(work, index);
    uint64_t hash = names_hash(text.data, text.length);
    if (seed->follows && hash != work->noted[index])
        follow(work, index, &text, hash);
    return true;
}

static bool make_folders(int tree, struct fault *fault)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct stat status;
        if (fstatat(tree, folders[i], &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
            continue;
        OWNED_FD int fd = files_open_folder(tree, folders[i], true, fault);
        if (fd < 0)
            return false;
    }
    return true;
}

static bool commit(struct work *work, struct history *history, struct fault *fault)
{
    char id[COMMIT_TEXT];
    const char *name = work->agent->name;
    OWNED char *subject =
        work->first ? memory_text("init: agent filesystem")
        : work->rewritten.length
            ? memory_print("%s(definition): %s", name, work->rewritten.data)
            : memory_print("%s(bootstrap): %s", name, work->made.data ? work->made.data : "");
    OWNED char *body = work->rewritten.length && work->made.length
                           ? memory_print("made again: %s\n", work->made.data)
                           : NULL;
    const struct commit_request request = {
        .author = AUTHOR_AGENT,
        .subject = subject,
        .body = work->first ? NULL : body,
        .changes = work->changes.items,
        .change_count = work->changes.count,
    };
    return work->changes.count == 0 || history_commit(history, &request, id, fault);
}

/* A file that somebody removed but that stands in the last commit as it would be made now is no change to git. */
static bool put_back(struct work *work, struct fault *fault)
{
    for (size_t i = 0; i < work->changes.count; i++) {
        const struct change *change = &work->changes.items[i];
        struct stat status;
        if (change->kind == CHANGE_WRITE &&
            fstatat(work->tree, change->path, &status, AT_SYMLINK_NOFOLLOW) != 0 &&
            !files_write(work->tree, change->path, change->text, change->length, false, fault))
            return false;
    }
    return true;
}

/* A kill cuts a write short at most once a start, but a worker may be killed a thousand times. */
static void sweep(int tree)
{
    OWNED_LISTING struct listing *names = listing_open(tree, ".", NULL);
    for (const char *name; names && (name = listing_next(names));) {
        OWNED char *file = files_unfinished(name);
        for (size_t i = 0; file && i < SEED_COUNT; i++)
            if (strcmp(file, seeds[i].path) == 0)
                unlinkat(tree, name, 0);
    }
}

static void tell(const struct work *work, const char *path)
{
    if (work->first)
        log_info("bootstrap", NULL, "Initialised git repo at %s", path);
    else if (work->made.length)
        log_info("bootstrap", work->agent->name, "Made missing files again: %s", work->made.data);
    if (work->rewritten.length)
        log_info("bootstrap", work->agent->name, "Taken over from agents.yaml: %s", work->rewritten.data);
}

bool bootstrap_tree(int tree, const char *path, const struct roster_agent *agent, struct history *history,
                    struct buffer *problems, struct fault *fault)
{
    struct work work = {.tree = tree, .agent = agent, .first = history_empty(history), .problems = problems};
    bool good = make_folders(tree, fault);
    sweep(tree);
    if (good)
        read_notes(&work);
    for (size_t i = 0; good && i < SEED_COUNT; i++)
        good = look_at(&work, i, fault);
    good = good && commit(&work, history, fault) && put_back(&work, fault) && write_notes(&work, fault);
    if (good)
        tell(&work, path);
    if (agent->goals.count > GOALS_MAX && work.first)
        buffer_print(problems, "agents.yaml gives %zu goals; %s begins with the first %d\n",
                     agent->goals.count, TREE_GOALS, GOALS_MAX);
    change_list_free(&work.changes);
    buffer_free(&work.made);
    buffer_free(&work.rewritten);
    return good;
}

enum throughput_class bootstrap_class(int tree, const struct roster_agent *agent, struct buffer *problems)
{
    enum throughput_class found = CLASS_MEDIUM;
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    if (files_read(tree, TREE_PERSONA, TREE_FILE_MAX, &text, &length, NULL, NULL) == 1) {
        if (frontmatter_parse(&matter, text, length, TREE_PERSONA, &fault)) {
            const char *name = frontmatter_text(&matter, "throughput_class");
            if (name && !class_parse(name, &found)) {
                buffer_print(
                    problems,
                    "%s: its throughput_class is neither slow, medium nor fast and counts as medium\n",
                    TREE_PERSONA);
                found = CLASS_MEDIUM;
            }
        } else
            buffer_print(problems, "%s; it counts as having no front matter\n", fault.text);
    }
    return agent->throughput_class != CLASS_UNSET ? agent->throughput_class : found;
}
