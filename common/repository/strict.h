/* What `git fsck --strict` refuses and libgit2 reads without a word. A history that comes from elsewhere must pass, as every
 * git command works on an agent's repository, and hosts that check a push take it. */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether the commit's or tag's bytes have one author and committer, each well written, and no NUL. */
bool strict_head(const char *text, size_t length);

/* Whether the tree, of so many bytes, has its entries in order, no name twice, and no mode with a zero in front. */
bool strict_tree(const git_tree *tree, size_t length);

/* Whether some machine's file system takes the name for ".git": in another case, with blanks, periods or a stream's name
 * at its end, with characters that have no width, or as the short name "git~1". */
bool strict_is_git(const char *name);
