#include "supervisor/shared/lock_claims.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/memory.h"

enum {
    REPEAT_MS = 5000, /* between two lists with answered claims */
    ASK_AGAIN_MS = 2000,
    /* Between two lists with unanswered ones: longer each time, for a slow bus. */
    ASK_AGAIN_MAX_MS = 16 * 1000
};

struct far_claim {
    TAILQ_ENTRY(far_claim) link;
    char *agent, *task;
    uint64_t number; /* never used twice: by it the home knows a claim that is repeated */
    uint64_t token;  /* 0: the claim waits */
    int64_t lease_seconds, ends_ms;
    bool begun; /* the worker has asked again while it held the lock: the lease runs from then, once */
    bool owed;  /* the worker has asked, and was not answered */
};

struct far_lock {
    TAILQ_ENTRY(far_lock) link;
    char *name;
    TAILQ_HEAD(far_claim_list, far_claim) claims;
    uint64_t turn; /* of the last list */
    int64_t sent_ms, again_ms;
    bool answered;
};

struct lock_claims {
    const struct lock_claims_operations *operations;
    void *context;
    TAILQ_HEAD(, far_lock) locks;
    uint64_t turn; /* of the last list, whatever the lock */
};

struct lock_claims *lock_claims_new(const struct lock_claims_operations *operations, void *context,
                                    uint64_t turn)
{
    struct lock_claims *claims = memory_new(1, sizeof *claims);
    claims->operations = operations;
    claims->context = context;
    claims->turn = turn;
    TAILQ_INIT(&claims->locks);
    return claims;
}

static void drop(struct far_lock *lock, struct far_claim *claim)
{
    TAILQ_REMOVE(&lock->claims, claim, link);
    free(claim->agent);
    free(claim->task);
    free(claim);
}

static void forget(struct lock_claims *claims, struct far_lock *lock)
{
    while (!TAILQ_EMPTY(&lock->claims))
        drop(lock, TAILQ_FIRST(&lock->claims));
    TAILQ_REMOVE(&claims->locks, lock, link);
    free(lock->name);
    free(lock);
}

void lock_claims_free(struct lock_claims *claims)
{
    while (claims && !TAILQ_EMPTY(&claims->locks))
        forget(claims, TAILQ_FIRST(&claims->locks));
    free(claims);
}

/* --- words to the home --- */

static size_t count_claims(const struct far_lock *lock)
{
    size_t count = 0;
    const struct far_claim *claim;
    TAILQ_FOREACH(claim, &lock->claims, link)
    count++;
    return count;
}

static void list(const struct far_lock *lock, struct lock_claim_word *words)
{
    const struct far_claim *claim;
    TAILQ_FOREACH(claim, &lock->claims, link)
    *words++ = (struct lock_claim_word){.number = claim->number,
                                        .token = claim->token,
                                        .agent = claim->agent,
                                        .task = claim->task,
                                        .lease_seconds = claim->lease_seconds,
                                        .begun = claim->begun};
}

/* Sends the whole list, also an empty one: the lock is forgotten then, and a home that misses the list asks. */
static void send(struct lock_claims *claims, struct far_lock *lock)
{
    size_t count = count_claims(lock);
    OWNED struct lock_claim_word *words = memory_new(count + 1, sizeof *words);
    const char *home = claims->operations->home(claims->context, lock->name);
    list(lock, words);
    lock->turn = ++claims->turn;
    lock->sent_ms = claims->operations->now_ms(claims->context);
    lock->again_ms = lock->answered || !lock->again_ms       ? ASK_AGAIN_MS
                     : lock->again_ms * 2 < ASK_AGAIN_MAX_MS ? lock->again_ms * 2
                                                             : ASK_AGAIN_MAX_MS;
    lock->answered = false;
    if (home && *home)
        claims->operations->say(
            claims->context, home,
            &(struct lock_word){
                .what = "claims", .lock = lock->name, .turn = lock->turn, .claims = words, .count = count});
}

/* --- words to workers --- */

static void tell(struct lock_claims *claims, const struct far_lock *lock, struct far_claim *claim,
                 int64_t lease_until, const char *holder)
{
    claim->owed = false;
    claims->operations->tell(claims->context, claim->agent, claim->task, lock->name, claim->token,
                             lease_until, holder);
}

static void lose(struct lock_claims *claims, struct far_lock *lock, struct far_claim *claim)
{
    claim->token = 0;
    tell(claims, lock, claim, 0, "");
    drop(lock, claim);
}

static void turn_away(struct lock_claims *claims, struct far_lock *lock, struct far_claim *claim,
                      const char *why)
{
    tell(claims, lock, claim, clock_now() + LOCK_AGAIN_SECONDS, why);
    drop(lock, claim);
}

/* The claim's place is kept here, and asked for when the home is back. */
static void tell_absence(struct lock_claims *claims, struct far_lock *lock)
{
    const char *home = claims->operations->home(claims->context, lock->name);
    const char *absence = home ? claims->operations->absence(claims->context, home) : NULL;
    struct far_claim *claim;
    if (!absence)
        return;
    TAILQ_FOREACH(claim, &lock->claims, link)
    if (claim->owed && !claim->token)
        tell(claims, lock, claim, 0, absence);
}

/* --- tasks --- */

static struct far_lock *find_lock(struct lock_claims *claims, const char *name)
{
    struct far_lock *lock;
    TAILQ_FOREACH(lock, &claims->locks, link)
    if (strcmp(lock->name, name) == 0)
        return lock;
    return NULL;
}

static struct far_lock *meet(struct lock_claims *claims, const char *name)
{
    struct far_lock *lock = find_lock(claims, name);
    if (lock)
        return lock;
    lock = memory_new(1, sizeof *lock);
    lock->name = memory_text(name);
    TAILQ_INIT(&lock->claims);
    TAILQ_INSERT_TAIL(&claims->locks, lock, link);
    return lock;
}

/* but: a lock that is kept; only: the lock to leave, NULL: any; task NULL: all of the agent's. */
static void leave(struct lock_claims *claims, const char *but, const char *only, const char *agent,
                  const char *task)
{
    for (struct far_lock *lock = TAILQ_FIRST(&claims->locks), *after; lock; lock = after) {
        bool changed = false;
        after = TAILQ_NEXT(lock, link);
        for (struct far_claim *claim = TAILQ_FIRST(&lock->claims), *next; claim; claim = next) {
            next = TAILQ_NEXT(claim, link);
            if (strcmp(claim->agent, agent) != 0 || (task && strcmp(claim->task, task) != 0) ||
                (but && strcmp(lock->name, but) == 0) || (only && strcmp(lock->name, only) != 0))
                continue;
            drop(lock, claim);
            changed = true;
        }
        if (changed)
            send(claims, lock);
        if (changed && TAILQ_EMPTY(&lock->claims))
            forget(claims, lock);
    }
}

void lock_claims_leave(struct lock_claims *claims, const char *agent, const char *task, const char *lock)
{
    leave(claims, NULL, lock, agent, task);
}

void lock_claims_agent_gone(struct lock_claims *claims, const char *agent)
{
    leave(claims, NULL, NULL, agent, NULL);
}

static struct far_claim *find_claim(struct far_lock *lock, const char *agent, const char *task)
{
    struct far_claim *claim;
    TAILQ_FOREACH(claim, &lock->claims, link)
    if (strcmp(claim->task, task) == 0 && strcmp(claim->agent, agent) == 0)
        return claim;
    return NULL;
}

/* Bounds an agent's claims, and a lock's list. */
static bool has_place(const struct lock_claims *claims, const struct far_lock *lock, const char *agent)
{
    size_t listed = 0, count = 0;
    const struct far_lock *other;
    const struct far_claim *claim;
    TAILQ_FOREACH(other, &claims->locks, link)
    TAILQ_FOREACH(claim, &other->claims, link)
    {
        listed += other == lock;
        count += strcmp(claim->agent, agent) == 0;
    }
    return count <= LOCK_CLAIMS_MAX && listed <= LOCK_CLAIMS_LISTED;
}

static uint64_t new_number(void)
{
    return ((uint64_t)arc4random() << 30 | arc4random() >> 2) + 1;
}

static struct far_claim *add_claim(struct far_lock *lock, const char *agent, const char *task,
                                   int64_t lease_seconds)
{
    struct far_claim *claim = memory_new(1, sizeof *claim);
    *claim = (struct far_claim){.agent = memory_text(agent),
                                .task = memory_text(task),
                                .number = new_number(),
                                .lease_seconds = lease_seconds > 0 ? lease_seconds : 1};
    TAILQ_INSERT_TAIL(&lock->claims, claim, link);
    return claim;
}

void lock_claims_ask(struct lock_claims *claims, const char *agent, const char *task, const char *name,
                     int64_t lease_seconds)
{
    leave(claims, name, NULL, agent, task);
    struct far_lock *lock = meet(claims, name);
    struct far_claim *claim = find_claim(lock, agent, task);
    if (claim && claim->token)
        claim->begun = true;
    claim = claim ? claim : add_claim(lock, agent, task, lease_seconds);
    claim->owed = true;
    if (!has_place(claims, lock, agent)) {
        turn_away(claims, lock, claim, "others: too many tasks hold or wait for locks");
        return;
    }
    send(claims, lock);
    tell_absence(claims, lock);
}

/* --- words from the home --- */

static const struct lock_claim_word *find_word(const struct lock_word *word, uint64_t number)
{
    for (size_t i = 0; i < word->count; i++)
        if (word->claims[i].number == number)
            return &word->claims[i];
    return NULL;
}

/* The lease counts from this node's question: so it ends here before it does at the home. */
static void hold(struct lock_claims *claims, struct far_lock *lock, struct far_claim *claim,
                 const struct lock_claim_word *said)
{
    int64_t now_ms = claims->operations->now_ms(claims->context);
    bool is_new = !claim->token, is_over = lock->sent_ms + said->left_ms <= now_ms;
    if (is_new && is_over) { /* nobody was told of the lease: the claim waits anew */
        claim->number = new_number();
        return;
    }
    claim->token = said->token;
    claim->ends_ms = lock->sent_ms + said->left_ms;
    if (is_over)
        lose(claims, lock, claim);
    else if (is_new || claim->owed)
        tell(claims, lock, claim, clock_now() + (claim->ends_ms - now_ms) / 1000, "");
}

static void take_state(struct lock_claims *claims, struct far_lock *lock, struct far_claim *claim,
                       const struct lock_claim_word *said)
{
    if (!said && !claim->token)
        return; /* the token comes with the next list */
    if (!said || (claim->token && said->token != claim->token))
        lose(claims, lock, claim);
    else if (said->token)
        hold(claims, lock, claim, said);
    else if (said->left_ms > 0)
        turn_away(claims, lock, claim, "others: too many tasks of the agent hold or wait for locks");
    else if (claim->owed)
        tell(claims, lock, claim, 0, said->holder && *said->holder ? said->holder : "nobody yet");
}

static void hear_state(struct lock_claims *claims, struct far_lock *lock, const struct lock_word *word)
{
    /* This node's memory of its turns was lost. Earlier lists may still be on their way. */
    if (word->turn > lock->turn) {
        claims->turn = word->turn > claims->turn ? word->turn + LOCK_CLAIMS_TURNS : claims->turn;
        send(claims, lock);
    }
    if (word->turn != lock->turn)
        return;
    lock->answered = true;
    for (struct far_claim *claim = TAILQ_FIRST(&lock->claims), *next; claim; claim = next) {
        next = TAILQ_NEXT(claim, link);
        take_state(claims, lock, claim, find_word(word, claim->number));
    }
}

void lock_claims_hear(struct lock_claims *claims, const char *node, const struct lock_word *word)
{
    struct far_lock *lock = find_lock(claims, word->lock);
    const char *home = claims->operations->home(claims->context, word->lock);
    if (!home || strcmp(home, node) != 0)
        return;
    if (strcmp(word->what, "state") == 0 && lock)
        hear_state(claims, lock, word);
    if (strcmp(word->what, "look") == 0)
        send(claims, lock ? lock : meet(claims, word->lock));
    lock = find_lock(claims, word->lock);
    if (lock && TAILQ_EMPTY(&lock->claims))
        forget(claims, lock);
}

/* --- time --- */

static void end_leases(struct lock_claims *claims, struct far_lock *lock)
{
    bool changed = false;
    for (struct far_claim *claim = TAILQ_FIRST(&lock->claims), *next; claim; claim = next) {
        next = TAILQ_NEXT(claim, link);
        if (!claim->token || claims->operations->now_ms(claims->context) < claim->ends_ms)
            continue;
        lose(claims, lock, claim);
        changed = true;
    }
    if (changed)
        send(claims, lock);
}

/* The token of a held claim is the former home's: its lease ends at once. */
static void hand_over(struct lock_claims *claims, struct far_lock *lock)
{
    while (!TAILQ_EMPTY(&lock->claims)) {
        struct far_claim *claim = TAILQ_FIRST(&lock->claims);
        if (claim->token) {
            lose(claims, lock, claim);
            continue;
        }
        claims->operations->here(claims->context, claim->agent, claim->task, lock->name,
                                 claim->lease_seconds);
        drop(lock, claim);
    }
}

void lock_claims_turn(struct lock_claims *claims, bool again)
{
    for (struct far_lock *lock = TAILQ_FIRST(&claims->locks), *next; lock; lock = next) {
        int64_t silent_ms = claims->operations->now_ms(claims->context) - lock->sent_ms;
        next = TAILQ_NEXT(lock, link);
        if (!claims->operations->home(claims->context, lock->name))
            hand_over(claims, lock);
        end_leases(claims, lock);
        if (!TAILQ_EMPTY(&lock->claims) &&
            (again || silent_ms >= (lock->answered ? REPEAT_MS : lock->again_ms)))
            send(claims, lock);
        tell_absence(claims, lock);
        if (TAILQ_EMPTY(&lock->claims))
            forget(claims, lock);
    }
}
