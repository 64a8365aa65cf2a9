/* Every name in a tree, and how all of them stood when the tree was counted: whether the tree is still so costs one
 * question a name, a third of a count or of a look for files that git would obey.
 *
 * No file can be made, removed, renamed, linked, written or grown without a change of a stamp; only a write through a
 * mapping may show in none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/files.h"

struct tree_list;

/* A list of a tree whose folder stands so. */
struct tree_list *tree_list_new(const struct stat *top);
/* A name in the tree, by its path from the top, with its present state; a folder before its own names. */
void tree_list_add(struct tree_list *list, const char *path, const struct stat *status);
/* The list has every name. worked_ns: CPU time of the tree's worker before the first name was read. NULL: the list
 * can't be used, as something had changed too shortly before, or there are too many names; the list is freed then. */
struct tree_list *tree_list_end(struct tree_list *list, int64_t worked_ns);
/* When the list was begun, monotonic. */
int64_t tree_list_begun_ms(const struct tree_list *list);
/* Whether the tree stands as it did. tree: its folder's descriptor; worked_ns: CPU time of its worker, read before: a
 * worker that has done nothing since the last question has changed nothing. */
bool tree_list_holds(struct tree_list *list, int tree, int64_t worked_ns);
/* As tree_list_holds, but each name is compared whatever the worker did: people write there, too. */
bool tree_list_stands(struct tree_list *list, int tree, int64_t worked_ns);
void tree_list_free(struct tree_list *list); /* NULL is fine */
