/* An agent's work tree as it stands, as a git tree that is in memory only. */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "common/buffer.h"
#include "common/fault.h"

enum {
    SNAPSHOT_FILES_MAX = 200000,
    SNAPSHOT_FILE_MAX = 64 * 1024 * 1024, /* bytes; QUEUE_FILE_MAX */
    SNAPSHOT_DEPTH_MAX = 16,
};
#define SNAPSHOT_BYTES_MAX ((uint64_t)1 << 30)

/* Every regular file below `folder` but those of .git and .agentos (with_notes: with the notes that travel, notes.h);
 * an entry that is no regular file, or larger than SNAPSHOT_FILE_MAX, is a line in notes. odb: new objects go to its
 * first backend, which is in memory (git_mempack). False and fault: a file could not be read, or there is more than a
 * snapshot holds; the reason may be that somebody was just changing the tree. */
bool snapshot_take(git_odb *odb, int folder, bool with_notes, git_oid *tree, struct buffer *notes,
                   struct fault *fault);

/* Adds an object, unless the repository has it. */
bool snapshot_object(git_odb *odb, git_object_t kind, const void *bytes, size_t length, git_oid *id,
                     struct fault *fault);

/* Adds the raw entry of a tree object. Entries stand in git's order: by name, a folder's as if it ended in '/'. */
void snapshot_entry(struct buffer *tree, git_filemode_t mode, const char *name, const git_oid *id);
