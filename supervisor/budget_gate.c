#include "supervisor/budget_gate.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/settings.h"
#include "supervisor/model/budget.h"
#include "supervisor/process/state_file.h"
#include "supervisor/supervisor.h"

enum {
    BYTES_A_TOKEN = 3,
    SETTLED_MS = 1000, /* until what was spent is on disk */
    STORAGE_MS = 5000, /* until a file that couldn't be written is tried again */
    LATE_MS = 50,      /* the clocks by which two processes wait differ a little */
};

struct budget_gate {
    struct supervisor *supervisor;
    struct budget *budget;
    struct state_file state_file;
    struct timer timer;
    bool dirty;   /* the ledger is newer than the file */
    bool waiting; /* an agent may be waiting */
    bool failing; /* the file couldn't be written, and the log says so */
};

static const char limited_file[] = "budget.md", unlimited_file[] = "usage.md";

static const struct roster *roster_of(const struct agent *agent)
{
    return supervisor_of(agent)->roster;
}

static bool is_limited(const struct agent *agent)
{
    const struct roster_agent *definition = agent->definition;
    return definition->limits.tokens_per_day > 0 || definition->limits.tasks_per_hour > 0 ||
           definition->limits.cost_per_day > 0 || roster_of(agent)->tokens_per_day > 0 ||
           roster_of(agent)->cost_per_day > 0;
}

/* --- a request's tokens and its cost --- */

/* Prices are for a million tokens. */
static uint64_t cost_of(const struct roster_price *price, uint64_t in, uint64_t cached, uint64_t out)
{
    double for_cached = price->cached < 0 ? price->input : price->cached;
    double sum =
        (double)(in - cached) * price->input + (double)cached * for_cached + (double)out * price->output;
    return usage_cost(sum / 1e6);
}

/* The most that a request of this many bytes may take, whichever of the agent's providers answers it. */
struct estimate {
    uint64_t in, out, cost;
    bool priced; /* a price is known for one of the providers' models */
};

static struct estimate estimate_of(const struct agent *agent, size_t bytes)
{
    struct estimate estimate = {.in = bytes / BYTES_A_TOKEN};
    struct setting_provider provider;
    for (size_t i = 0; setting_provider(agent->name, i, &provider); i++) {
        const struct roster_price *price = roster_price(roster_of(agent), provider.model);
        uint64_t cost = price ? cost_of(price, estimate.in, 0, provider.max_tokens) : 0;
        estimate.out = provider.max_tokens > estimate.out ? provider.max_tokens : estimate.out;
        estimate.cost = cost > estimate.cost ? cost : estimate.cost;
        estimate.priced = estimate.priced || price;
        free(provider.fallback);
    }
    return estimate;
}

static struct budget_request request_of(const struct agent *agent, uint64_t serial, uint64_t tokens,
                                        uint64_t cost)
{
    const struct roster_agent *definition = agent->definition;
    return (struct budget_request){
        .agent = agent->name,
        .task = agent->spends.counted ? NULL : agent->spends.task,
        .another = agent->spends.another,
        .serial = serial,
        .tokens = tokens,
        .cost = cost,
        .tokens_per_day = (uint64_t)definition->limits.tokens_per_day,
        .cost_per_day = usage_cost(definition->limits.cost_per_day),
        .tasks_per_hour = (uint64_t)definition->limits.tasks_per_hour,
        .all_tokens_per_day = (uint64_t)roster_of(agent)->tokens_per_day,
        .all_cost_per_day = usage_cost(roster_of(agent)->cost_per_day),
    };
}

/* --- the file --- */

/* From the first limit on, the ledger is in shared/budget.md; a person's file of that name is read first. */
static void choose_file(struct budget_gate *gate, bool limited)
{
    int data = gate->supervisor->data;
    if (gate->state_file.name == limited_file)
        return;
    if (limited || fstatat(data, "shared/budget.md", &(struct stat){0}, AT_SYMLINK_NOFOLLOW) == 0)
        gate->state_file = (struct state_file){.data = data, .name = limited_file, .whole = true};
}

static bool save(struct budget_gate *gate, bool durable, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    budget_print(gate->budget, clock_now(), &text);
    bool saved = state_file_write(&gate->state_file, &text, durable, fault);
    gate->dirty = !saved;
    if (saved != gate->failing)
        return saved;
    gate->failing = !saved;
    if (saved)
        log_info("agentos", NULL, "The budget's file is written again");
    else
        log_error("agentos", NULL, "%s; agents with a budget wait until it can be written", fault->text);
    return saved;
}

static void forget(void *budget)
{
    budget_clear(budget);
}

static void read_again(struct budget_gate *gate)
{
    state_file_read(&gate->state_file, forget, budget_line, gate->budget);
}

static void read_if_changed(struct budget_gate *gate)
{
    if (!state_file_changed(&gate->state_file))
        return;
    read_again(gate);
    if (!gate->state_file.unread)
        log_info("agentos", NULL, "shared/%s was changed: it is taken as it is now", gate->state_file.name);
}

static void timer_rings(void *context)
{
    struct budget_gate *gate = context;
    struct fault fault;
    if (!gate->dirty)
        return;
    if (state_file_being_filled(&gate->state_file)) {
        timer_set(gate->supervisor->loop, &gate->timer, STATE_FILE_FILLED_MS);
        return;
    }
    read_if_changed(gate);
    if (!save(gate, false, &fault)) /* figures that are lost with the file count as spent */
        timer_set(gate->supervisor->loop, &gate->timer, STORAGE_MS);
}

struct budget_gate *budget_gate_open(struct supervisor *supervisor)
{
    struct budget_gate *gate = memory_new(1, sizeof *gate);
    gate->supervisor = supervisor;
    gate->budget = supervisor->budget = budget_new();
    gate->state_file = (struct state_file){.data = supervisor->data, .name = unlimited_file};
    choose_file(gate, false);
    gate->timer = (struct timer){.ring = timer_rings, .context = gate};
    read_again(gate);
    return gate;
}

void budget_gate_close(struct budget_gate *gate)
{
    if (!gate)
        return;
    timer_rings(gate);
    timer_clear(gate->supervisor->loop, &gate->timer);
    budget_free(gate->budget);
    free(gate);
}

/* --- tasks --- */

void budget_gate_task_began(struct agent *agent, const char *task, bool ahead)
{
    char *before = agent->spends.task;
    agent->spends.another = ahead && before && strcmp(before, task) == 0;
    agent->spends.task = memory_text(task);
    agent->spends.counted = false;
    free(before);
}

static void has_changed(struct agent *agent)
{
    struct budget_gate *gate = supervisor_of(agent)->budget_gate;
    gate->dirty = true;
    if (gate->timer.place == 0)
        timer_set(gate->supervisor->loop, &gate->timer, SETTLED_MS);
}

void budget_gate_task_ended(struct agent *agent, const char *task)
{
    budget_task_ended(supervisor_of(agent)->budget_gate->budget, agent->name, task);
    has_changed(agent);
}

/* --- requests --- */

static bool refuse(struct agent *agent, const struct estimate *estimate)
{
    agent->spends.waits = true;
    agent->spends.wanted = estimate->in + estimate->out;
    agent->spends.wanted_cost = estimate->cost;
    supervisor_of(agent)->budget_gate->waiting = true;
    return false;
}

bool budget_gate_reserve(void *asker, uint64_t serial, size_t bytes, int64_t *retry_ms, struct fault *why)
{
    struct agent *agent = asker;
    struct budget_gate *gate = supervisor_of(agent)->budget_gate;
    const struct estimate estimate = estimate_of(agent, bytes);
    const struct budget_request request =
        request_of(agent, serial, estimate.in + estimate.out, estimate.cost);
    bool limited = is_limited(agent);
    int64_t until;
    choose_file(gate, limited);
    if (limited && state_file_being_filled(&gate->state_file)) {
        *retry_ms = STATE_FILE_FILLED_MS;
        fault_set(why, "shared/budget.md is being written; the work goes on when the file is whole");
        return refuse(agent, &estimate);
    }
    if (limited)
        read_if_changed(gate);
    if (!budget_reserve(gate->budget, &request, clock_now(), &until, why)) {
        int64_t left = until * 1000 - clock_now_ms() + LATE_MS;
        *retry_ms = left > 0 ? left : 0;
        alert_budget(agent, &request, why->text);
        return refuse(agent, &estimate);
    }
    if (limited && !save(gate, true, why)) {
        /* The task stays in hand, so that it counts once. The file is tried again though this agent may ask no more:
         * nobody is woken before it is written. */
        budget_settle(gate->budget, serial, &(struct budget_used){0});
        has_changed(agent);
        *retry_ms = STORAGE_MS;
        return refuse(agent, &estimate);
    }
    if (!limited)
        has_changed(agent);
    agent->spends.counted = true;
    agent->spends.waits = false;
    return true;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void budget_gate_settle(void *asker, uint64_t serial, const struct relay_spent *spent,
                        struct question_usage *usage)
{
    struct agent *agent = asker;
    struct budget_gate *gate = supervisor_of(agent)->budget_gate;
    const struct estimate estimate = estimate_of(agent, spent->bytes);
    bool unknown = spent->kind == SPENT_UNKNOWN;
    uint64_t in = larger(spent->tokens_in, unknown ? estimate.in : 0);
    uint64_t out = larger(spent->tokens_out, unknown ? estimate.out : 0);
    uint64_t cached = spent->cached < in ? spent->cached : in;
    const struct roster_price *price = roster_price(roster_of(agent), spent->model);
    uint64_t cost = larger(price ? cost_of(price, in, cached, out) : 0, unknown ? estimate.cost : 0);
    const struct budget_used used = {.tokens = in + out, .cached = cached, .requests = 1, .cost = cost};
    bool priced = price || estimate.priced;
    usage_add(usage, &(struct question_usage){in, out, cached, 1, priced ? cost : USAGE_NO_COST});
    agent->spends.cost_total = usage_sum_costs(agent->spends.cost_total, cost);
    if (budget_settle(gate->budget, serial, &used))
        has_changed(agent);
    budget_gate_look(gate);
}

void budget_gate_release(void *asker, uint64_t serial)
{
    struct agent *agent = asker;
    struct budget_gate *gate = supervisor_of(agent)->budget_gate;
    if (budget_settle(gate->budget, serial, &(struct budget_used){0}))
        has_changed(agent);
    budget_gate_look(gate);
}

void budget_gate_keep(void *asker, uint64_t serial)
{
    struct agent *agent = asker;
    budget_keep(supervisor_of(agent)->budget_gate->budget, serial);
}

/* --- the spent --- */

static void print_left(const char *name, int64_t tokens, double cost, const struct budget_used *used,
                       struct buffer *out)
{
    if (tokens > 0)
        buffer_print(out, "Left today of %s.tokens_per_day: %" PRIu64 " tokens.\n", name,
                     budget_left((uint64_t)tokens, used->tokens));
    if (cost > 0)
        buffer_print(out, "Left today of %s.cost_per_day: %.6f.\n", name,
                     (double)budget_left(usage_cost(cost), used->cost) / USAGE_COST_UNIT);
}

void budget_gate_print(const struct agent *agent, struct buffer *out)
{
    const struct budget *budget = supervisor_of(agent)->budget;
    const struct roster *roster = roster_of(agent);
    struct budget_used used = budget_spent(budget, agent->name, clock_now());
    struct budget_used all = {0};
    /* The sum walks over every account; only a limit for all agents shows it. */
    if (roster->tokens_per_day > 0 || roster->cost_per_day > 0)
        all = budget_spent(budget, NULL, clock_now());
    buffer_print(out, "Spent today: %" PRIu64 " tokens (%" PRIu64 " cached), %" PRIu64 " requests",
                 used.tokens, used.cached, used.requests);
    if (used.cost > 0 || roster_prices(roster, agent->name))
        buffer_print(out, ", cost %.6f", (double)used.cost / USAGE_COST_UNIT);
    buffer_text(out, ".\n");
    print_left("limits", agent->definition->limits.tokens_per_day, agent->definition->limits.cost_per_day,
               &used, out);
    print_left("budget", roster->tokens_per_day, roster->cost_per_day, &all, out);
}

/* --- agents that wait --- */

static void wake_if_allowed(struct agent *agent)
{
    const struct budget_request request =
        request_of(agent, 0, agent->spends.wanted, agent->spends.wanted_cost);
    int64_t until;
    if (!budget_allows(supervisor_of(agent)->budget_gate->budget, &request, clock_now(), &until, NULL))
        return;
    agent->spends.waits = false;
    agent_send(agent, MESSAGE_LOOK, (uint64_t)LOOK_BUDGET);
}

void budget_gate_look(struct budget_gate *gate)
{
    struct supervisor *supervisor = gate->supervisor;
    if (!gate->waiting || gate->failing)
        return;
    read_if_changed(gate);
    gate->waiting = false;
    for (size_t i = 0; i < supervisor->agents.count; i++) {
        struct agent *agent = supervisor->agents.list[i];
        if (!agent->spends.waits)
            continue;
        wake_if_allowed(agent);
        gate->waiting = gate->waiting || agent->spends.waits;
    }
}
