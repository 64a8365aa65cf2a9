/* Locks (contract section 9): shared/locks/NAME.md, each held by one task at a time, with a lease and a fencing
 * token.
 *
 * Memory is the truth while the supervisor runs; the files show it to people and carry the tokens over a restart.
 * Every grant is durable before it is told. All locks share one counter of tokens, so a lock's token grows also when
 * the lock was forgotten, or its file deleted or altered meanwhile; and the lock with the highest token is never
 * forgotten, so the files alone, without the counter's, give the highest token. After a restart every lock is free,
 * for workers end with their supervisor; except locks that tasks of other nodes hold (lock_far.c).
 *
 * Pure but for the log: files, clock and messages are operations that the owner hands in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

struct locks;

/* The nodes' words to each other about a lock (lock_far.c). Texts are borrowed. */
struct lock_word {
    /* "claims": to the home; "state", the home's answer; "look": the home asks for claims. */
    const char *what;
    const char *lock;
    uint64_t turn;  /* grows with each list of claims of a node; the answer has the same */
    uint64_t token; /* the highest token that is known to have been given */
    struct lock_claim_word {
        uint64_t number, token; /* token 0: not held */
        const char *agent, *task, *holder;
        int64_t lease_seconds;
        /* Of the lease; without a token: until there may be a place to wait; 0: the claim waits. */
        int64_t left_ms;
        bool begun;
    } * claims;
    size_t count;
};

enum {
    LOCK_CLAIMS_MAX = 64, /* of an agent: its tasks that hold a lock or wait for one */
    LOCKS_FREE_MAX =
        256, /* free locks that are remembered; the one given out longest ago is forgotten first, file and all */
    LOCK_WRITES_MAX = 16,     /* files that a turn writes; the rest is for the next turn */
    LOCK_WAITERS_SHOWN = 100, /* in a lock's file */
    LOCK_AGAIN_SECONDS = 10,  /* then a task that got no place may ask again */
    LOCK_FILE_MAX = 64 * 1024,
};

struct locks_operations {
    /* shared/locks/FILE.md; durable: on disk when it returns true. */
    bool (*save)(void *context, const char *file, const struct buffer *text, bool durable,
                 struct fault *fault);
    /* No token above this one has ever been given; durable. */
    bool (*save_token)(void *context, uint64_t token, struct fault *fault);
    void (*remove)(void *context, const char *file); /* of a lock that is forgotten; not durable */
    /* A number that differs with the file's state; 0: the file is missing. */
    uint64_t (*look)(void *context, const char *file);
    /* MESSAGE_LOCKED to the agent's worker. token 0 and lease_until: the task has no place among the waiters, and may
     * ask again then. */
    void (*tell)(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                 int64_t lease_until, const char *holder);
    /* "lock_granted", "lock_released", "lock_expired" has happened. */
    void (*happened)(void *context, const char *agent, const char *event, const char *lock, const char *task,
                     uint64_t token);
    void (*timer)(void *context, int64_t in_ms); /* locks_turn then; -1: never mind */
    int64_t (*now_ms)(void *context);            /* monotonic */
    /* Only with a bus. Whether the lock is known to have its home here; and a word to another node, which may be
     * lost. */
    bool (*is_home)(void *context, const char *file);
    void (*say)(void *context, const char *node, const struct lock_word *word);
};

/* node: this node's name on the bus, borrowed; NULL: there is no bus. */
struct locks *locks_new(const struct locks_operations *operations, void *context, const char *node);
void locks_free(struct locks *locks);

/* At start: loads the saved counter, and each file of the folder; the lock is free now. False and fault: the file
 * can't be read as a lock; the owner sets it aside. Of a known lock only the file's token counts. */
void locks_load_token(struct locks *locks, uint64_t token);
bool locks_load(struct locks *locks, const char *file, const char *text, size_t length, struct fault *fault);

/* held: no lock is given out while the highest token isn't known, as its files can't be read. */
void locks_hold(struct locks *locks, bool held);

/* LOCK: the worker is told at once, either that its task holds the lock, or who does; then again when the lock is
 * granted. A task that asks again keeps its place, and the lease of a held lock runs anew, once. A task that asks for
 * another lock leaves the former one. False: no lock has such a name. */
bool locks_ask(struct locks *locks, const char *agent, const char *task, const char *name,
               int64_t lease_seconds);
bool lock_is_name(const char *name); /* as queue.md allows it: one line */
/* Gives up the lock that the task holds or waits for. */
void locks_leave(struct locks *locks, const char *agent, const char *task);
/* UNLOCK: the lock, held or waited for, is given up. */
void locks_give_up(struct locks *locks, const char *agent, const char *task, const char *name);
/* The agent's worker has ended: its locks are free, and its waiting claims are forgotten. */
void locks_agent_gone(struct locks *locks, const char *agent);
/* Another node's claims on a lock that has its home here. */
void locks_hear(struct locks *locks, const char *node, const struct lock_word *word);
/* Every few seconds, with a bus: nodes that are silent are asked, and lose their places. */
void locks_far_turn(struct locks *locks);
uint64_t locks_token(const struct locks *locks); /* the last given token, as far as it is known */
/* The lock has its home on another node. False: the lock is in use here. Its file stays. */
bool locks_forget(struct locks *locks, const char *file);
/* The timer rings: leases that are over, grants that storage held up, files that are behind. */
void locks_turn(struct locks *locks);
/* People's changes of the files: a free lock whose file was deleted is forgotten; other files are written as they
 * were. */
void locks_scan(struct locks *locks);
