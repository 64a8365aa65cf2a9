/* The choice of the next work (contract sections 5 and 6): by priority over all kinds of work, then by age; blocks of
 * the queue among themselves as they stand. Two rules stand above that order, so that no work starves:
 *
 * - No sender has more than every second turn while others wait: the sender of the last turn has this turn only when
 *   all
 *   work that can be done now is that sender's. People are one sender, "operator".
 * - Work that has waited for ten minutes in which its agent could work (waiting.h) is next whatever its priority, the
 *   oldest first, but at most every second time.
 *
 * So a sender's old work waits for one turn of another sender at most, and old work for one turn of urgent work. A turn
 * that ended without an answer counts for no sender. The last turn is known in memory alone: after a restart one turn
 * may follow on another of the same sender. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/format/block.h"
#include "worker/mail/mail.h"

enum { CHOICE_OLD_MS = 10 * 60 * 1000 };

/* Work that can be done now; borrowed. block or letter is NULL. */
struct candidate {
    const char *sender;
    enum priority priority;
    int64_t created;   /* epoch seconds; 0: not given */
    int64_t waited_ms; /* while the agent could work */
    const struct block *block;
    const struct letter *letter;
};

struct turn {
    char *sender; /* owned; NULL: there was none yet */
    bool by_age;  /* the turn was old work's */
};

/* Pure. The next of them; NULL: there are none. Blocks and letters each in their own order. by_age: because it is old. */
const struct candidate *choice_of(const struct candidate *candidates, size_t count, const struct turn *last,
                                  bool *by_age);

struct worker;
/* At most one of both; NULL and NULL: no work can be done now. untried_only: no deferred task at all. */
void choice_next(struct worker *worker, bool untried_only, const struct block **block,
                 const struct letter **letter);
/* Is a task of this hash left out, because it is deferred? */
bool choice_passes_over(const struct worker *worker, bool untried_only, const char *id, uint64_t hash);
/* The block that will be next when the task in hand has ended, if nothing else comes. */
const struct block *choice_ahead(struct worker *worker);

/* worker->task is begun: the turn is its sender's. Taken back when the task is put down without an answer. */
void choice_begun(struct worker *worker);
void choice_take_back(struct worker *worker);
/* Time passes, and new work is seen; at the start of each turn of the loop. */
void choice_look(struct worker *worker, int64_t now_ms);
void choice_free(struct worker *worker);
