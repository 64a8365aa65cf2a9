#include "common/repository/commits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool commits_fault(struct fault *fault, const char *format, ...)
{
    char said[256];
    const git_error *error = git_error_last();
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(said, sizeof said, format, arguments);
    va_end(arguments);
    return fault_set(fault, "%s: %s", said,
                     error && error->message ? error->message : "libgit2 doesn't say why");
}

bool commits_each(git_repository *repository, unsigned order,
                  bool (*visit)(void *context, const git_commit *commit), void *context)
{
    git_revwalk *walk = NULL;
    git_oid id;
    bool more = true;
    int got = git_revwalk_new(&walk, repository);
    if (got == 0 && order != GIT_SORT_NONE)
        got = git_revwalk_sorting(walk, order);
    if (got == 0)
        got = git_repository_head_unborn(repository) == 1 ? GIT_ITEROVER : git_revwalk_push_head(walk);
    while (more && got == 0 && (got = git_revwalk_next(&id, walk)) == 0) {
        OWNED_GIT(git_commit) git_commit *commit = NULL;
        got = git_commit_lookup(&commit, repository, &id);
        more = got == 0 && visit(context, commit);
    }
    git_revwalk_free(walk);
    return got == 0 || got == GIT_ITEROVER;
}

static git_tree_entry *entry_at(const git_commit *commit, const char *path)
{
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    git_tree_entry *entry = NULL;
    if (git_commit_tree(&tree, commit) == 0)
        (void)git_tree_entry_bypath(&entry, tree, path);
    return entry;
}

static git_tree *folder_at(git_repository *repository, const git_commit *commit, const char *path)
{
    git_tree *folder = NULL;
    OWNED_GIT(git_tree_entry) git_tree_entry *entry = entry_at(commit, path);
    if (entry)
        (void)git_tree_lookup(&folder, repository, git_tree_entry_id(entry));
    return folder;
}

git_blob *commits_file(git_repository *repository, const git_commit *commit, const char *path)
{
    git_blob *file = NULL;
    OWNED_GIT(git_tree_entry) git_tree_entry *entry = entry_at(commit, path);
    if (entry)
        (void)git_blob_lookup(&file, repository, git_tree_entry_id(entry));
    return file;
}

static bool has_end(const git_commit *commit, const char *end)
{
    const char *subject = git_commit_summary((git_commit *)commit);
    size_t length = subject ? strlen(subject) : 0, wanted = strlen(end);
    return length >= wanted && strcmp(subject + length - wanted, end) == 0;
}

bool commits_removed(git_repository *repository, const git_commit *commit, const char *folder,
                     const char *subject_end, bool (*visit)(void *context, const git_tree_entry *entry),
                     void *context)
{
    OWNED_GIT(git_commit) git_commit *parent = NULL;
    if (!has_end(commit, subject_end) || git_commit_parent(&parent, commit, 0) != 0)
        return true;
    git_tree *before = folder_at(repository, parent, folder), *after = folder_at(repository, commit, folder);
    bool more = true;
    for (size_t i = 0; more && before && i < git_tree_entrycount(before); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(before, i);
        if (!after || !git_tree_entry_byname(after, git_tree_entry_name(entry)))
            more = visit(context, entry);
    }
    git_tree_free(before);
    git_tree_free(after);
    return more;
}
