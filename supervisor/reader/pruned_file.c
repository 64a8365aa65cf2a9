#include "supervisor/reader/pruned_file.h"

#include <git2.h>
#include <stdbool.h>
#include <string.h>

#include "common/memory.h"
#include "common/pruned.h"
#include "common/repository/library.h"
#include "common/tree.h"

static bool is_tidy(const git_commit *commit)
{
    const char *subject = git_commit_summary((git_commit *)commit);
    size_t length = subject != NULL ? strlen(subject) : 0;
    size_t end = strlen(PRUNED_SUBJECT_END);
    return length > end && strcmp(subject + length - end, PRUNED_SUBJECT_END) == 0;
}

/* The file's blob in the commit; the caller frees it. NULL: it isn't there. */
static git_blob *blob_in(git_repository *repository, const git_commit *commit, const char *file)
{
    git_tree *tree = NULL;
    git_tree_entry *entry = NULL;
    git_blob *blob = NULL;
    if (git_commit_tree(&tree, commit) == 0 && git_tree_entry_bypath(&entry, tree, file) == 0) {
        (void)git_blob_lookup(&blob, repository, git_tree_entry_id(entry));
    }
    git_tree_entry_free(entry);
    git_tree_free(tree);
    return blob;
}

/* The file as the tidy commit took it out; NULL: it did not. */
static git_blob *taken_out(git_repository *repository, const git_commit *commit, const char *file)
{
    git_commit *parent = NULL;
    if (!is_tidy(commit) || git_commit_parent(&parent, commit, 0) != 0) {
        return NULL;
    }
    git_blob *before = blob_in(repository, parent, file);
    git_blob *after = before != NULL ? blob_in(repository, commit, file) : NULL;
    git_commit_free(parent);
    if (after != NULL) {
        git_blob_free(before);
        before = NULL;
    }
    git_blob_free(after);
    return before;
}

static git_blob *search(git_repository *repository, const char *file, int *got)
{
    git_revwalk *walker = NULL;
    git_blob *found = NULL;
    git_oid oid;
    *got = git_revwalk_new(&walker, repository);
    if (*got == 0) {
        *got = git_revwalk_push_head(walker);
    }
    while (*got == 0 && found == NULL && (*got = git_revwalk_next(&oid, walker)) == 0) {
        git_commit *commit = NULL;
        *got = git_commit_lookup(&commit, repository, &oid);
        if (*got == 0) {
            found = taken_out(repository, commit, file);
        }
        git_commit_free(commit);
    }
    git_revwalk_free(walker);
    return found;
}

int pruned_file_read(const char *repository, const char *file, char **text, size_t *length,
                     struct fault *fault)
{
    git_repository *opened = NULL;
    int got = 0;
    if (!repository_library_start(fault)) {
        return -1;
    }
    if (git_repository_open_ext(&opened, repository, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0) {
        return fault_set(fault, "%s: the repository cannot be opened", repository) - 1;
    }
    git_blob *blob = search(opened, file, &got);
    if (blob != NULL) {
        *length = (size_t)git_blob_rawsize(blob);
        *text = memory_slice(git_blob_rawcontent(blob), *length);
        git_blob_free(blob);
        got = 1;
    } else {
        got = got == GIT_ITEROVER
                  ? 0
                  : fault_set(fault, "%s: the history cannot be read to its beginning", repository) - 1;
    }
    git_repository_free(opened);
    return got;
}

void pruned_file_read_all(struct envelope_scan *scan, const char *data_dir)
{
    for (size_t i = 0; i < scan->count; i++) {
        struct copy *copy = &scan->copies[i];
        struct fault fault = {0};
        OWNED char *text = NULL;
        size_t length = 0;
        if (!copy->pruned) {
            continue;
        }
        OWNED char *repository = memory_print("%s/agents/%s", data_dir, copy->owner);
        const char *file = copy->path + strlen("agents/") + strlen(copy->owner) + 1;
        if (pruned_file_read(repository, file, &text, &length, &fault) == 1) {
            copy_read(copy, text, length, file + strlen(TREE_ARCHIVE "/"), true);
        } else {
            copy->fault = memory_print("has left the work tree, and can't be read in git: %s", fault.text);
        }
    }
}

/* --- all of them --- */

static git_tree *archive_of(git_repository *repository, const git_commit *commit)
{
    git_tree *tree = NULL, *archive = NULL;
    git_tree_entry *entry = NULL;
    if (git_commit_tree(&tree, commit) == 0 && git_tree_entry_bypath(&entry, tree, TREE_ARCHIVE) == 0) {
        (void)git_tree_lookup(&archive, repository, git_tree_entry_id(entry));
    }
    git_tree_entry_free(entry);
    git_tree_free(tree);
    return archive;
}

static void add_blob(struct envelope_scan *scan, const char *owner, git_repository *repository,
                     const git_tree_entry *entry, struct pruned_range range)
{
    git_blob *blob = NULL;
    const char *file = git_tree_entry_name(entry);
    if (git_blob_lookup(&blob, repository, git_tree_entry_id(entry)) == 0) {
        OWNED char *path = memory_print("agents/%s/%s/%s", owner, TREE_ARCHIVE, file);
        struct copy *copy = envelope_scan_add(scan, PLACE_ARCHIVE, owner, path);
        size_t length = (size_t)git_blob_rawsize(blob);
        OWNED char *text = memory_slice(git_blob_rawcontent(blob), length);
        copy->pruned = true;
        copy_read(copy, text, length, file, true);
        int64_t created = copy->envelope.created;
        if (!copy->fault && (created < range.since || created > range.until)) {
            envelope_scan_drop(scan);
        }
    }
    git_blob_free(blob);
}

/* What the commit's parent has in its archive and the commit has not. */
static void add_taken_out(struct envelope_scan *scan, const char *owner, git_repository *repository,
                          const git_commit *commit, struct pruned_range range)
{
    git_commit *parent = NULL;
    if (!is_tidy(commit) || git_commit_parent(&parent, commit, 0) != 0) {
        return;
    }
    git_tree *before = archive_of(repository, parent), *after = archive_of(repository, commit);
    for (size_t i = 0; before != NULL && i < git_tree_entrycount(before); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(before, i);
        if (after == NULL || git_tree_entry_byname(after, git_tree_entry_name(entry)) == NULL) {
            add_blob(scan, owner, repository, entry, range);
        }
    }
    git_tree_free(before);
    git_tree_free(after);
    git_commit_free(parent);
}

bool pruned_file_list(struct envelope_scan *scan, const char *data_dir, const char *owner,
                      struct pruned_range range, struct fault *fault)
{
    git_repository *repository = NULL;
    git_revwalk *walker = NULL;
    git_oid oid;
    OWNED char *path = memory_print("%s/agents/%s", data_dir, owner);
    if (!repository_library_start(fault)) {
        return false;
    }
    int got = git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
    got = got == 0 ? git_revwalk_new(&walker, repository) : got;
    got = got == 0 ? git_revwalk_push_head(walker) : got;
    while (got == 0 && (got = git_revwalk_next(&oid, walker)) == 0) {
        git_commit *commit = NULL;
        got = git_commit_lookup(&commit, repository, &oid);
        if (got == 0) {
            add_taken_out(scan, owner, repository, commit, range);
        }
        git_commit_free(commit);
    }
    git_revwalk_free(walker);
    git_repository_free(repository);
    return got == GIT_ITEROVER ||
           fault_set(fault, "%s: the envelopes that git alone has can't be read to the first", path);
}
