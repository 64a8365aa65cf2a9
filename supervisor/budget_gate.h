/* The gate before the model: the budgets of agents.yaml over the ledger (model/budget.h), and the account of what was
 * spent.
 *
 * Before a request goes out, the gate reserves the most that it may take: its bytes by three (English text has about
 * four bytes a token, other languages and code have fewer) and the largest LLM_MAX_TOKENS of its providers, at the
 * highest of their prices. As soon as the gateway tells the request's real figures, they replace the reservation;
 * where nobody can tell, the reservation stays spent.
 *
 * The ledger is kept in shared/budget.md. While a limit is set, a reservation is on disk before its request goes out.
 * While none was ever set the file is shared/usage.md, and nobody waits for a disk: a kill may cost its last second. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "supervisor/model/budget.h"
#include "supervisor/model/relay.h"

struct agent;
struct budget_gate;
struct supervisor;

struct budget_gate *budget_gate_open(struct supervisor *supervisor);
void budget_gate_close(struct budget_gate *gate); /* NULL is fine */

/* The agent's worker begins a task: the next reservation counts it; ahead: the worker has another task in hand. After
 * its end the same id counts again. */
void budget_gate_task_began(struct agent *agent, const char *task, bool ahead);
void budget_gate_task_ended(struct agent *agent, const char *task);

/* As relay_budget's functions (model/relay.h); the asker is the agent. False: the agent waits, and is woken when it
 * may go on; retry_ms is when that is at the latest, why a sentence. */
bool budget_gate_reserve(void *agent, uint64_t serial, size_t bytes, int64_t *retry_ms, struct fault *why);
void budget_gate_settle(void *agent, uint64_t serial, const struct relay_spent *spent,
                        struct question_usage *usage);
void budget_gate_release(void *agent, uint64_t serial);
void budget_gate_keep(void *agent, uint64_t serial);

/* The text for {{budget}}: a line of today's spending, and a line for each limit of what is left. */
void budget_gate_print(const struct agent *agent, struct buffer *out);

/* Limits, the clock or the file may be otherwise: an agent that waits and may go on is woken. */
void budget_gate_look(struct budget_gate *gate);
