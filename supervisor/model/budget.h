/* The ledger of the budgets: tokens and money of a day (UTC) and tasks begun within an hour, for each agent, and the
 * tokens and money of all together (contract section 3, limits and budget).
 *
 * Pure: the ledger holds numbers; its owner (budget_gate.h) hands in the time and keeps the ledger's text in a file.
 *
 * The tokens and the cost of a request are reserved before it goes out, and replaced by the real figures when these
 * are known. A reservation that isn't settled stays spent: it is in the ledger's text from the start, so a crash
 * counts it.
 *
 * A clock that jumps harms nothing: three days are kept for each agent, so that a clock which comes back finds the
 * day's figures again; a task that was begun in the future counts as begun now. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/usage.h"

enum {
    BUDGET_DAYS = 3,
    BUDGET_EXACT =
        240, /* tasks_per_hour up to which each beginning counts to the second; else by slots of 15 s */
    BUDGET_IN_HAND = 64, /* tasks of one agent that were begun and have not ended */
};

struct budget;

struct budget_used {
    uint64_t tokens, cached /* part of tokens */, requests, cost /* common/usage.h */;
};

struct budget_request {
    const char *agent;
    /* The id of the task that the request begins; NULL: the request is more of a counted task. */
    const char *task;
    bool another;          /* a task of the same id is in hand, and this is another task */
    uint64_t serial;       /* of the reservation; an earlier reservation of the same serial stays spent */
    uint64_t tokens, cost; /* that the request may take */
    uint64_t tokens_per_day, all_tokens_per_day, cost_per_day, all_cost_per_day,
        tasks_per_hour; /* 0: no limit */
};

struct budget *budget_new(void);
void budget_free(struct budget *budget);

/* Reserves the tokens and counts the task, or does neither: then *until is the time for another try (epoch s; a
 * settled reservation or another limit may let it begin before), and why is a sentence. A task that was begun and has
 * not ended is counted once, however often it is begun. */
bool budget_reserve(struct budget *budget, const struct budget_request *request, int64_t now, int64_t *until,
                    struct fault *why);
/* Whether the request would be reserved. */
bool budget_allows(const struct budget *budget, const struct budget_request *request, int64_t now,
                   int64_t *until, struct fault *why);

/* A limit of a day. */
struct budget_limit {
    uint64_t limit, spent, wanted;
    const char *name; /* as agents.yaml has it */
    bool all;         /* of all agents together */
    bool money;       /* the amounts are money (common/usage.h), not tokens */
};
/* The first limit of the day that the request would exceed. False: the request exceeds none. */
bool budget_exceeds(const struct budget *budget, const struct budget_request *request, int64_t now,
                    struct budget_limit *exceeded);

/* The request took these figures instead of the reserved ones. False: there is no such reservation. */
bool budget_settle(struct budget *budget, uint64_t serial, const struct budget_used *used);
/* The request's outcome won't be known: the reservation stays spent. */
void budget_keep(struct budget *budget, uint64_t serial);
void budget_task_ended(struct budget *budget, const char *agent, const char *task);

struct budget_used budget_spent(const struct budget *budget, const char *agent,
                                int64_t now); /* agent NULL: of all */

/* The rest of a limit. */
uint64_t budget_left(uint64_t limit, uint64_t spent);

/* The ledger as text, and a line of that text read back (as state_file_line; context is the budget). budget_clear
 * forgets all but the reservations, before another text is read. */
void budget_print(const struct budget *budget, int64_t now, struct buffer *out);
bool budget_line(void *budget, const char *agent, const char *key, const char *value);
void budget_clear(struct budget *budget);
