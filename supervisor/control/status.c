/* The object of `status` (contract section 1). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "common/utf8.h"
#include "supervisor/control/part.h"

#define OUT_OF_MEMORY "exit 71" /* EX_OSERR, as memory.h ends a process */
enum { FAILURES_TOLD = 3 };

/* The worker's fair share of memory (Pss): its own memory, and its share of memory that other processes map too. */
static int64_t memory_bytes(int account)
{
    char text[4096];
    long long kilobytes = 0;
    ssize_t length = account < 0 ? 0 : pread(account, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "\nPss:");
    return line && sscanf(line, "\nPss: %lld kB", &kilobytes) == 1 ? kilobytes * 1024 : 0;
}

/* The lines are a worker's words, and may hold the names of files: both may have bytes that are no UTF-8. */
static void add_lines(json_t *list, const char *lines)
{
    while (lines && *lines) {
        size_t length = strcspn(lines, "\n");
        OWNED char *line = memory_slice(lines, length);
        if (length)
            json_array_append_new(list, utf8_json(line));
        lines += length + (lines[length] == '\n');
    }
}

/* "waiting: provider (until 2026-04-29T10:05:00Z)"; NULL: nothing to add to the state. Caller frees. */
static char *detail_of(const struct agent *agent)
{
    char until[CLOCK_TEXT];
    if (agent->order.elsewhere)
        return memory_print("%s: %s", life_state_name(agent->life.state), agent->order.elsewhere);
    if (!agent->told.doing || !*agent->told.doing)
        return NULL;
    if (agent->life.state == STATE_WORKING)
        return memory_print("working: %s", agent->told.doing);
    if (agent->life.state != STATE_WAITING)
        return NULL;
    if (agent->told.doing_until <= 0)
        return memory_print("waiting: %s", agent->told.doing);
    return memory_print("waiting: %s (until %s)", agent->told.doing,
                        clock_format(agent->told.doing_until, until));
}

static void add_watchdog(json_t *problems, const struct agent *agent)
{
    unsigned long long streak = agent->told.figures.negative_streak;
    if (!agent->life.paused || !agent->definition->watchdog.pause ||
        streak < (uint64_t)agent->definition->watchdog.negative_streak)
        return;
    OWNED char *line =
        memory_print("paused by its watchdog, the last %llu tasks failed (reward -1); `agentos "
                     "resume %s` lets it go on",
                     streak, agent->name);
    add_lines(problems, line);
}

/* A worker that keeps ending doesn't report that itself. */
static void add_endings(json_t *problems, const struct agent *agent)
{
    bool waits = agent->life.state == STATE_BACKOFF;
    int64_t left = waits ? agent->life_timer.at - clock_monotonic_ms() : 0;
    if (!agent->past.last_exit || (!waits && agent->life.failures < FAILURES_TOLD))
        return;
    OWNED char *why = strcmp(agent->past.last_exit, OUT_OF_MEMORY) == 0
                          ? memory_print(", which means out of memory (limits.memory_mb is %lld)",
                                         (long long)agent->definition->limits.memory_mb)
                          : memory_text("");
    OWNED char *next =
        waits ? memory_print("; it is started again in %.1f s", left > 0 ? (double)left / 1000 : 0.0)
              : memory_text("");
    OWNED char *line = memory_print("its worker has ended %u time(s) in a row, the last time with %s%s%s",
                                    agent->life.failures, agent->past.last_exit, why, next);
    add_lines(problems, line);
}

static json_t *problems_of(const struct control_owner *owner, const struct agent *agent, const char *detail)
{
    OWNED_BUFFER struct buffer shared = {0};
    json_t *problems = json_array();
    add_lines(problems, agent->trouble);
    add_lines(problems, agent->guard.problem);
    add_lines(problems, agent->disk.problem);
    add_watchdog(problems, agent);
    add_endings(problems, agent);
    if (agent->life.state == STATE_WAITING)
        add_lines(problems, detail);
    add_lines(problems, agent->told.problems);
    owner->problems(owner->context, agent->name, &shared);
    add_lines(problems, shared.data);
    return problems;
}

size_t status_problems(const struct control_owner *owner, const struct agent *agent)
{
    OWNED char *detail = detail_of(agent);
    json_auto_t *problems = problems_of(owner, agent, detail);
    return json_array_size(problems);
}

/* A row's number: 0 is left out. */
static json_t *some(int64_t number)
{
    return number ? json_integer(number) : NULL;
}

static int64_t uptime_of(const struct agent *agent)
{
    return agent->worker.pid > 0 ? (clock_monotonic_ms() - agent->worker.spawned_at) / 1000 : 0;
}

static struct budget_used used_by(const struct control_owner *owner, const struct agent *agent, json_t **cost)
{
    struct budget_used used = budget_spent(owner->budget, agent->name, clock_now());
    bool priced = used.cost > 0 || roster_prices(*owner->roster, agent->name);
    if (used.tokens < agent->told.figures.tokens_today)
        used.tokens = agent->told.figures.tokens_today;
    *cost = priced ? json_real((double)used.cost / USAGE_COST_UNIT) : NULL;
    return used;
}

json_t *status_row(const struct control_owner *owner, const struct agent *agent)
{
    const struct figures *figures = &agent->told.figures;
    struct post_depths depths;
    post_depths_waiting(owner->post, agent->name, &depths);
    OWNED char *detail = detail_of(agent);
    json_t *cost, *problems = problems_of(owner, agent, detail);
    struct budget_used used = used_by(owner, agent, &cost);
    if (json_array_size(problems) == 0) {
        json_decref(problems);
        problems = NULL;
    }
    return json_pack(
        "{s:s, s:s, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, "
        "s:o*}",
        "name", agent->name, "state", life_state_name(agent->life.state), "detail",
        detail ? utf8_json(detail) : NULL, "pid", some(agent->worker.pid), "uptime_seconds",
        some(uptime_of(agent)), "restarts", some((int64_t)agent->past.restarts), "last_exit",
        agent->past.last_exit ? utf8_json(agent->past.last_exit) : NULL, "queue_depth",
        some((int64_t)figures->queue), "inbox_depth", some((int64_t)depths.inbox), "handoff_depth",
        some((int64_t)depths.handoffs), "dead_letters", some((int64_t)depths.dead_letters), "negative_streak",
        some((int64_t)figures->negative_streak), "tasks_done", some((int64_t)figures->tasks_done),
        "tokens_today", some((int64_t)used.tokens), "cost_today", cost, "memory_bytes",
        some(memory_bytes(agent->worker.memory)), "problems", problems);
}

json_t *status_agent(const struct control_owner *owner, const struct agent *agent)
{
    const struct figures *figures = &agent->told.figures;
    struct post_depths depths;
    struct post_pressure pressure;
    post_depths(owner->post, agent->name, &depths);
    post_pressure(owner->post, agent->name, &pressure);
    OWNED char *detail = detail_of(agent);
    json_t *cost;
    struct budget_used used = used_by(owner, agent, &cost);
    struct setting_provider asked;
    (void)setting_provider(agent->name, 0, &asked);
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:o, s:I, s:I, s:I,"
        " s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o}",
        "name", agent->name, "state", life_state_name(agent->life.state), "model", asked.model, "detail",
        utf8_json(detail), "pid", agent->worker.pid > 0 ? json_integer(agent->worker.pid) : json_null(),
        "uptime_seconds", (json_int_t)uptime_of(agent), "restarts", (json_int_t)agent->past.restarts,
        "last_exit", utf8_json(agent->past.last_exit), "queue_depth", (json_int_t)figures->queue,
        "inbox_depth", (json_int_t)depths.inbox, "handoff_depth", (json_int_t)depths.handoffs, "outbox_depth",
        (json_int_t)depths.outbox, "dead_letters", (json_int_t)depths.dead_letters, "throughput_class",
        class_name(pressure.throughput_class), "negative_streak", (json_int_t)figures->negative_streak,
        "tasks_done", (json_int_t)figures->tasks_done, "tokens_today", (json_int_t)used.tokens,
        "cached_tokens_today", (json_int_t)used.cached, "requests_today", (json_int_t)used.requests,
        "cost_today", cost ? cost : json_null(), "memory_bytes",
        (json_int_t)memory_bytes(agent->worker.memory), "problems", problems_of(owner, agent, detail));
}

/* A key that another node doesn't tell of its agent has this node's value. */
json_t *status_anywhere(const struct control_owner *owner, const struct agent *agent)
{
    json_t *object = status_agent(owner, agent);
    json_auto_t *far = owner->far_agent(owner->context, agent->name);
    if (json_object_size(far) > 1) {
        json_object_del(object, "detail");
        json_object_set_new(object, "problems", json_array());
        json_object_update_existing(object, far);
    }
    json_object_set_new(object, "node", agent->order.elsewhere ? json_null() : json_string(node_name()));
    if (far)
        json_object_set(object, "node", json_object_get(far, "node"));
    return object;
}

json_t *status_head(const struct control *control)
{
    const struct control_owner *owner = &control->owner;
    struct sandbox_facts facts;
    sandbox_look(&facts);
    OWNED char *sandbox = sandbox_summary(sandbox_mode(), &facts);
    json_t *problems = json_array();
    OWNED_BUFFER struct buffer own = {0};
    owner->own_problems(owner->context, &own);
    add_lines(problems, owner->config_fault(owner->context));
    add_lines(problems, own.data);
    return json_pack("{s:{s:i, s:I, s:s, s:s, s:o}}", "supervisor", "pid", (int)getpid(), "uptime_seconds",
                     (json_int_t)((clock_monotonic_ms() - owner->started_at) / 1000), "version",
                     AGENTOS_VERSION, "sandbox", sandbox, "problems", problems);
}
