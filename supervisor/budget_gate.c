#include "supervisor/budget_gate.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/settings.h"
#include "supervisor/model/budget.h"
#include "supervisor/process/state_file.h"
#include "supervisor/supervisor.h"

enum {
    BYTES_A_TOKEN = 4,
    SETTLED_MS = 1000, /* until what was settled is written */
    STORAGE_MS = 5000, /* until a file that couldn't be written is tried again */
    LATE_MS = 50,      /* the clocks by which two processes wait differ a little */
};

struct spending {
    struct supervisor *supervisor;
    struct budget *budget;
    struct notebook notebook;
    struct timer timer;
    bool dirty;   /* the ledger is newer than the file */
    bool waiting; /* somebody may be waiting */
    bool failing; /* the file couldn't be written, which has been said */
};

static bool is_limited(const struct agent *agent)
{
    return agent->definition->limits.tokens_per_day > 0 || agent->definition->limits.tasks_per_hour > 0 ||
           supervisor_of(agent)->roster->tokens_per_day > 0;
}

static struct budget_request request_of(const struct agent *agent, uint64_t serial, uint64_t tokens)
{
    return (struct budget_request){
        .agent = agent->name,
        .task = agent->spends.counted ? NULL : agent->spends.task,
        .serial = serial,
        .tokens = tokens,
        .tokens_per_day = (uint64_t)agent->definition->limits.tokens_per_day,
        .tasks_per_hour = (uint64_t)agent->definition->limits.tasks_per_hour,
        .all_tokens_per_day = (uint64_t)supervisor_of(agent)->roster->tokens_per_day,
    };
}

/* --- the file --- */

static bool save(struct spending *spending, bool durable, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    budget_print(spending->budget, clock_now(), &text);
    bool saved = notebook_write(&spending->notebook, &text, durable, fault);
    spending->dirty = !saved;
    if (saved != spending->failing)
        return saved;
    spending->failing = !saved;
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

static void read_again(struct spending *spending)
{
    notebook_read(&spending->notebook, forget, budget_line, spending->budget);
}

static void read_if_changed(struct spending *spending)
{
    if (!notebook_changed(&spending->notebook))
        return;
    log_info("agentos", NULL, "shared/budget.md was changed: it is taken as it is now");
    read_again(spending);
}

static void timer_rings(void *context)
{
    struct spending *spending = context;
    struct fault fault;
    if (!spending->dirty)
        return;
    if (notebook_being_filled(&spending->notebook)) {
        timer_set(spending->supervisor->loop, &spending->timer, NOTEBOOK_FILLED_MS);
        return;
    }
    read_if_changed(spending);
    if (!save(spending, false, &fault)) /* what is lost of it counts as spent */
        timer_set(spending->supervisor->loop, &spending->timer, STORAGE_MS);
}

struct spending *spending_open(struct supervisor *supervisor)
{
    struct spending *spending = memory_new(1, sizeof *spending);
    spending->supervisor = supervisor;
    spending->budget = budget_new();
    spending->notebook = (struct notebook){.data = supervisor->data, .name = "budget.md"};
    spending->timer = (struct timer){.ring = timer_rings, .context = spending};
    read_again(spending);
    return spending;
}

void spending_close(struct spending *spending)
{
    if (!spending)
        return;
    timer_rings(spending);
    timer_clear(spending->supervisor->loop, &spending->timer);
    budget_free(spending->budget);
    free(spending);
}

/* --- tasks --- */

void spending_task_began(struct agent *agent, const char *task)
{
    free(agent->spends.task);
    agent->spends.task = memory_text(task);
    agent->spends.counted = false;
}

static void has_changed(struct agent *agent)
{
    struct spending *spending = supervisor_of(agent)->spending;
    if (!is_limited(agent))
        return;
    spending->dirty = true;
    if (spending->timer.place == 0)
        timer_set(spending->supervisor->loop, &spending->timer, SETTLED_MS);
}

void spending_task_ended(struct agent *agent, const char *task)
{
    budget_task_ended(supervisor_of(agent)->spending->budget, agent->name, task);
    has_changed(agent);
}

/* --- requests --- */

static bool refuse(struct agent *agent, uint64_t tokens)
{
    agent->spends.waits = true;
    agent->spends.wanted = tokens;
    supervisor_of(agent)->spending->waiting = true;
    return false;
}

bool spending_reserve(struct agent *agent, uint64_t serial, size_t bytes, int64_t *retry_ms,
                      struct fault *why)
{
    struct spending *spending = supervisor_of(agent)->spending;
    uint64_t tokens = bytes / BYTES_A_TOKEN + (uint64_t)setting_integer(SET_LLM_MAX_TOKENS, agent->name);
    const struct budget_request request = request_of(agent, serial, tokens);
    int64_t until;
    if (is_limited(agent) && notebook_being_filled(&spending->notebook)) {
        *retry_ms = NOTEBOOK_FILLED_MS;
        fault_set(why, "somebody is writing shared/budget.md; the work goes on when it is whole");
        return refuse(agent, tokens);
    }
    if (is_limited(agent))
        read_if_changed(spending);
    if (!budget_reserve(spending->budget, &request, clock_now(), &until, why)) {
        int64_t left = until * 1000 - clock_now_ms() + LATE_MS;
        *retry_ms = left > 0 ? left : 0;
        return refuse(agent, tokens);
    }
    if (is_limited(agent) && !save(spending, true, why)) {
        /* The task stays in hand, so that it counts once. */
        budget_settle(spending->budget, serial, 0);
        *retry_ms = STORAGE_MS;
        return refuse(agent, tokens);
    }
    agent->spends.counted = true;
    agent->spends.waits = false;
    return true;
}

void spending_settle(struct agent *agent, uint64_t serial, uint64_t tokens, size_t bytes)
{
    struct spending *spending = supervisor_of(agent)->spending;
    if (budget_settle(spending->budget, serial, tokens ? tokens : bytes / BYTES_A_TOKEN))
        has_changed(agent);
    spending_look(spending);
}

void spending_keep(struct agent *agent, uint64_t serial)
{
    budget_keep(supervisor_of(agent)->spending->budget, serial);
}

/* --- who waits --- */

static void wake_if_allowed(struct agent *agent)
{
    const struct budget_request request = request_of(agent, 0, agent->spends.wanted);
    int64_t until;
    if (!budget_allows(supervisor_of(agent)->spending->budget, &request, clock_now(), &until, NULL))
        return;
    agent->spends.waits = false;
    agent_send(agent, MESSAGE_LOOK, (uint64_t)LOOK_BUDGET);
}

void spending_look(struct spending *spending)
{
    struct supervisor *supervisor = spending->supervisor;
    if (!spending->waiting || spending->failing)
        return;
    read_if_changed(spending);
    spending->waiting = false;
    for (size_t i = 0; i < supervisor->agents.count; i++) {
        struct agent *agent = supervisor->agents.list[i];
        if (!agent->spends.waits)
            continue;
        wake_if_allowed(agent);
        spending->waiting = spending->waiting || agent->spends.waits;
    }
}
