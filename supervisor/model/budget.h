/* The ledger of what may be spent: tokens of a day (UTC) and tasks begun within an hour, for each agent, and the tokens
 * of all together (contract section 3, limits and budget).
 *
 * Pure: it holds numbers, and its owner (spending.h) hands in the time and keeps the text of it in a file.
 *
 * A request's tokens are reserved before it goes out and replaced by what it took when its answer is here. What isn't
 * settled stays spent: a reservation is in the ledger's text from the start, so a crash counts it.
 *
 * A clock that jumps harms nothing: three days are kept for each agent, so that one which comes back after a jump finds
 * what was spent on it; what was begun in the future counts as begun now. */
#ifndef AGENTOS_SUPERVISOR_MODEL_BUDGET_H
#define AGENTOS_SUPERVISOR_MODEL_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

enum {
    BUDGET_DAYS = 3,
    BUDGET_EXACT =
        240, /* tasks_per_hour up to which each beginning counts to the second; else by slots of 15 s */
    BUDGET_IN_HAND = 64, /* tasks of one agent that were begun and have not ended */
};

struct budget;

struct budget_request {
    const char *agent;
    const char *task; /* the id of the task that it begins; NULL: more of one that was counted */
    uint64_t serial;  /* of the reservation; one that is there already stays spent */
    uint64_t tokens;  /* that it may take */
    uint64_t tokens_per_day, tasks_per_hour, all_tokens_per_day; /* limits; 0: none */
};

struct budget *budget_new(void);
void budget_free(struct budget *budget);

/* Reserve the tokens and count the task, or do neither: then *until is when it may be tried again (epoch s; a settled
 * reservation or another limit may let it begin before), and why is a sentence. A task that was begun and has not ended
 * is counted once, however often it is begun. */
bool budget_reserve(struct budget *budget, const struct budget_request *request, int64_t now, int64_t *until,
                    struct fault *why);
/* Whether it would be reserved. */
bool budget_allows(const struct budget *budget, const struct budget_request *request, int64_t now,
                   int64_t *until, struct fault *why);
/* The reservation has become so many tokens. False: there is none. */
bool budget_settle(struct budget *budget, uint64_t serial, uint64_t tokens);
/* Its outcome won't be known: it stays spent. */
void budget_keep(struct budget *budget, uint64_t serial);
void budget_task_ended(struct budget *budget, const char *agent, const char *task);

uint64_t budget_spent(const struct budget *budget, const char *agent, int64_t now); /* agent NULL: of all */

/* The ledger as text, and a line of it read back (as of notebook_line; context is the budget). budget_clear forgets all
 * but the reservations, before another text is read. */
void budget_print(const struct budget *budget, int64_t now, struct buffer *out);
bool budget_line(void *budget, const char *agent, const char *key, const char *value);
void budget_clear(struct budget *budget);

#endif
