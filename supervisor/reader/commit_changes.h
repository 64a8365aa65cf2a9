/* A commit's changes against its first parent (libgit2, read-only). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"

enum {
    CHANGES_FILES_MAX = 200,             /* of a commit; the rest is counted */
    CHANGES_BLOB_MAX = 1024 * 1024,      /* bytes; a larger file counts as no text */
    CHANGES_DIFF_MAX = 64 * 1024,        /* bytes that are shown of a file's diff */
    CHANGES_ALL_DIFFS_MAX = 1024 * 1024, /* and of all diffs of a commit */
    /* Entries of folders that are compared; a commit with more has no changes in the answer. */
    CHANGES_ENTRIES_MAX = 500000,
    CHANGES_MOVED_MAX = 64 << 20, /* bytes of changed files, up to which moved ones are recognised */
    CHANGES_MS = 5000,            /* for all commits of a request */
};

struct git_repository;

/* Adds to item "files": [{"path", "old_path", "change", "added", "removed"}] and "more_files"; with text, each file
 * gets "diff" and "cut", too. Files of a commit that can't be read are no files. until: of the monotonic clock; files
 * that are not compared by then are left out. False, fault and no files: the commit has too many entries, or there
 * was no time for it. */
bool commit_changes_add(struct git_repository *repository, const char *commit, bool text, int64_t until,
                        json_t *item, struct fault *fault);
