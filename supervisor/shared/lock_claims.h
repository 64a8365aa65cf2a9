/* The claims of this node's tasks, held or waiting, on locks that have their homes on other nodes, or nobody knows
 * where (lock_far.c has the words and the crashes). No claim is on disk: workers end with their supervisor.
 *
 * Pure: clock and messages are operations that the owner hands in. */
#pragma once

#include "supervisor/shared/locks.h"

struct lock_claims;

enum {
    LOCK_CLAIMS_TURN_MS = 500,
    LOCK_CLAIMS_LISTED = 1000, /* claims of one lock */
    LOCK_CLAIMS_TURNS = 1 << 30
};

struct lock_claims_operations {
    /* The lock's home, borrowed for the moment; NULL: here, "": nobody knows. */
    const char *(*home)(void *context, const char *lock);
    const char *(*absence)(void *context, const char *node); /* a sentence's end; NULL: the node answers */
    void (*tell)(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                 int64_t lease_until, const char *holder); /* as in locks_operations */
    /* The lock turned out to have its home here. */
    void (*here)(void *context, const char *agent, const char *task, const char *lock, int64_t lease_seconds);
    bool (*say)(void *context, const char *node, const struct lock_word *word); /* false: nothing went out */
    int64_t (*now_ms)(void *context); /* goes on while the machine sleeps */
};

/* turn: at least LOCK_CLAIMS_TURNS above the turn of any earlier start, whatever the clock did. */
struct lock_claims *lock_claims_new(const struct lock_claims_operations *operations, void *context,
                                    uint64_t turn);
void lock_claims_free(struct lock_claims *claims); /* NULL is fine */

/* As locks_ask, but for the answer, which comes when the home has given it; while the home is away the worker is told
 * so at once. */
void lock_claims_ask(struct lock_claims *claims, const char *agent, const char *task, const char *lock,
                     int64_t lease_seconds);
void lock_claims_leave(struct lock_claims *claims, const char *agent, const char *task,
                       const char *lock); /* NULL: whatever lock the task has */
void lock_claims_agent_gone(struct lock_claims *claims, const char *agent);
void lock_claims_hear(struct lock_claims *claims, const char *node, const struct lock_word *word);
/* Every LOCK_CLAIMS_TURN_MS; again: the bus, or a home, is another. */
void lock_claims_turn(struct lock_claims *claims, bool again);
