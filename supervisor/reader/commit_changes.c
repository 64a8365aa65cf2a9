#include "supervisor/reader/commit_changes.h"

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/utf8.h"

static const struct {
    git_delta_t status;
    const char *name;
} changes[] = {
    {GIT_DELTA_ADDED, "added"},     {GIT_DELTA_DELETED, "deleted"},    {GIT_DELTA_MODIFIED, "modified"},
    {GIT_DELTA_RENAMED, "renamed"}, {GIT_DELTA_TYPECHANGE, "retyped"},
};

static const char *change_name(git_delta_t status)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (changes[i].status == status)
            return changes[i].name;
    return "modified";
}

/* --- the diff of one file --- */

static void print_line(struct buffer *text, char sign, const char *line, size_t length)
{
    buffer_add(text, &sign, 1);
    buffer_add(text, line, length);
    if (length == 0 || line[length - 1] != '\n')
        buffer_text(text, "\n");
}

/* False: the diff is longer. */
static bool print_hunk(git_patch *patch, size_t index, size_t most, struct buffer *text)
{
    const git_diff_hunk *hunk = NULL;
    size_t lines = 0;
    if (git_patch_get_hunk(&hunk, &lines, patch, index) != 0)
        return false;
    buffer_add(text, hunk->header, hunk->header_len);
    for (size_t i = 0; i < lines; i++) {
        const git_diff_line *line = NULL;
        if (text->length > most || git_patch_get_line_in_hunk(&line, patch, index, i) != 0)
            return false;
        if (strchr(" +-", line->origin))
            print_line(text, line->origin, line->content, line->content_len);
    }
    return true;
}

/* Adds the file's diff; returns the number of its bytes. */
static size_t add_diff(git_patch *patch, bool binary, size_t room, json_t *file)
{
    OWNED_BUFFER struct buffer text = {0};
    size_t most = room < CHANGES_DIFF_MAX ? room : CHANGES_DIFF_MAX;
    bool whole = !binary && patch;
    for (size_t i = 0; whole && i < git_patch_num_hunks(patch); i++)
        whole = print_hunk(patch, i, most, &text);
    size_t shown = text.length < most ? text.length : most;
    whole = whole && shown == text.length;
    json_object_set_new(file, "cut", json_boolean(!binary && !whole));
    OWNED char *clean = binary ? NULL : utf8_clean(text.data ? text.data : "", shown);
    json_object_set_new(file, "diff", clean ? json_string(clean) : json_null());
    return shown;
}

/* --- the files --- */

static json_t *file_of(const git_diff_delta *delta, git_patch *patch, bool binary)
{
    size_t added = 0, removed = 0;
    const char *path = delta->new_file.path ? delta->new_file.path : "", *old = delta->old_file.path;
    bool counted = patch && !binary && git_patch_line_stats(NULL, &added, &removed, patch) == 0;
    return json_pack("{s:o, s:o, s:s, s:o, s:o}", "path", utf8_json(path), "old_path",
                     delta->status == GIT_DELTA_RENAMED ? utf8_json(old) : json_null(), "change",
                     change_name(delta->status), "added",
                     counted ? json_integer((json_int_t)added) : json_null(), "removed",
                     counted ? json_integer((json_int_t)removed) : json_null());
}

static void add_files(git_diff *diff, bool text, int64_t until, json_t *files)
{
    size_t room = CHANGES_ALL_DIFFS_MAX;
    for (size_t i = 0; i < git_diff_num_deltas(diff) && i < CHANGES_FILES_MAX; i++) {
        git_patch *patch = NULL;
        if (clock_monotonic_ms() < until)
            (void)git_patch_from_diff(&patch, diff, i);
        const git_diff_delta *delta = git_diff_get_delta(diff, i);
        bool binary = delta->flags & GIT_DIFF_FLAG_BINARY;
        json_t *file = file_of(delta, patch, binary);
        if (text)
            room -= add_diff(patch, binary, room, file);
        json_array_append_new(files, file);
        git_patch_free(patch);
    }
}

/* --- the limits of a comparison --- */

/* A few objects that lie in one another again and again are more folders than anybody could read, and libgit2 would
 * go through all of them. So the folders are counted first, as pairs that differ. */
struct folders {
    git_oid before, after; /* all zeroes: there is no such folder */
};

struct comparison {
    struct folders *pending; /* owned */
    size_t count, entries;   /* pending; looked at so far */
};

static bool is_folder(const git_tree_entry *entry)
{
    return entry && git_tree_entry_type(entry) == GIT_OBJECT_TREE;
}

static void meet(struct comparison *comparison, const git_tree_entry *before, const git_tree_entry *after)
{
    comparison->entries++;
    bool same = before && after && git_oid_equal(git_tree_entry_id(before), git_tree_entry_id(after));
    if (same || (!is_folder(before) && !is_folder(after)))
        return;
    struct folders pair = {0};
    if (is_folder(before))
        pair.before = *git_tree_entry_id(before);
    if (is_folder(after))
        pair.after = *git_tree_entry_id(after);
    *MEMORY_ADD(comparison->pending, comparison->count) = pair;
}

static size_t entries_of(const git_tree *tree)
{
    return tree ? git_tree_entrycount(tree) : 0;
}

static const git_tree_entry *named_as(const git_tree *tree, const git_tree_entry *entry)
{
    return tree ? git_tree_entry_byname(tree, git_tree_entry_name(entry)) : NULL;
}

static void compare(struct comparison *comparison, const git_tree *before, const git_tree *after)
{
    for (size_t i = 0; i < entries_of(after) && comparison->entries <= CHANGES_ENTRIES_MAX; i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(after, i);
        meet(comparison, named_as(before, entry), entry);
    }
    for (size_t i = 0; i < entries_of(before) && comparison->entries <= CHANGES_ENTRIES_MAX; i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(before, i);
        if (!named_as(after, entry))
            meet(comparison, entry, NULL);
    }
}

static git_tree *folder_of(git_repository *repository, const git_oid *oid)
{
    git_tree *tree = NULL;
    if (!git_oid_is_zero(oid))
        (void)git_tree_lookup(&tree, repository, oid);
    return tree;
}

static bool can_be_compared(git_repository *repository, const git_tree *before, const git_tree *after,
                            int64_t until)
{
    struct comparison comparison = {0};
    compare(&comparison, before, after);
    while (comparison.count > 0 && comparison.entries <= CHANGES_ENTRIES_MAX &&
           clock_monotonic_ms() < until) {
        struct folders pair = comparison.pending[--comparison.count];
        git_tree *inner_before = folder_of(repository, &pair.before),
                 *inner_after = folder_of(repository, &pair.after);
        comparison.entries++; /* counts folders without entries, too */
        compare(&comparison, inner_before, inner_after);
        git_tree_free(inner_before);
        git_tree_free(inner_after);
    }
    free(comparison.pending);
    return comparison.count == 0 && comparison.entries <= CHANGES_ENTRIES_MAX;
}

/* libgit2 reads each file that came or went, of any size, to find moved files. */
static bool moves_can_be_found(git_repository *repository, const git_diff *diff)
{
    size_t count = git_diff_num_deltas(diff), bytes = 0;
    git_odb *objects = NULL;
    bool found = count <= CHANGES_FILES_MAX && git_repository_odb(&objects, repository) == 0;
    for (size_t i = 0; found && i < count && bytes <= CHANGES_MOVED_MAX; i++) {
        const git_diff_delta *delta = git_diff_get_delta(diff, i);
        const git_oid *oid = delta->status == GIT_DELTA_DELETED ? &delta->old_file.id : &delta->new_file.id;
        size_t length = 0;
        git_object_t type;
        if (git_odb_read_header(&length, &type, objects, oid) == 0)
            bytes += length;
    }
    git_odb_free(objects);
    return found && bytes <= CHANGES_MOVED_MAX;
}

/* NULL: the diff can't be read, or, with fault, is too large. The caller frees it. */
static git_diff *diff_of_trees(git_repository *repository, git_tree *before, git_tree *after, int64_t until,
                               struct fault *fault)
{
    git_diff *diff = NULL;
    git_diff_options options;
    git_diff_find_options renames;
    if (!can_be_compared(repository, before, after, until)) {
        fault_set(fault, "its folders have more than %d entries, or take more than %d s, to compare",
                  CHANGES_ENTRIES_MAX, CHANGES_MS / 1000);
        return NULL;
    }
    (void)git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
    (void)git_diff_find_options_init(&renames, GIT_DIFF_FIND_OPTIONS_VERSION);
    options.max_size = CHANGES_BLOB_MAX;
    renames.flags = GIT_DIFF_FIND_RENAMES;
    renames.rename_limit = CHANGES_FILES_MAX;
    if (git_diff_tree_to_tree(&diff, repository, before, after, &options) == 0 &&
        moves_can_be_found(repository, diff))
        (void)git_diff_find_similar(diff, &renames);
    return diff;
}

static git_diff *diff_of(git_repository *repository, const git_commit *commit, int64_t until,
                         struct fault *fault)
{
    OWNED_GIT(git_commit) git_commit *parent = NULL;
    OWNED_GIT(git_tree) git_tree *before = NULL;
    OWNED_GIT(git_tree) git_tree *after = NULL;
    git_diff *diff = NULL;
    bool first = git_commit_parentcount(commit) == 0;
    if (git_commit_tree(&after, commit) == 0 &&
        (first || (git_commit_parent(&parent, commit, 0) == 0 && git_commit_tree(&before, parent) == 0)))
        diff = diff_of_trees(repository, before, after, until, fault);
    return diff;
}

bool commit_changes_add(git_repository *repository, const char *commit, bool text, int64_t until,
                        json_t *item, struct fault *fault)
{
    git_oid oid;
    OWNED_GIT(git_commit) git_commit *found = NULL;
    git_diff *diff = NULL;
    json_t *files = json_array();
    struct fault why = {0};
    if (clock_monotonic_ms() >= until)
        fault_set(&why, "the commits before it took %d s", CHANGES_MS / 1000);
    else if (git_oid_fromstr(&oid, commit) == 0 && git_commit_lookup(&found, repository, &oid) == 0)
        diff = diff_of(repository, found, until, &why);
    size_t count = diff ? git_diff_num_deltas(diff) : 0;
    if (diff)
        add_files(diff, text, until, files);
    json_object_set_new(item, "files", files);
    json_object_set_new(item, "more_files",
                        json_integer(count > CHANGES_FILES_MAX ? (json_int_t)count - CHANGES_FILES_MAX : 0));
    git_diff_free(diff);
    return why.text[0] == '\0' ||
           fault_set(fault, "the changes of commit %.12s are not told: %s", commit, why.text);
}
