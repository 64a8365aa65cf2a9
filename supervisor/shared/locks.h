/* Locks (contract section 9): shared/locks/NAME.md, each held by one task at a time, with a lease and a fencing token.
 *
 * Memory is the truth while the supervisor runs; the files show it to people and carry the tokens over a restart. Every
 * grant is durable before it is told. All locks share one counter of tokens, so a lock's token grows also when it was
 * forgotten, or its file deleted or altered meanwhile; and the lock with the highest token is never forgotten, so the files
 * alone, without the counter's, say what the tokens have come to. After a restart every lock is free, for workers end with their supervisor.
 *
 * Pure but for the log: files, clock and messages are operations that the owner hands in. */
#ifndef AGENTOS_SUPERVISOR_SHARED_LOCKS_H
#define AGENTOS_SUPERVISOR_SHARED_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

struct locks;

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
};

struct locks *locks_new(const struct locks_operations *operations, void *context);
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
/* UNLOCK: held or waited for, it is given up. */
void locks_give_up(struct locks *locks, const char *agent, const char *task, const char *name);
/* The agent's worker has ended: what it held is free, what it waited for is forgotten. */
void locks_agent_gone(struct locks *locks, const char *agent);
/* The timer rings: leases that are over, grants that storage held up, files that are behind. */
void locks_turn(struct locks *locks);
/* What people did to the files: a free lock whose file was deleted is forgotten; other files are as they were again. */
void locks_scan(struct locks *locks);

#endif
