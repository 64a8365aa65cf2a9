/* The relay and the supervisor's other parts: the gateway, the workers, the budgets. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/budget_gate.h"
#include "supervisor/peer_view.h"
#include "supervisor/supervisor.h"

static bool to_gateway(void *context, const struct buffer *message)
{
    struct supervisor *supervisor = context;
    return child_send(&supervisor->programs.gateway, message);
}

static bool ask_gateway(void *context, const struct channel_piece *pieces, size_t count)
{
    struct supervisor *supervisor = context;
    return child_send_pieces(&supervisor->programs.gateway, pieces, count);
}

/* The most that may wait for the gateway: the questions of many agents, each of which may have many. */
static bool gateway_is_behind(void *context)
{
    enum { BEHIND = 32 * 1024 * 1024 };
    const struct channel *channel = &((struct supervisor *)context)->programs.gateway.channel;
    return channel->out.bytes > BEHIND;
}

static void to_worker(void *asker, const struct buffer *message)
{
    struct agent *agent = asker;
    if (agent->line && !line_send(agent->line, message))
        agent_distrust(agent, "it does not read its messages");
}

static void surroundings(void *agent, struct buffer *peers, struct buffer *segments, struct buffer *budget)
{
    peer_surroundings(agent, peers, segments);
    budget_gate_print(agent, budget);
}

/* The model of the settings, not the model that the provider names: a stranger's text would become a metric's label. */
static const char *model_asked(const struct agent *agent, const char *provider)
{
    if (strcmp(provider, "offline") == 0)
        return provider;
    bool fallback = setting_own(SET_LLM_MODEL, provider) || setting_own(SET_LLM_BASE_URL, provider);
    return setting_text(SET_LLM_MODEL, fallback ? provider : agent->name);
}

static void answered(void *asker, const struct relay_answer *answer)
{
    static const char *const errors[] = {
        [ANSWER_PASSING] = "passing", [ANSWER_AUTH] = "authentication", [ANSWER_QUOTA] = "quota",
        [ANSWER_REQUEST] = "request", [ANSWER_BUDGET] = "budget",       [ANSWER_LENGTH] = "length"};
    struct agent *agent = asker;
    bool known = answer->kind < sizeof errors / sizeof errors[0];
    counters_asked(agent_counters(agent),
                   &(struct operation){.model = model_asked(agent, answer->provider),
                                       .provider = answer->provider,
                                       .error = known ? errors[answer->kind] : "unknown",
                                       .ms = answer->ms,
                                       .tokens_in = answer->usage->tokens_in,
                                       .tokens_out = answer->usage->tokens_out});
}

void supervisor_retry(struct supervisor *supervisor, struct agent *agent)
{
    child_say(&supervisor->programs.gateway, MESSAGE_RETRY, agent->name);
    agent_send(agent, MESSAGE_LOOK, (uint64_t)LOOK_RETRY);
}

void supervisor_begin_asking(struct supervisor *supervisor)
{
    static const struct relay_budget budget = {.reserve = budget_gate_reserve,
                                               .settle = budget_gate_settle,
                                               .release = budget_gate_release,
                                               .keep = budget_gate_keep};
    supervisor->budget_gate = budget_gate_open(supervisor);
    supervisor->relay = relay_new(&(struct relay_owner){.to_gateway = to_gateway,
                                                        .ask_gateway = ask_gateway,
                                                        .behind = gateway_is_behind,
                                                        .to_worker = to_worker,
                                                        .surroundings = surroundings,
                                                        .answered = answered,
                                                        .context = supervisor,
                                                        .budget = &budget});
    supervisor->programs.audit = memory_print("%s/agentos-audit", supervisor->options->programs);
    supervisor->audits = audits_new(&(struct audits_owner){.loop = supervisor->loop,
                                                           .program = supervisor->programs.audit,
                                                           .data_dir = supervisor->options->data_dir,
                                                           .to_worker = to_worker});
}

void supervisor_end_asking(struct supervisor *supervisor)
{
    relay_free(supervisor->relay);
    audits_free(supervisor->audits);
    free(supervisor->programs.audit);
    budget_gate_close(supervisor->budget_gate);
}
