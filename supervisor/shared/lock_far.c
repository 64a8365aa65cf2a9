/* Locks over nodes (contract section 12), on the lock's home: the one node that gives the lock out, whose file is the
 * truth. lock_claims.c is the other side: the claims of a node's tasks on locks with their homes elsewhere.
 *
 *   B → A  claims  every claim that B has on the lock now, each with a number that B gives to no other; a turn that only
 *                  grows
 *   A → B  state   to the claims of this turn: the lock's holder, its token, and how much of the lease is left
 *   A → B  look    something has changed, or B is silent: claims, please
 *
 * Any word may be lost, come twice, or late. B repeats its claims while it has any, and each list is whole: so the home
 * need not hear of a lost list, and to hear a list twice is to hear it once. A list older than the last is passed over,
 * for it may lack a claim that has come to hold the lock since.
 *
 * A lock never has two holders: B counts a lease from when it asked, A from when it granted, which is later. So B's task
 * is stopped before A gives the lock to another. A lock whose claim is in no list any more is free at once; a silent
 * node keeps its locks until their leases are over, and gets no other lock: the claims of others go first.
 *
 * The state after a crash:
 *   A, before the lock's file is durable    the token is a gap; B's next list claims again
 *   A, after that                           the file names node, claim and turn: they hold the lock on, for a whole
 *                                           lease from the start, or until a list of B, later than that turn, lacks the
 *                                           claim; the state that follows tells the token
 *   A, after a release, the file behind     the file's holder goes on, until B's next list lacks the claim
 *   A's waiters                             come again with their lists, in the order in which these come
 *   B, whenever                             B's workers end with it. Its next list, which A asks for, has no earlier
 *                                           claim
 *   the bus, away                           the lease runs on both sides; claims wait with B, and the workers are told
 *                                           why
 *
 * A task that was told of a lease and whose node sleeps past it goes on with a token that is not the highest any more:
 * tokens exist for that case. Each word tells the highest known token, so tokens grow over homes that move, too. */
#include <string.h>

#include "common/memory.h"
#include "supervisor/shared/lock_part.h"

uint64_t locks_token(const struct locks *locks)
{
    return locks->token;
}

/* --- a list of claims --- */

static bool is_of(const struct claim *claim, const char *node)
{
    return claim && claim->far.node && strcmp(claim->far.node, node) == 0;
}

static struct claim *find_claim(const struct lock *lock, const char *node, uint64_t number)
{
    if (is_of(lock->holder, node) && lock->holder->far.number == number)
        return lock->holder;
    for (struct claim *claim = lock->waiters; claim; claim = claim->next)
        if (is_of(claim, node) && claim->far.number == number)
            return claim;
    return NULL;
}

static uint64_t last_turn(const struct lock *lock, const char *node)
{
    uint64_t turn = is_of(lock->holder, node) ? lock->holder->far.turn : 0;
    for (const struct claim *claim = lock->waiters; claim; claim = claim->next)
        if (is_of(claim, node) && claim->far.turn > turn)
            turn = claim->far.turn;
    return turn;
}

static bool is_listed(const struct lock_word *word, const struct claim *claim)
{
    for (size_t i = 0; i < word->count; i++)
        if (word->claims[i].number == claim->far.number)
            return true;
    return false;
}

static void drop_unlisted(struct locks *locks, struct lock *lock, const char *node,
                          const struct lock_word *word)
{
    for (struct claim **at = &lock->waiters; *at;)
        if (is_of(*at, node) && !is_listed(word, *at))
            lock_drop_waiter(lock, at);
        else
            at = &(*at)->next;
    if (is_of(lock->holder, node) && !is_listed(word, lock->holder))
        lock_end_hold(locks, lock, "lock_released");
}

/* A claim that names a token and is here no more isn't taken: its lease has ended, which its node is to know first. */
static void take_claim(struct locks *locks, struct lock *lock, const char *node, uint64_t turn,
                       const struct lock_claim_word *said)
{
    struct claim *claim = find_claim(lock, node, said->number);
    if (!claim && !said->token && lock_has_place(locks, said->agent)) {
        claim = lock_wait(lock, said->agent, said->task, said->lease_seconds);
        claim->far.node = memory_text(node);
        claim->far.number = said->number;
    }
    if (!claim)
        return;
    claim->far.turn = turn;
    claim->far.heard_ms = lock_now(locks);
    if (said->begun && !claim->begun && claim == lock->holder) {
        lock_begin_lease(locks, lock);
        lock->behind = true;
    }
    claim->begun = said->begun && claim == lock->holder;
}

static void answer(struct locks *locks, struct lock *lock, const char *node, const struct lock_word *word,
                   uint64_t turn)
{
    OWNED struct lock_claim_word *states = memory_new(word->count + 1, sizeof *states);
    OWNED char *holder =
        lock->holder ? memory_print("%s: %s", lock->holder->agent, lock->holder->task) : memory_text("");
    size_t count = 0;
    for (size_t i = 0; i < word->count; i++) {
        const struct lock_claim_word *said = &word->claims[i];
        const struct claim *claim = find_claim(lock, node, said->number);
        if (claim && claim == lock->holder)
            states[count++] = (struct lock_claim_word){
                .number = said->number, .token = lock->token, .left_ms = lock->ends_ms - lock_now(locks)};
        else if (claim || !said->token)
            states[count++] = (struct lock_claim_word){
                .number = said->number, .holder = holder, .left_ms = claim ? 0 : LOCK_AGAIN_SECONDS * 1000};
    }
    lock_say(locks, node,
             &(struct lock_word){
                 .what = "state", .lock = lock->name, .turn = turn, .claims = states, .count = count});
}

void locks_hear(struct locks *locks, const char *node, const struct lock_word *word)
{
    struct lock *lock = lock_find(locks, word->lock);
    if (!lock_is_name(word->lock))
        return;
    locks_load_token(locks, word->token);
    if (!lock && !word->count)
        return;
    lock = lock ? lock : lock_add(locks, word->lock);
    uint64_t last = last_turn(lock, node);
    if (word->turn >= last) {
        drop_unlisted(locks, lock, node, word);
        for (size_t i = 0; i < word->count; i++)
            take_claim(locks, lock, node, word->turn, &word->claims[i]);
        lock_grant(locks, lock);
    }
    answer(locks, lock, node, word, word->turn >= last ? word->turn : last);
    lock_set_timer(locks);
}

/* --- silence, and the start --- */

static void ask(struct locks *locks, const struct lock *lock, struct claim *claim)
{
    int64_t now = lock_now(locks);
    if (claim->far.node && now - claim->far.heard_ms >= CLAIM_ASKED_MS &&
        now - claim->far.asked_ms >= CLAIM_ASKED_MS)
        claim_look(locks, lock, claim);
}

void locks_far_turn(struct locks *locks)
{
    int64_t now = lock_now(locks);
    for (size_t i = 0; i < locks->count; i++) {
        struct lock *lock = locks->all[i];
        if (lock->holder)
            ask(locks, lock, lock->holder);
        for (struct claim **at = &lock->waiters; *at;)
            if ((*at)->far.node && now - (*at)->far.heard_ms >= CLAIM_STALE_MS)
                lock_drop_waiter(lock, at);
            else
                at = &(*at)->next;
    }
    lock_set_timer(locks);
}
