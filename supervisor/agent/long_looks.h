/* Looks at agents' trees for files that git would obey (tree_guard.h). Most looks end at once. A worker can make its
 * tree take seconds, so a longer look goes on here in parts, and everybody else's turn comes between two of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "supervisor/process/loop.h"

enum { LONG_LOOKS_MOST = 16 /* under way: each holds a descriptor for each folder of a path */ };

struct agent;
struct agents;

/* An agent's place among the looks that go on. */
struct long_look {
    TAILQ_ENTRY(agent) link;
    bool goes_on;
};

struct long_looks {
    TAILQ_HEAD(long_look_list, agent) waiting; /* in the order of their turns */
    size_t under_way;                          /* looks among them that have begun, and hold descriptors */
    struct timer timer;
};

void long_looks_begin(struct agents *agents);
void long_looks_end(struct agents *agents);
/* The agent's tree is looked at now; again after a look that goes on. */
void long_look(struct agent *agent);
/* A look at the agent's tree was begun elsewhere, and may have ended. */
void long_look_begun(struct agent *agent);
void long_look_forget(struct agent *agent); /* the agent is about to be freed */
