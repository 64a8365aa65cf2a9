/* What tasks of this node hold, or wait for, of locks that have their homes on other nodes, or nobody knows where (lock_far.c has
 * the words and the crashes). Nothing of it is on disk: workers end with their supervisor.
 *
 * Pure: clock and messages are operations that the owner hands in. */
#pragma once

#include "supervisor/shared/locks.h"

struct lock_claims;

enum { LOCK_CLAIMS_TURN_MS = 500, LOCK_CLAIMS_LISTED = 1000 /* of one lock */, LOCK_CLAIMS_TURNS = 1 << 30 };

struct lock_claims_operations {
    /* The lock's home, borrowed for the moment; NULL: here, "": nobody knows. */
    const char *(*home)(void *context, const char *lock);
    const char *(*absence)(void *context, const char *node); /* a sentence's end; NULL: the node answers */
    void (*tell)(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                 int64_t lease_until, const char *holder); /* as locks_operations' */
    /* The lock turned out to have its home here. */
    void (*here)(void *context, const char *agent, const char *task, const char *lock, int64_t lease_seconds);
    bool (*say)(void *context, const char *node, const struct lock_word *word); /* false: nothing went out */
    int64_t (*now_ms)(void *context); /* that goes on while the machine sleeps */
};

/* turn: at least LOCK_CLAIMS_TURNS above that of any start before, whatever the clock did. */
struct lock_claims *lock_claims_new(const struct lock_claims_operations *operations, void *context,
                                    uint64_t turn);
void lock_claims_free(struct lock_claims *claims); /* NULL is fine */

/* As locks_ask, but for the answer, which comes when the home has given it; while the home is away that is said at once. */
void lock_claims_ask(struct lock_claims *claims, const char *agent, const char *task, const char *lock,
                     int64_t lease_seconds);
void lock_claims_leave(struct lock_claims *claims, const char *agent, const char *task,
                       const char *lock); /* NULL: whatever lock it has */
void lock_claims_agent_gone(struct lock_claims *claims, const char *agent);
void lock_claims_hear(struct lock_claims *claims, const char *node, const struct lock_word *word);
/* Every LOCK_CLAIMS_TURN_MS; again: the bus, or a home, is another. */
void lock_claims_turn(struct lock_claims *claims, bool again);
