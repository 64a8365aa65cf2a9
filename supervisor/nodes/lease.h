/* The decisions about an agent's lease on a node (contract section 12): when the node may take the lease, when it
 * must renew it, and when its worker has to end.
 *
 * Pure: the clock, the key and the answers are handed in, and every act goes through the operations, so that many
 * nodes can be played in one test. The holder counts from when it sent the renewal that was confirmed last, the other
 * nodes from when they saw the key change last, which is later; so a holder that ends its worker after LEASE_GUARD_MS
 * has no worker when another node takes the lease after LEASE_MS, whatever the nodes' clocks show. All count by a
 * clock that goes on while the node sleeps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/tree.h"

enum {
    LEASE_MS = 15 * 1000,
    LEASE_RENEW_MS = 5 * 1000,
    LEASE_GUARD_MS = 10 * 1000, /* since the last renewal: the worker is killed */
    LEASE_FOUND_MS =
        20 * 1000, /* for an agent that has no directory anywhere: nodes that have its directory come first */
};

/* The node's claim on the agent. */
enum lease_claim {
    LEASE_NEVER, /* the agent may not live here */
    /* The agent is being moved: its worker ends, and the lease stays here until the claim is another. */
    LEASE_KEEPS,
    LEASE_FOUNDS, /* no directory is here: the agent may begin here where no node is known to have it */
    LEASE_HAS,    /* the agent's directory is here */
    /* The same, and agents.yaml says that the agent lives here: its worker goes on while the bus is away. */
    LEASE_PINNED,
};

/* The key's value. */
struct lease_value {
    char node[NAME_LENGTH_MAX + 1]; /* the node that holds the lease, or held it last */
    uint64_t run;                   /* of that node's supervisor: a random number */
    uint64_t epoch;
    uint64_t turn; /* counts the run's puts of this lease, so that the key's news confirms a put, too */
    bool released; /* the holder's worker has ended in good order: the next one need not wait */
};

struct lease;

struct lease_operations {
    /* revision: the key's, 0: there is no key. False: nothing was sent. lease_kept tells the end, unless the
     * connection does. */
    bool (*put)(void *context, const struct lease_value *value, uint64_t revision);
    void (*start)(void *context, uint64_t epoch); /* the worker may run */
    /* The worker may not run any more; hard: not for another moment. why: as for agent_live_here. lease_down tells
     * the end. */
    void (*stop)(void *context, bool hard, const char *why);
};

struct lease {
    const struct lease_operations *operations;
    void *context;
    const char *node; /* this node, borrowed */
    uint64_t run;
    enum lease_claim claim;
    uint64_t tree_epoch; /* in the notes of the directory here */
    bool begins; /* these say that the agent had not begun there yet; the owner's to set, with LEASE_FOUNDS */
    enum lease_stage { LEASE_FREE, LEASE_TAKING, LEASE_HELD, LEASE_ENDING } stage;
    uint64_t epoch;
    struct lease_value seen; /* the key's value, where revision isn't 0 */
    uint64_t revision;
    bool connected, known;           /* known: the key is, or its absence */
    bool asked;                      /* a put is under way, or was refused and the key's news is awaited */
    struct lease_value put_value;    /* of the last put, */
    uint64_t put_revision;           /* and the revision that it asked for */
    bool local;                      /* the lease was begun while the bus was away */
    bool runs;                       /* there may be a worker */
    bool hard;                       /* the worker was killed */
    int64_t away_since, quiet_since; /* ms: not connected since; the key has not changed since */
    int64_t put_at, held_at;         /* ms: the last put; the last confirmed put */
    int64_t renew_at, turned_at;
};

/* All times in ms, by a clock that counts a machine's sleep. */
void lease_begin(struct lease *lease, const struct lease_operations *operations, void *context,
                 const char *node, uint64_t run, int64_t now);
void lease_claim(struct lease *lease, enum lease_claim claim, uint64_t tree_epoch, int64_t now);
void lease_connected(struct lease *lease, bool connected, int64_t now);
/* The key's value now, NULL: there is no key (revision is ignored). */
void lease_key(struct lease *lease, const struct lease_value *value, uint64_t revision, int64_t now);
/* The last put has ended: the key's new revision, or 0. refused: the put was not done, since the key has another
 * revision; else nobody knows. */
void lease_kept(struct lease *lease, uint64_t revision, bool refused, int64_t now);
void lease_down(struct lease *lease, int64_t now); /* no worker is left */
/* The agent's commits are of a later epoch than the lease, which is taken anew. */
void lease_epoch(struct lease *lease, uint64_t epoch, int64_t now);
/* At least once a second, and first of all after a standstill. */
void lease_turn(struct lease *lease, int64_t now);
/* Whether no other node can have the lease for some seconds more. */
bool lease_is_held(const struct lease *lease, int64_t now);
/* Whether the agent's worker may still run, the bus being there or not. */
bool lease_lasts(const struct lease *lease, int64_t now);
/* Whether the directory here is older than the agent: the agent has lived elsewhere since. */
bool lease_is_stale(const struct lease *lease);
