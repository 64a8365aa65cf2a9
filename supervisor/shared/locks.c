/* Why no cycle of waiters can exist, so that none has to be found: a task has at most one lock, held or waited for
 * (one field of its block; a request for another lock leaves the former one, here in locks_ask). A waiter holds
 * nothing, so no task ever waits for a waiter. A worker may hold a lock for a task that it has not begun while
 * another task is in its hands; that other task doesn't wait for anything here, and ends. And every lease ends by
 * itself, whatever its holder does. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/shared/lock_part.h"

enum { RETRY_MS = 1000, RETRY_MAX_MS = 60 * 1000 };

/* The last token that a file can hold. No token is given after it, for the tokens would begin anew at the next
 * start. */
static const int64_t token_max = INT64_MAX;

struct locks *locks_new(const struct locks_operations *operations, void *context, const char *node)
{
    struct locks *locks = memory_new(1, sizeof *locks);
    locks->operations = operations;
    locks->context = context;
    locks->node = node;
    return locks;
}

static void claim_free(struct claim *claim)
{
    if (!claim)
        return;
    free(claim->agent);
    free(claim->task);
    free(claim->far.node);
    free(claim);
}

static void lock_free(struct lock *lock)
{
    claim_free(lock->holder);
    while (lock->waiters) {
        struct claim *claim = lock->waiters;
        lock->waiters = claim->next;
        claim_free(claim);
    }
    free(lock->name);
    free(lock->file);
    free(lock);
}

void locks_free(struct locks *locks)
{
    if (!locks)
        return;
    for (size_t i = 0; i < locks->count; i++)
        lock_free(locks->all[i]);
    free(locks->all);
    free(locks);
}

static bool is_claim(const struct claim *claim, const char *agent, const char *task)
{
    return claim && !claim->far.node && strcmp(claim->task, task) == 0 && strcmp(claim->agent, agent) == 0;
}

struct lock *lock_find(const struct locks *locks, const char *name)
{
    uint64_t hash = names_hash(name, strlen(name));
    for (size_t i = 0; i < locks->count; i++)
        if (locks->all[i]->hash == hash && strcmp(locks->all[i]->name, name) == 0)
            return locks->all[i];
    return NULL;
}

static bool is_free(const struct lock *lock)
{
    return !lock->holder && !lock->waiters;
}

static void forget(struct locks *locks, size_t i)
{
    lock_free(locks->all[i]);
    memmove(&locks->all[i], &locks->all[i + 1], (locks->count - i - 1) * sizeof *locks->all);
    locks->count--;
}

/* The token tells which of the free locks was given out longest ago. */
static void forget_some(struct locks *locks)
{
    for (;;) {
        size_t count = 0, oldest = 0;
        for (size_t i = 0; i < locks->count; i++)
            if (is_free(locks->all[i]) && (count++ == 0 || locks->all[i]->token < locks->all[oldest]->token))
                oldest = i;
        if (count <= LOCKS_FREE_MAX)
            return;
        locks->operations->remove(locks->context, locks->all[oldest]->file);
        forget(locks, oldest);
    }
}

struct lock *lock_add(struct locks *locks, const char *name)
{
    struct lock *lock = memory_new(1, sizeof *lock);
    forget_some(locks);
    lock->name = memory_text(name);
    lock->file = names_file(name);
    lock->hash = names_hash(name, strlen(name));
    lock->last = &lock->waiters;
    return *MEMORY_ADD(locks->all, locks->count) = lock;
}

bool lock_is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_LENGTH_MAX || !utf8_valid(name, length))
        return false;
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f)
            return false;
    return true;
}

static void storage_failed(struct locks *locks, const struct fault *fault)
{
    if (!locks->retry_wait)
        log_warn("agentos", NULL,
                 "Locks: %s. No task is given a lock that can't be written down; the write is tried again.",
                 fault->text);
    locks->retry_wait = locks->retry_wait ? locks->retry_wait * 2 : RETRY_MS;
    if (locks->retry_wait > RETRY_MAX_MS)
        locks->retry_wait = RETRY_MAX_MS;
    locks->retry_ms = locks->operations->now_ms(locks->context) + locks->retry_wait;
}

static bool save(struct locks *locks, struct lock *lock, bool durable)
{
    OWNED_BUFFER struct buffer text = {0};
    struct fault fault;
    lock_print(locks, lock, &text);
    lock->behind = !locks->operations->save(locks->context, lock->file, &text, durable, &fault);
    if (lock->behind)
        storage_failed(locks, &fault);
    else
        lock->look = locks->operations->look(locks->context, lock->file);
    return !lock->behind;
}

void locks_load_token(struct locks *locks, uint64_t token)
{
    if (token > locks->token && token <= (uint64_t)token_max)
        locks->token = token;
}

void locks_hold(struct locks *locks, bool held)
{
    locks->held = held;
    locks->operations->timer(locks->context, 0);
}

/* --- holding and waiting --- */

static void tell(struct locks *locks, const struct lock *lock, struct claim *claim)
{
    bool held = lock->holder == claim;
    if (claim->far.node) {
        claim_look(locks, lock, claim);
        return;
    }
    OWNED char *holder =
        lock->holder && !held ? memory_print("%s: %s", lock->holder->agent, lock->holder->task) : NULL;
    locks->operations->tell(locks->context, claim->agent, claim->task, lock->name, held ? lock->token : 0,
                            held ? lock->lease_until : 0, holder ? holder : "");
}

static void tell_happened(struct locks *locks, const struct lock *lock, const char *event)
{
    locks->operations->happened(locks->context, lock->holder->agent, event, lock->name, lock->holder->task,
                                lock->token);
}

void lock_begin_lease(struct locks *locks, struct lock *lock)
{
    lock->lease_until = clock_now() + lock->holder->lease_seconds;
    lock->ends_ms = locks->operations->now_ms(locks->context) + lock->holder->lease_seconds * 1000;
}

/* The first waiter of the lock that may have it; points to NULL: none. */
static struct claim **next_of(const struct locks *locks, struct lock *lock)
{
    struct claim **at = &lock->waiters;
    while (*at && !claim_may_hold(locks, *at))
        at = &(*at)->next;
    return at;
}

static void hold(struct locks *locks, struct lock *lock, struct claim **at)
{
    struct claim *claim = *at;
    *at = claim->next;
    if (lock->last == &claim->next)
        lock->last = at;
    claim->next = NULL;
    lock->holder = claim;
    lock->since = clock_now();
    lock_begin_lease(locks, lock);
}

static void unhold(struct lock *lock)
{
    struct claim *claim = lock->holder;
    lock->holder = NULL;
    claim->next = lock->waiters;
    if (!lock->waiters)
        lock->last = &claim->next;
    lock->waiters = claim;
}

/* Gives a free lock to the first of its waiters whose node is there. The steps, and what a crash between them leaves:
 *   1. the counter is on disk: this token counts as given. A kill here: the token is a gap, and tokens still grow.
 *   2. the lock's file is on disk, with token and holder. A kill here: the holder's worker dies with the supervisor, was
 *      never told, and begins anew; the next start frees the lock and keeps the token. A holder on another node lives on:
 *      the next start knows it by the file (lock_far.c).
 *   3. the holder is told.
 * When 1 or 2 fails the lock stays free and the waiters keep their places; the token, if it was counted, isn't used
 * again, for the file that failed may be on disk all the same. */
void lock_grant(struct locks *locks, struct lock *lock)
{
    struct fault fault;
    struct claim **first = next_of(locks, lock);
    if (lock->holder || !*first || locks->retry_ms || locks->held)
        return;
    if (locks->token >= (uint64_t)token_max) {
        fault_set(&fault,
                  "the tokens have come to %" PRIu64 ", the last one; who wrote that into a lock's file?",
                  locks->token);
        storage_failed(locks, &fault);
        return;
    }
    if (!locks->operations->save_token(locks->context, locks->token + 1, &fault)) {
        storage_failed(locks, &fault);
        return;
    }
    lock->token = ++locks->token;
    hold(locks, lock, first);
    if (!save(locks, lock, true)) {
        unhold(lock);
        return;
    }
    locks->retry_wait = 0;
    tell(locks, lock, lock->holder);
    tell_happened(locks, lock, "lock_granted");
}

/* The file follows with the next grant, or soon: until then it shows a former holder, and a crash frees the lock
 * anyway. */
void lock_end_hold(struct locks *locks, struct lock *lock, const char *event)
{
    tell_happened(locks, lock, event);
    claim_free(lock->holder);
    lock->holder = NULL;
    lock->behind = true;
}

static int64_t sooner(int64_t at, int64_t other)
{
    return at < 0 || other < at ? other : at;
}

/* Sets the timer for the next end of a lease, for another try of the storage, or for files that are behind (at
 * once). */
void lock_set_timer(struct locks *locks)
{
    int64_t now = locks->operations->now_ms(locks->context), due = -1;
    for (size_t i = 0; i < locks->count; i++) {
        struct lock *lock = locks->all[i];
        if (lock->holder)
            due = sooner(due, lock->ends_ms > now ? lock->ends_ms - now : 0);
        if (!locks->held && (lock->behind || (!lock->holder && *next_of(locks, lock))))
            due = sooner(due, locks->retry_ms > now ? locks->retry_ms - now : 0);
    }
    locks->operations->timer(locks->context, due);
}

void lock_drop_waiter(struct lock *lock, struct claim **at)
{
    struct claim *claim = *at;
    *at = claim->next;
    if (lock->last == &claim->next)
        lock->last = at;
    claim_free(claim);
    lock->behind = true;
}

/* The claim's place among the lock's waiters; NULL: the task doesn't wait there. */
static struct claim **place_of(struct lock *lock, const char *agent, const char *task)
{
    for (struct claim **at = &lock->waiters; *at; at = &(*at)->next)
        if (is_claim(*at, agent, task))
            return at;
    return NULL;
}

static void leave(struct locks *locks, struct lock *lock, const char *agent, const char *task)
{
    struct claim **at = place_of(lock, agent, task);
    if (at)
        lock_drop_waiter(lock, at);
    if (!is_claim(lock->holder, agent, task))
        return;
    lock_end_hold(locks, lock, "lock_released");
    lock_grant(locks, lock);
}

/* Leaves every other lock: a task that wants `but` has no other. */
static void leave_others(struct locks *locks, const struct lock *but, const char *agent, const char *task)
{
    for (size_t i = 0; i < locks->count; i++)
        if (locks->all[i] != but)
            leave(locks, locks->all[i], agent, task);
}

struct claim *lock_wait(struct lock *lock, const char *agent, const char *task, int64_t lease_seconds)
{
    struct claim *claim = memory_new(1, sizeof *claim);
    claim->agent = memory_text(agent);
    claim->task = memory_text(task);
    claim->lease_seconds = lease_seconds > 0 ? lease_seconds : 1;
    *lock->last = claim;
    lock->last = &claim->next;
    lock->behind = true;
    return claim;
}

static void wait_for(struct locks *locks, struct lock *lock, const char *agent, const char *task,
                     int64_t lease_seconds)
{
    struct claim *claim = lock_wait(lock, agent, task, lease_seconds);
    lock_grant(locks, lock);
    if (lock->holder != claim)
        tell(locks, lock, claim);
}

/* The lock was given out while the worker had another task in hand, and that time is not the holder's. The lease is
 * renewed once, so that it ends whatever the worker says. */
static void renew(struct locks *locks, struct lock *lock)
{
    if (!lock->holder->begun) {
        lock_begin_lease(locks, lock);
        lock->behind = true;
    }
    lock->holder->begun = true;
    tell(locks, lock, lock->holder);
}

/* Each agent has a fixed number of places, whatever the others do: an agent that asks for very many locks keeps no
 * other agent from one. */
bool lock_has_place(const struct locks *locks, const char *agent)
{
    size_t count = 0;
    for (size_t i = 0; i < locks->count; i++) {
        const struct lock *lock = locks->all[i];
        count += lock->holder && strcmp(lock->holder->agent, agent) == 0;
        for (const struct claim *claim = lock->waiters; claim; claim = claim->next)
            count += strcmp(claim->agent, agent) == 0;
    }
    return count < LOCK_CLAIMS_MAX;
}

static void turn_away(struct locks *locks, const char *agent, const char *task, const char *name)
{
    OWNED char *why = memory_print("others: %d tasks of %s hold or wait for locks", LOCK_CLAIMS_MAX, agent);
    locks->operations->tell(locks->context, agent, task, name, 0, clock_now() + LOCK_AGAIN_SECONDS, why);
}

bool locks_ask(struct locks *locks, const char *agent, const char *task, const char *name,
               int64_t lease_seconds)
{
    if (!lock_is_name(name))
        return false;
    struct lock *lock = lock_find(locks, name);
    leave_others(locks, lock, agent, task);
    struct claim **at = lock ? place_of(lock, agent, task) : NULL;
    if (at)
        tell(locks, lock, *at);
    else if (lock && is_claim(lock->holder, agent, task))
        renew(locks, lock);
    else if (!lock_has_place(locks, agent))
        turn_away(locks, agent, task, name);
    else
        wait_for(locks, lock ? lock : lock_add(locks, name), agent, task, lease_seconds);
    lock_set_timer(locks);
    return true;
}

void locks_leave(struct locks *locks, const char *agent, const char *task)
{
    leave_others(locks, NULL, agent, task);
    lock_set_timer(locks);
}

bool locks_forget(struct locks *locks, const char *file)
{
    for (size_t i = 0; i < locks->count; i++)
        if (strcmp(locks->all[i]->file, file) == 0) {
            bool can = is_free(locks->all[i]);
            if (can)
                forget(locks, i);
            return can;
        }
    return true;
}

void locks_give_up(struct locks *locks, const char *agent, const char *task, const char *name)
{
    struct lock *lock = lock_find(locks, name);
    if (lock)
        leave(locks, lock, agent, task);
    lock_set_timer(locks);
}

/* First the agent's waiting claims end, then its holding ones: no lock is granted to a worker that isn't there any
 * more. */
void locks_agent_gone(struct locks *locks, const char *agent)
{
    for (size_t i = 0; i < locks->count; i++)
        for (struct claim **at = &locks->all[i]->waiters; *at;)
            if (!(*at)->far.node && strcmp((*at)->agent, agent) == 0)
                lock_drop_waiter(locks->all[i], at);
            else
                at = &(*at)->next;
    for (size_t i = 0; i < locks->count; i++) {
        struct lock *lock = locks->all[i];
        if (!lock->holder || lock->holder->far.node || strcmp(lock->holder->agent, agent) != 0)
            continue;
        log_info("agentos", agent, "The worker has ended: the lock %s (task %s, token %" PRIu64 ") is free",
                 lock->name, lock->holder->task, lock->token);
        /* The next turn grants the lock: the agent may have held many. */
        lock_end_hold(locks, lock, "lock_released");
    }
    lock_set_timer(locks);
}

/* --- time and people --- */

static void end_lease(struct locks *locks, struct lock *lock)
{
    struct claim *former = lock->holder;
    log_warn("agentos", former->agent,
             "The lease of the lock %s is over (%" PRId64 " s): task %s loses it and is put off", lock->name,
             former->lease_seconds, former->task);
    if (!former->far.node) /* on the holder's node the lease has ended a moment before */
        locks->operations->tell(locks->context, former->agent, former->task, lock->name, 0, 0, "");
    lock_end_hold(locks, lock, "lock_expired");
}

void locks_turn(struct locks *locks)
{
    int64_t now = locks->operations->now_ms(locks->context);
    if (now >= locks->retry_ms)
        locks->retry_ms = 0;
    size_t writes = 0, i = 0;
    for (; i < locks->count && writes < LOCK_WRITES_MAX; i++) {
        struct lock *lock = locks->all[(locks->next + i) % locks->count];
        const struct claim *before = lock->holder;
        if (lock->holder && now >= lock->ends_ms)
            end_lease(locks, lock);
        lock_grant(locks, lock);
        bool behind = lock->behind && !locks->retry_ms && !locks->held;
        if (behind)
            save(locks, lock, false);
        writes += behind || lock->holder != before;
    }
    locks->next = locks->count ? (locks->next + i) % locks->count : 0;
    forget_some(locks);
    lock_set_timer(locks);
}

void locks_scan(struct locks *locks)
{
    for (size_t i = locks->count; i-- > 0;) {
        struct lock *lock = locks->all[i];
        uint64_t look = locks->operations->look(locks->context, lock->file);
        if (lock->behind || look == lock->look)
            continue;
        if (!look && is_free(lock)) {
            forget(locks, i);
            continue;
        }
        log_warn("agentos", NULL,
                 "shared/locks/%s.md was changed by hand; it shows the true state again (holders and waiters "
                 "are not decided there)",
                 lock->file);
        lock->behind = true;
    }
    lock_set_timer(locks);
}
