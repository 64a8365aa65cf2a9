/* What `git fsck --strict` refuses and libgit2 reads without a word. A history that comes from elsewhere must pass, as every
 * git command works on an agent's repository, and hosts that check a push take it. */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether the commit's or tag's bytes have one author and committer, each well written, an end of the head, and no NUL. */
bool strict_head(const char *text, size_t length);

/* Whether the tree, of so many bytes, has its entries in order, no name twice, and no mode with a zero in front. */
bool strict_tree(const git_tree *tree, size_t length);

/* Whether some machine's file system takes the name, or a part of it behind a backslash, for ".git" or ".gitmodules": in
 * another case, with blanks, periods or a stream's name at its end, with characters that have no width, as the short name
 * ("git~1"), or, as git reads names, with bytes at its end that are no UTF-8. */
bool strict_is_git(const char *name);

/* The same of ".gitattributes", of the name as a whole. */
bool strict_is_attributes(const char *name);

/* Whether the lines of such a file are as short as git wants them. */
bool strict_attributes(const char *text, size_t length);

/* Whether a history may hold a file with that text at that path of its tree, as far as names and attributes go. */
bool strict_file(const char *path, const char *text, size_t length);
