/* What git would obey in an agent's tree is looked for and taken out (common/git_guard.h), by the supervisor, as the
 * worker may be the one who wrote it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct tree_guard {    /* zeroed at first */
    char *problem;     /* for status, lines; NULL: nothing lies aside. Owned */
    int64_t looked_ms; /* monotonic; 0: not yet, or its worker has ended since */
    int64_t whole_ms;  /* monotonic: the last look that was no glance */
    uint64_t mark;     /* how the places of tree_guard.c stood when nothing was found, those in the tree's top
                        * aside; 0: something was found, or a place had just changed */
    uint64_t top_mark; /* how those in the top stood */
    unsigned there;    /* which of the places there were then, a bit each */
    int64_t worked_ns; /* CPU time of its worker before the last look; agents.c's */
    bool top_quiet;    /* the top stands as top_mark says, unless the kernel has told of a change since */
    /* .git/config's text as it was judged, when nothing was found and no other text was read; empty: else, or it is larger
     * than 4 KiB. Owned; whoever won't ask tree_guard_holds may free it before. */
    struct buffer config;
};

/* One look, at most some 50 ms long, whose findings are logged. data: descriptor of DATA_DIR; path: the agent's folder,
 * absolute. The problem stays until a person has emptied the folder with what was set aside. */
void tree_guard_look(struct tree_guard *guard, int data, const char *name, const char *path);
enum { TREE_GUARD_GLANCE_MS = 55 * 1000 }; /* once a minute */

/* Of a tree that no worker has written since the last look: a glance, after so many milliseconds, at where git's own files
 * are made and altered, and a look when one of them has changed since the last one, or after ten minutes; of very many
 * trees, within an hour. told: the kernel tells of changes in the tree's top, and whoever hears of one makes top_quiet
 * false. True: it was a look. */
bool tree_guard_glance(struct tree_guard *guard, int data, const char *name, const char *path, size_t trees,
                       int64_t after_ms, bool told);
/* Of a tree all of whose names stand as they did at the last look: nothing was found then, and nothing would be now. A text
 * can be written through a mapping, which shows nowhere, so it is read. False ten minutes after the last look, whatever
 * stands there. tree: the folder's descriptor. */
bool tree_guard_holds(const struct tree_guard *guard, int tree);
void tree_guard_free(struct tree_guard *guard);
