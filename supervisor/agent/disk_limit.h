/* limits.disk_mb: each safety scan counts the agents' trees, in slices beside everything else. Past its limit an
 * agent's worker is ended and the agent paused; if its tree grows on, it is stopped.
 *
 * A tree that is too large at its first count only becomes a problem in status: its owner must have a chance to see
 * that, so the agent is paused when the tree has grown by a twentieth more.
 *
 * Counting takes at most a tenth of the time for trees whose worker has done something since, and a three-hundredth for
 * the others: where trees are so many that a scan doesn't come round, it goes on in the next. A tree all of whose names
 * stand as they did is not counted anew. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct agents;
struct disk_limit;
struct tree_list;

/* The account of an agent's tree. Zeroed at first; problem and list are the owner's to free. */
struct disk_account {
    char *problem;          /* for status, one line; NULL: none */
    int64_t counted_ms;     /* monotonic; 0: not yet, or the worker has ended since */
    int64_t spent_us;       /* that the last count took */
    int64_t worked_ns;      /* CPU time of the worker then */
    struct tree_list *list; /* of the last count, while the worker lives; NULL: none. Owned */
    int64_t limit_mb;       /* the limit that judged the last count; 0: there was none */
    int64_t told;           /* bytes that the tree's owner knows of, and a twentieth more */
    /* The agent was paused for its tree's size, and the tree has not been smaller since. */
    bool ended;
};

struct disk_limit *disk_limit_open(struct agents *agents);
void disk_limit_scan(struct disk_limit *disk); /* begins a round, unless one is under way */
void disk_limit_close(struct disk_limit *disk);
