/* Commits of a repository, and their trees. The caller frees the objects that libgit2 hands out. */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "common/fault.h"

/* Variables declared with these free themselves when they go out of scope. */
#define COMMITS_OWNED(type)                                                                                  \
    static inline void type##_free_at(type **it)                                                             \
    {                                                                                                        \
        type##_free(*it);                                                                                    \
    }
COMMITS_OWNED(git_repository)
COMMITS_OWNED(git_commit)
COMMITS_OWNED(git_tree)
COMMITS_OWNED(git_tree_entry)
COMMITS_OWNED(git_blob)
COMMITS_OWNED(git_odb_object)
COMMITS_OWNED(git_reference)
#define OWNED_GIT(type) __attribute__((cleanup(type##_free_at)))

/* Always false. fault: the sentence that is printed, and libgit2's last error behind it. */
bool commits_fault(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Visits HEAD's commits. order: of libgit2's GIT_SORT_…; GIT_SORT_NONE is the newest first by the commits' times, a child
 * before its parents, and reads no further than it is visited. visit returns false when it has seen enough. False: the
 * history can't be read to its beginning (libgit2's last error says why). A branch without commits has none to visit. */
bool commits_each(git_repository *repository, unsigned order,
                  bool (*visit)(void *context, const git_commit *commit), void *context);

/* NULL: none. */
git_blob *commits_file(git_repository *repository, const git_commit *commit, const char *path);

/* Visits the entries that the folder has in the commit's parent and not in the commit, when the commit's subject has this
 * end. visit returns false to stop; then false. */
bool commits_removed(git_repository *repository, const git_commit *commit, const char *folder,
                     const char *subject_end, bool (*visit)(void *context, const git_tree_entry *entry),
                     void *context);
