/* All agents that the supervisor looks after, and what they share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/fault.h"
#include "supervisor/agent/begin.h"
#include "supervisor/agent/detail.h"
#include "supervisor/agent/leavings.h"
#include "supervisor/agent/long_looks.h"
#include "supervisor/agent/lookup.h"
#include "supervisor/agent/starts.h"
#include "supervisor/agent/warm.h"
#include "supervisor/process/child.h"
#include "supervisor/process/loop.h"
#include "supervisor/process/switchboard.h"
#include "supervisor/process/watch.h"

struct agent;
struct rested;
struct roster_agent;

/* An agent's news to its surroundings. Each callback is called from within the agent's own functions. */
struct agent_callbacks {
    bool (*hears)(void *agent, const void *bytes, size_t length,
                  struct line_turn *turn);      /* as line_owner's message */
    void (*defined)(struct agent *agent);       /* the agent is new, or defined otherwise */
    void (*settled)(struct agent *agent);       /* the agent is ready, or won't be soon */
    void (*changed)(struct agent *agent);       /* the agent's state is another */
    void (*worker_starts)(struct agent *agent); /* a process is asked for */
    void (*asker_gone)(struct agent *agent);    /* nobody is there for answers of the model or of a checker */
    void (*worker_gone)(struct agent *agent);   /* the agent's process has ended, or it stays without one */
    void (*down)(struct agent *agent);          /* the agent has no process now; it may be freed within */
    void (*event)(const struct agent *agent, const char *event, const struct detail *details);
};

struct agents {
    const struct agent_callbacks *callbacks;
    void *context; /* the callbacks' owner */
    struct loop *loop;
    struct switchboard *switchboard;
    struct watch *watch;
    struct child *zygote;
    const char *data_dir; /* absolute */
    int data;             /* descriptor of data_dir */
    int64_t poll_seconds, grace_ms;
    struct agent **list; /* in the order of agents.yaml */
    size_t count;
    struct lookup found;
    struct begin begin;
    struct rested *rested; /* NULL: not begun */
    struct starts starts;
    struct warm warm;
    struct leavings leavings;
    struct long_looks long_looks;
    struct disk_limit *disk;
    struct memory_groups *memory_groups; /* NULL: this machine has none */
    uint64_t generations; /* of workers, of all agents together: a number is never given twice */
    struct {
        size_t next; /* the agent whose turn it is in agents_scan, if it has no process */
        size_t left; /* of the slice of them that is under way */
        /* clock_monotonic_ms: trees that agents_guard looked at since then wait for its next round */
        int64_t guarded_ms;
    } scans;
    bool ending; /* the supervisor ends: all agents are stopped for good */
    struct {
        bool lacks;       /* the machine had no room for another worker when it was looked at last */
        bool ample;       /* and then it had threads for several times the workers that start */
        int64_t until;    /* clock_monotonic_ms: the finding holds for everybody till then */
        struct fault why; /* the reason as it was said first */
    } room;               /* room.c's */
};

/* Before the first agents_add; the loop is there. */
void agents_begin(struct agents *agents);
/* NULL: there is none. */
struct agent *agents_find(const struct agents *agents, const char *name);
struct agent *agents_of_process(const struct agents *agents, pid_t pid);
bool agents_all_down(const struct agents *agents); /* no agent has a process */
struct agent *agents_add(struct agents *agents, const struct roster_agent *definition); /* not begun yet */
void agents_remove(struct agents *agents, struct agent *agent);                         /* frees it */
/* The safety scan: agents with a process each time, the others in slices, within a minute; idle workers whose trees
 * the kernel tells of are looked at in slices too, where they are many hundreds. False: the slice takes more than some
 * 50 ms, and the next call, a turn of the loop later, goes on with it; a tree that is left out would wait a minute, and
 * in a large fleet the same trees again and again. */
bool agents_scan(struct agents *agents);
/* The safety scan's look for files that git would obey in the trees of living workers, for some 50 ms; the next scan
 * goes on with the trees that are left. The other trees are looked at when their worker has ended, and by
 * agents_scan. */
void agents_guard(struct agents *agents);
void agents_free(struct agents *agents);
