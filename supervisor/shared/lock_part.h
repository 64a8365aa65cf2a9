/* The locks from within: locks.c and lock_*.c share these types and functions. No other file includes this header. */
#pragma once

#include "supervisor/shared/locks.h"

enum {
    CLAIM_FRESH_MS = 15 * 1000, /* how long after its node's word a claim of another node may be granted */
    CLAIM_ASKED_MS = 10 * 1000, /* after that much silence its node is asked */
    CLAIM_LEASE_SECONDS_MAX = 366 * 86400,
    CLAIM_STALE_MS =
        60 * 1000, /* after that much the claim loses its place among the waiters; a holder keeps its lease */
};

struct claim {
    char *agent, *task;
    int64_t lease_seconds;
    bool begun; /* the lease runs from when the worker began with the task */
    struct {    /* of a task on another node; node NULL: the task is here */
        char *node;
        uint64_t number;  /* that node's own, of this claim alone */
        uint64_t turn;    /* of that node's last list, which has this claim */
        int64_t heard_ms; /* when the list came; 0: not since the start */
        int64_t asked_ms;
    } far;
    struct claim *next;
};

struct lock {
    char *name, *file;
    uint64_t hash;        /* of the name */
    uint64_t token;       /* the last given one; 0: none yet */
    struct claim *holder; /* NULL: free */
    int64_t since;        /* epoch s */
    int64_t lease_until;  /* epoch s, for people */
    int64_t ends_ms;      /* monotonic: the end that counts */
    struct claim *waiters, **last;
    uint64_t look; /* the state of the file as it was written last */
    bool behind;   /* the file doesn't show the lock's present state */
};

struct locks {
    const struct locks_operations *operations;
    void *context;
    const char *node; /* this node's name, borrowed; NULL: there are no others */
    struct lock **all;
    size_t count, next; /* next: a turn begins there */
    uint64_t token;
    int64_t retry_ms;   /* storage failed: no grant, and no file, before; 0: it works */
    int64_t retry_wait; /* the last pause */
    bool held;          /* no lock is given out, and no file is written over that may not have been read */
};

/* locks.c */
struct lock *lock_find(const struct locks *locks, const char *name); /* NULL: the lock isn't known */
struct lock *lock_add(struct locks *locks, const char *name);
struct claim *lock_wait(struct lock *lock, const char *agent, const char *task,
                        int64_t lease_seconds);          /* adds a new waiter at the end */
void lock_grant(struct locks *locks, struct lock *lock); /* if the lock is free, and a claim waits */
void lock_end_hold(struct locks *locks, struct lock *lock, const char *event);
void lock_drop_waiter(struct lock *lock, struct claim **at);
void lock_begin_lease(struct locks *locks, struct lock *lock);
bool lock_has_place(const struct locks *locks, const char *agent);
void lock_set_timer(struct locks *locks);

/* lock_file.c */
void lock_print(struct locks *locks, const struct lock *lock, struct buffer *out);

/* lock_claim.c */
int64_t lock_now(const struct locks *locks);
void lock_say(struct locks *locks, const char *node, struct lock_word *word); /* with the highest token */
bool claim_may_hold(const struct locks *locks, const struct claim *claim);    /* false: its node is silent */
void claim_look(struct locks *locks, const struct lock *lock,
                struct claim *claim); /* the claim's node is to send its list */
