/* A file of the worker's own notes (.agentos), open for writing as long as it has its name. */
#pragma once

#include <stdbool.h>

/* tree: descriptor of the agent's folder; path: beneath it. *fd is as the last call left it, -1 at first, and the
 * caller's to close; a file that was removed, or whose folder was, is made anew. False and errno: the file can't be
 * opened, *fd is -1. */
bool notefile_open(int tree, const char *path, int *fd);
