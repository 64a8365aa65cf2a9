/* Locks (contract section 9): shared/locks/NAME.md, each held by one task at a time, with a lease and a fencing token.
 *
 * Memory is the truth while the supervisor runs; the files show it to people and carry the tokens over a restart. Every
 * grant is durable before it is told. All locks share one counter of tokens, so a lock's token grows also when it was
 * forgotten, or its file deleted or altered meanwhile; and the lock with the highest token is never forgotten, so the files
 * alone, without the counter's, say what the tokens have come to. After a restart every lock is free, for workers end with their supervisor; but
 * for what tasks of other nodes hold (lock_far.c).
 *
 * Pure but for the log: files, clock and messages are operations that the owner hands in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

struct locks;

/* What nodes tell each other of one lock (lock_far.c). Texts are borrowed. */
struct lock_word {
    const char *what; /* "claims": to the home; "state", its answer; "look": claims are to be sent */
    const char *lock;
    uint64_t turn;  /* grows with each list of claims of a node; its answer has the same */
    uint64_t token; /* none above this one is known to have been given */
    struct lock_claim_word {
        uint64_t number, token; /* token 0: not held */
        const char *agent, *task, *holder;
        int64_t lease_seconds;
        int64_t left_ms; /* of the lease; without a token: until there may be a place to wait; 0: it waits */
        bool begun;
    } * claims;
    size_t count;
};

enum {
    LOCK_CLAIMS_MAX = 64, /* of one agent: tasks of it that hold a lock or wait for one */
    LOCKS_FREE_MAX =
        256, /* free locks that are remembered; those given out longest ago are forgotten, file and all */
    LOCK_WRITES_MAX = 16,     /* files that one turn writes; the rest is for the next one */
    LOCK_WAITERS_SHOWN = 100, /* in a lock's file */
    LOCK_AGAIN_SECONDS = 10,  /* then one who got no place may ask again */
    LOCK_FILE_MAX = 64 * 1024,
};

struct locks_operations {
    /* shared/locks/FILE.md; durable: on disk when it returns true. */
    bool (*save)(void *context, const char *file, const struct buffer *text, bool durable,
                 struct fault *fault);
    /* No token above this one has ever been given; durable. */
    bool (*save_token)(void *context, uint64_t token, struct fault *fault);
    void (*remove)(void *context, const char *file); /* of a lock that is forgotten; not durable */
    /* Tells one state of a lock's file from another; 0: it is missing. */
    uint64_t (*look)(void *context, const char *file);
    /* MESSAGE_LOCKED to the agent's worker. token 0 and lease_until: it has no place among the waiters, and may ask again
     * then. */
    void (*tell)(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                 int64_t lease_until, const char *holder);
    /* "lock_granted", "lock_released", "lock_expired" has happened. */
    void (*happened)(void *context, const char *agent, const char *event, const char *lock, const char *task,
                     uint64_t token);
    void (*timer)(void *context, int64_t in_ms); /* locks_turn then; -1: never mind */
    int64_t (*now_ms)(void *context);            /* monotonic */
    /* Only with a bus. Whether the lock is known to have its home here; and a word to another node, which may be lost. */
    bool (*is_home)(void *context, const char *file);
    void (*say)(void *context, const char *node, const struct lock_word *word);
};

/* node: this one's name on the bus, borrowed; NULL: there is no bus. */
struct locks *locks_new(const struct locks_operations *operations, void *context, const char *node);
void locks_free(struct locks *locks);

/* At start: the counter as it was saved, and each file of the folder; the lock is free now. False and fault: it can't be
 * read as a lock; the owner sets it aside. Of a lock that is known already
 * only the token counts. */
void locks_load_token(struct locks *locks, uint64_t token);
bool locks_load(struct locks *locks, const char *file, const char *text, size_t length, struct fault *fault);

/* Nobody is given a lock while it isn't known what the tokens have come to, for what says so can't be read. */
void locks_hold(struct locks *locks, bool held);

/* LOCK: told at once, either that it is held, or who holds it; then again when it is granted. Asked again, a task keeps
 * its place, and what it holds it holds from now on as long as a lease is: once. Asked for another lock, it leaves the former one. False: no lock has such a name. */
bool locks_ask(struct locks *locks, const char *agent, const char *task, const char *name,
               int64_t lease_seconds);
bool lock_is_name(const char *name); /* as queue.md allows it: one line */
/* What the task holds or waits for is given up. */
void locks_leave(struct locks *locks, const char *agent, const char *task);
/* UNLOCK: held or waited for, it is given up. */
void locks_give_up(struct locks *locks, const char *agent, const char *task, const char *name);
/* The agent's worker has ended: what it held is free, what it waited for is forgotten. */
void locks_agent_gone(struct locks *locks, const char *agent);
/* Another node's claims on a lock that has its home here. */
void locks_hear(struct locks *locks, const char *node, const struct lock_word *word);
/* Every few seconds, with a bus: nodes that are silent are asked, and lose their places. */
void locks_far_turn(struct locks *locks);
uint64_t locks_token(const struct locks *locks); /* the last one given, as far as it is known */
/* The lock has its home on another node. False: it is in use here. Its file stays. */
bool locks_forget(struct locks *locks, const char *file);
/* The timer rings: leases that are over, grants that storage held up, files that are behind. */
void locks_turn(struct locks *locks);
/* What people did to the files: a free lock whose file was deleted is forgotten; other files are as they were again. */
void locks_scan(struct locks *locks);
