/* The look for files in an agent's tree that git would obey, which are taken out (common/guard/git_guard.h). The
 * supervisor looks, as the worker itself may have written them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct tree_guard {    /* zeroed at first */
    char *problem;     /* for status, lines; NULL: nothing lies aside. Owned */
    int64_t told_ms;   /* monotonic: the log was told of findings last */
    int64_t looked_ms; /* monotonic; 0: not yet, or the worker has ended since */
    int64_t whole_ms;  /* monotonic: the last look that was no glance */
    /* How the places of tree_guard.c stood at a look without findings, the places in the tree's top aside; 0: the
     * look found something, or a place had just changed. */
    uint64_t mark;
    uint64_t top_mark; /* how the places in the top stood */
    unsigned there;    /* which of the places were there then, a bit each */
    int64_t worked_ns; /* CPU time of the worker before the last look; agents.c's */
    bool top_quiet;    /* the top stands as top_mark says, unless the kernel has told of a change since */
    /* The text of .git/config that the last look judged, when it found nothing and read no other text; empty: else,
     * or the text is larger than 4 KiB. Owned; an owner that won't ask tree_guard_holds may free it before. */
    struct buffer config;
    struct guard *under_way;           /* a look that is not ended yet; NULL: none. Owned, with the rest */
    uint64_t next_mark, next_top_mark; /* of that look */
    bool again; /* another look was wanted meanwhile, of a tree that may be otherwise now */
};

/* A look, whose findings are logged when it has ended. data: descriptor of DATA_DIR; path: the agent's folder,
 * absolute. The problem stays until a person has emptied the folder of files set aside. A worker can make a tree that
 * takes seconds to look through, so a look has TREE_GUARD_PART_MS at a time: false, the look goes on with each
 * tree_guard_go, which says true at its end. Not while one is under way: `again` has another follow. */
bool tree_guard_look(struct tree_guard *guard, int data, const char *name, const char *path);
bool tree_guard_go(struct tree_guard *guard, int data, const char *name, const char *path);
enum { TREE_GUARD_PART_MS = 10 };
void tree_guard_put_off(struct tree_guard *guard); /* the look that is under way is given up */
enum { TREE_GUARD_GLANCE_MS = 55 * 1000 };         /* once a minute */

/* For a tree that no worker has written since the last look. A glance, after TREE_GUARD_GLANCE_MS, compares the
 * places where git's own files are made and altered; a look follows when a place has changed since the last look, or
 * after ten minutes; of very many trees, within an hour. told: the kernel tells of changes in the tree's top, and the
 * receiver of such a notice makes top_quiet false. True: the tree was looked at, or a look has begun (under_way). */
bool tree_guard_glance(struct tree_guard *guard, int data, const char *name, const char *path, size_t trees,
                       int64_t after_ms, bool told);
/* For a tree all of whose names stand as they did at the last look: that look found nothing, and a look now would
 * find nothing. A text can be written through a mapping, which shows in no stamp, so the config is read; an index of
 * packs is not, as git obeys none, and its counts wait for the next look. False ten minutes after the last look,
 * whatever the tree holds. tree: the folder's descriptor. */
bool tree_guard_holds(const struct tree_guard *guard, int tree);
void tree_guard_free(struct tree_guard *guard);
