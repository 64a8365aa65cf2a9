/* shared/locks/NAME.md: a lock for people to read, and for the next start (lock_load.c). */
#include <inttypes.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "supervisor/shared/lock_part.h"

static void print_time(struct buffer *out, const char *key, int64_t seconds)
{
    char text[CLOCK_TEXT];
    buffer_print(out, "%s: %s\n", key, clock_format(seconds, text));
}

static void print_claim(struct buffer *out, const struct claim *claim)
{
    OWNED char *who = memory_print("%s: %s", claim->agent, claim->task);
    yaml_write_scalar(out, who);
}

static size_t print_waiters(const struct lock *lock, struct buffer *out)
{
    size_t count = 0;
    buffer_text(out, lock->waiters ? "waiters:\n" : "waiters: []\n");
    for (const struct claim *claim = lock->waiters; claim; claim = claim->next) {
        if (count++ >= LOCK_WAITERS_SHOWN)
            continue;
        buffer_text(out, "  - ");
        print_claim(out, claim);
        buffer_text(out, "\n");
    }
    return count;
}

static void print_body(const struct lock *lock, size_t waiting, struct buffer *out)
{
    char since[CLOCK_TEXT], until[CLOCK_TEXT];
    if (lock->holder)
        buffer_print(
            out,
            "Held by %s for its task %s since %s, until %s at the latest. Its work carries the token %" PRIu64
            "; a service that is told a lower token must refuse the work.\n",
            lock->holder->agent, lock->holder->task, clock_format(lock->since, since),
            clock_format(lock->lease_until, until), lock->token);
    else
        buffer_text(out, "Free. The next holder's token is higher than the token above.\n");
    if (waiting > LOCK_WAITERS_SHOWN)
        buffer_print(out, "%zu tasks wait for the lock; the first %d are listed.\n", waiting,
                     LOCK_WAITERS_SHOWN);
}

void lock_print(struct locks *locks, const struct lock *lock, struct buffer *out)
{
    buffer_text(out, "---\n");
    yaml_write_text(out, "name", lock->name);
    buffer_text(out, "holder: ");
    if (lock->holder)
        print_claim(out, lock->holder);
    else
        buffer_text(out, "none");
    buffer_text(out, "\n");
    if (lock->holder) {
        yaml_write_text(out, "agent", lock->holder->agent);
        yaml_write_text(out, "task", lock->holder->task);
    }
    if (lock->holder && lock->holder->far.node) {
        yaml_write_text(out, "node", lock->holder->far.node);
        buffer_print(out, "claim: %" PRIu64 "\nturn: %" PRIu64 "\nlease_seconds: %" PRId64 "\n",
                     lock->holder->far.number, lock->holder->far.turn, lock->holder->lease_seconds);
    }
    buffer_print(out, "token: %" PRIu64 "\n", lock->token);
    if (lock->holder) {
        print_time(out, "since", lock->since);
        print_time(out, "lease_until", lock->lease_until);
    }
    size_t waiting = print_waiters(lock, out);
    if (locks->node && locks->operations->is_home(locks->context, lock->file))
        yaml_write_text(out, "home", locks->node);
    buffer_text(out, "---\n");
    print_body(lock, waiting, out);
}
