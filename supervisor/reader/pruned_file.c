#include "supervisor/reader/pruned_file.h"

#include <git2.h>
#include <stdbool.h>
#include <string.h>

#include "common/memory.h"
#include "common/pruned.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/repository/open.h"
#include "common/tree.h"

/* A search for the tidy commit that took the file out. */
struct search {
    git_repository *repository;
    const char *folder, *name;
    git_blob *found; /* NULL: not met yet */
};

static bool take_blob(void *context, const git_tree_entry *entry)
{
    struct search *search = context;
    if (strcmp(git_tree_entry_name(entry), search->name) == 0)
        (void)git_blob_lookup(&search->found, search->repository, git_tree_entry_id(entry));
    return search->found == NULL;
}

static bool search_commit(void *context, const git_commit *commit)
{
    struct search *search = context;
    return commits_removed(search->repository, commit, search->folder, PRUNED_SUBJECT_END, take_blob, search);
}

int pruned_file_read(const char *repository, const char *file, char **text, size_t *length,
                     struct fault *fault)
{
    const char *slash = strrchr(file, '/');
    OWNED char *folder = memory_slice(file, (size_t)(slash - file));
    struct search search = {.folder = folder, .name = slash + 1};
    int got = 0;
    if (!repository_library_start(fault))
        return -1;
    if (repository_open(&search.repository, repository) != 0)
        return fault_set(fault, "%s: the repository cannot be opened", repository) - 1;
    bool whole = commits_each(search.repository, GIT_SORT_NONE, search_commit, &search);
    if (search.found != NULL) {
        *length = (size_t)git_blob_rawsize(search.found);
        *text = memory_slice(git_blob_rawcontent(search.found), *length);
        git_blob_free(search.found);
        got = 1;
    } else if (!whole) {
        got = fault_set(fault, "%s: the history cannot be read to its beginning", repository) - 1;
    }
    git_repository_free(search.repository);
    return got;
}

void pruned_file_read_all(struct envelope_scan *scan, const char *data_dir)
{
    for (size_t i = 0; i < scan->count; i++) {
        struct copy *copy = &scan->copies[i];
        struct fault fault = {0};
        OWNED char *text = NULL;
        size_t length = 0;
        if (!copy->pruned)
            continue;
        OWNED char *repository = memory_print("%s/agents/%s", data_dir, copy->owner);
        const char *file = copy->path + strlen("agents/") + strlen(copy->owner) + 1;
        if (pruned_file_read(repository, file, &text, &length, &fault) == 1)
            copy_read(copy, text, length, file + strlen(TREE_ARCHIVE "/"), true);
        else
            copy->fault = memory_print("has left the work tree, and can't be read in git: %s", fault.text);
    }
}

/* --- all pruned envelopes --- */

struct gathering {
    struct envelope_scan *scan;
    const char *owner;
    git_repository *repository;
    struct pruned_range range;
};

static bool add_blob(void *context, const git_tree_entry *entry)
{
    const struct gathering *gathering = context;
    OWNED_GIT(git_blob) git_blob *blob = NULL;
    const char *file = git_tree_entry_name(entry);
    if (git_blob_lookup(&blob, gathering->repository, git_tree_entry_id(entry)) == 0) {
        OWNED char *path = memory_print("agents/%s/%s/%s", gathering->owner, TREE_ARCHIVE, file);
        struct copy *copy = envelope_scan_add(gathering->scan, PLACE_ARCHIVE, gathering->owner, path);
        size_t length = (size_t)git_blob_rawsize(blob);
        OWNED char *text = memory_slice(git_blob_rawcontent(blob), length);
        copy->pruned = true;
        copy_read(copy, text, length, file, true);
        int64_t created = copy->envelope.created;
        if (!copy->fault && (created < gathering->range.since || created > gathering->range.until))
            envelope_scan_drop(gathering->scan);
    }
    return true;
}

static bool add_taken_out(void *context, const git_commit *commit)
{
    struct gathering *gathering = context;
    return commits_removed(gathering->repository, commit, TREE_ARCHIVE, PRUNED_SUBJECT_END, add_blob,
                           gathering);
}

bool pruned_file_list(struct envelope_scan *scan, const char *data_dir, const char *owner,
                      struct pruned_range range, struct fault *fault)
{
    struct gathering gathering = {.scan = scan, .owner = owner, .range = range};
    OWNED char *path = memory_print("%s/agents/%s", data_dir, owner);
    if (!repository_library_start(fault))
        return false;
    bool read = repository_open(&gathering.repository, path) == 0 &&
                commits_each(gathering.repository, GIT_SORT_NONE, add_taken_out, &gathering);
    git_repository_free(gathering.repository);
    return read || fault_set(fault, "%s: the envelopes that git alone has can't be read to the first", path);
}
