/* Where the relay meets the supervisor's other parts: the gateway, the workers, the budgets. */
#include <stdlib.h>

#include "common/memory.h"
#include "supervisor/commons.h"
#include "supervisor/spending.h"
#include "supervisor/supervisor.h"

static bool to_gateway(void *context, const struct buffer *message)
{
    struct supervisor *supervisor = context;
    return child_send(&supervisor->gateway, message);
}

static void to_worker(void *asker, const struct buffer *message)
{
    struct agent *agent = asker;
    if (agent->pid > 0 && agent->line && !line_send(agent->line, message))
        agent_distrust(agent, "it does not read what it is sent");
}

static bool reserve(void *asker, uint64_t serial, size_t bytes, int64_t *retry_ms, struct fault *why)
{
    return spending_reserve(asker, serial, bytes, retry_ms, why);
}

static void settle(void *asker, uint64_t serial, uint64_t tokens, size_t bytes)
{
    spending_settle(asker, serial, tokens, bytes);
}

static void keep(void *asker, uint64_t serial)
{
    spending_keep(asker, serial);
}

void supervisor_begin_asking(struct supervisor *supervisor)
{
    static const struct relay_budget budget = {.reserve = reserve, .settle = settle, .keep = keep};
    supervisor->spending = spending_open(supervisor);
    supervisor->relay = relay_new(&(struct relay_owner){.to_gateway = to_gateway,
                                                        .to_worker = to_worker,
                                                        .surroundings = commons_surroundings,
                                                        .context = supervisor,
                                                        .budget = &budget});
    supervisor->audit_program = memory_print("%s/agentos-audit", supervisor->options->programs);
    supervisor->audits = audits_new(&(struct audits_owner){.loop = supervisor->loop,
                                                           .program = supervisor->audit_program,
                                                           .data_dir = supervisor->options->data_dir,
                                                           .to_worker = to_worker});
}

void supervisor_end_asking(struct supervisor *supervisor)
{
    relay_free(supervisor->relay);
    audits_free(supervisor->audits);
    free(supervisor->audit_program);
    spending_close(supervisor->spending);
}
