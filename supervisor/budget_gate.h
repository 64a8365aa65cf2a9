/* Who may ask the model now: the budgets of agents.yaml over the ledger (budget.h), which is kept in shared/budget.md.
 *
 * Before a request goes out its tokens are in the file, on disk. How many it may take is estimated: its bytes by four,
 * as English text has about four bytes a token, and LLM_MAX_TOKENS for the reply. Text of other kinds may take more than
 * that; what it took is counted, so a budget may be overdrawn by what the estimates of the requests under way were short.
 * An answer settles its reservation. It is kept as spent when the answer can't be known (the worker or the gateway died,
 * the question was taken back, the supervisor was killed); a fault costs what its provider said, so mostly nothing.
 *
 * While no limit is set nothing is written, and nobody waits for a disk. */
#ifndef AGENTOS_SUPERVISOR_BUDGET_GATE_H
#define AGENTOS_SUPERVISOR_BUDGET_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"

struct agent;
struct spending;
struct supervisor;

struct spending *spending_open(struct supervisor *supervisor);
void spending_close(struct spending *spending); /* NULL is fine */

/* The agent's worker begins a task: the next reservation counts it. It has ended: the same id counts again. */
void spending_task_began(struct agent *agent, const char *task);
void spending_task_ended(struct agent *agent, const char *task);

/* For a request of so many bytes. False: the agent waits, and is woken when it may go on; retry_ms is when that is at
 * the latest, why a sentence. */
bool spending_reserve(struct agent *agent, uint64_t serial, size_t bytes, int64_t *retry_ms,
                      struct fault *why);
/* It took so many tokens; 0: as many as so many bytes have (of an answer that came without a count). */
void spending_settle(struct agent *agent, uint64_t serial, uint64_t tokens, size_t bytes);
void spending_keep(struct agent *agent, uint64_t serial); /* what it took won't be known */

/* Limits, the clock or the file may be otherwise: who waits and may go on is woken. */
void spending_look(struct spending *spending);

#endif
