/* What git would obey in an agent's tree is looked for and taken out (common/git_guard.h), by the supervisor, as the
 * worker may be the one who wrote it. */
#ifndef AGENTOS_SUPERVISOR_AGENT_TREE_GUARD_H
#define AGENTOS_SUPERVISOR_AGENT_TREE_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct tree_guard {
    char *problem;     /* for status, lines; NULL: nothing lies aside. Owned */
    int64_t looked_ms; /* monotonic; 0: not yet, or its worker has ended since */
    int64_t whole_ms;  /* monotonic: the last look that was no glance */
    uint64_t mark;     /* how the places of tree_guard.c stood when nothing was found; 0: something was, or a
                        * place had just changed */
    unsigned there;    /* which of these places there were then, a bit each */
};

/* One look, at most some 50 ms long, whose findings are logged. data: descriptor of DATA_DIR; path: the agent's folder,
 * absolute. The problem stays until a person has emptied the folder with what was set aside. */
void tree_guard_look(struct tree_guard *guard, int data, const char *name, const char *path);
/* Of a tree that no worker lives in, once a minute: a glance at where git's own files are made and altered, and a look when
 * one of them has changed since the last one, or after ten minutes; of very many trees, within an hour. */
void tree_guard_glance(struct tree_guard *guard, int data, const char *name, const char *path, size_t trees);
void tree_guard_free(struct tree_guard *guard);

#endif
