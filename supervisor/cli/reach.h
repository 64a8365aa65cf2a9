/* Everything that HEAD of a repository reaches, read and hashed again. */
#ifndef AGENTOS_CLI_REACH_H
#define AGENTOS_CLI_REACH_H

#include <git2.h>

#include "common/buffer.h"

enum { REACH_FINDINGS_MAX = 10 /* lines; the rest is counted in one more */ };

/* Adds a line to findings, with where in front, for each object that is missing, damaged, or of the wrong kind.
 * Returns the number of objects that were looked at. */
size_t reach_check(git_repository *repository, const char *where, struct buffer *findings);

#endif
