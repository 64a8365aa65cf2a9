/* A claim of another node, for locks.c and lock_far.c. */
#include "supervisor/shared/lock_part.h"

int64_t lock_now(const struct locks *locks)
{
    return locks->operations->now_ms(locks->context);
}

bool claim_may_hold(const struct locks *locks, const struct claim *claim)
{
    return !claim->far.node ||
           (claim->far.heard_ms && lock_now(locks) - claim->far.heard_ms < CLAIM_FRESH_MS);
}

void lock_say(struct locks *locks, const char *node, struct lock_word *word)
{
    word->token = locks->token;
    if (locks->operations->say)
        locks->operations->say(locks->context, node, word);
}

void claim_look(struct locks *locks, const struct lock *lock, struct claim *claim)
{
    claim->far.asked_ms = lock_now(locks);
    lock_say(locks, claim->far.node, &(struct lock_word){.what = "look", .lock = lock->name});
}
