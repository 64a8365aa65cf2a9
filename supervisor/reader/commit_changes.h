/* What a commit changed against its first parent (libgit2, read-only). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"

enum {
    CHANGES_FILES_MAX = 200,             /* of a commit; how many more there are is said */
    CHANGES_BLOB_MAX = 1024 * 1024,      /* bytes; a larger file counts as no text */
    CHANGES_DIFF_MAX = 64 * 1024,        /* bytes that are shown of a file's diff */
    CHANGES_ALL_DIFFS_MAX = 1024 * 1024, /* and of all of a commit's */
    CHANGES_ENTRIES_MAX = 500000, /* entries of folders that are compared; with more, no changes are told */
    CHANGES_MOVED_MAX = 64 << 20, /* bytes of changed files, up to which moved ones are known as such */
    CHANGES_MS = 5000,            /* for all commits that one request is about */
};

struct git_repository;

/* Adds to item "files": [{"path", "old_path", "change", "added", "removed"}] and "more_files"; with text, each file gets
 * "diff" and "cut", too. Files of a commit that can't be read are no files. until: of the monotonic clock; what is not
 * compared by then is not. False, fault and no files: the commit has more, or there was no time for it. */
bool commit_changes_add(struct git_repository *repository, const char *commit, bool text, int64_t until,
                        json_t *item, struct fault *fault);
