/* How a repository is opened that a worker may have made to harm. */
#pragma once

#include <git2.h>

/* The repository of this folder, and of no folder above it. A loose object that was cut short is an error of the call
 * that needs it, where libgit2 1.5 would read in it for ever (deflate.h), unless a pack has the object too. 0, or one
 * of libgit2's errors; the caller frees the repository. repository_library_start comes before repository_open. */
int repository_open(git_repository **repository, const char *path);
