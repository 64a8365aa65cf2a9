/* All objects that a repository's history reaches, read and hashed again. */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "common/buffer.h"

enum {
    OBJECT_WALK_FINDINGS_MAX = 10,             /* lines; the rest is counted in one more */
    OBJECT_WALK_OBJECT_MAX = 64 * 1024 * 1024, /* bytes of an object that comes from elsewhere */
};

/* Adds a line to findings, with where in front, for each object that is missing, damaged, or of the wrong kind: of what
 * HEAD's history reaches, or only of its newest `most` commits (SIZE_MAX: all). looked, unless NULL, is told how many
 * were looked at after each. Returns the number of objects that were looked at. */
size_t object_walk_check(git_repository *repository, size_t most, void (*looked)(size_t objects),
                         const char *where, struct buffer *findings);

/* The same walk over all objects from these commits and tags on, which needn't be HEAD's. foreign: objects that no
 * agent's history has are findings too: names that lead out of a folder or into .git, links, submodules, what `git fsck
 * --strict` refuses (strict.h), objects over OBJECT_WALK_OBJECT_MAX (which are not read). */
size_t object_walk_check_from(git_repository *repository, const git_oid *tips, size_t count, bool foreign,
                              const char *where, struct buffer *findings);
