#include "supervisor/http/exposition.h"

#include <string.h>

#include "common/memory.h"
#include "supervisor/http/sum.h"

static const char *const states[] = {"starting", "idle",    "working", "waiting",     "paused",
                                     "stopping", "stopped", "backoff", "hibernating", "failed"};
static const char *const pressures[] = {"none", "low", "high", "full"};
static const char *const rewards[] = {"-1", "0", "1"}; /* as `tasks` has them */

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_print(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* label="value", with what the format wants to be escaped. */
static void label(struct buffer *out, const char *name, const char *value)
{
    buffer_print(out, "%s=\"", name);
    for (const char *c = value; *c; c++)
        if (*c == '\n')
            buffer_text(out, "\\n");
        else if (*c == '"' || *c == '\\')
            buffer_print(out, "\\%c", *c);
        else
            buffer_add(out, c, 1);
    buffer_text(out, "\"");
}

/* name{agent="orion",more}; the sum over all agents has no name. */
static void sample(struct buffer *out, const char *name, const json_t *agent, const char *more)
{
    const char *who = text(agent, "name");
    bool both = *who && *more;
    buffer_print(out, "%s%s", name, *who || *more ? "{" : "");
    if (*who)
        label(out, "agent", who);
    buffer_print(out, "%s%s%s ", both ? "," : "", more, *who || *more ? "}" : "");
}

/* --- a number for each agent --- */

static const struct {
    const char *name, *type, *help, *key;
} plain[] = {
    {"agentos_agent_up", "gauge", "1: the agent is ready; one that hibernates is, too.", "up"},
    {"agentos_queue_depth", "gauge", "Tasks that are pending in the agent's queue.md.", "queue"},
    {"agentos_dead_letters", "gauge", "Envelopes and tasks among the agent's dead letters.", "dead_letters"},
    {"agentos_problems", "gauge", "Sentences that `agentos status` says of the agent.", "problems"},
    {"agentos_worker_restarts_total", "counter", "Workers that were started after another one had ended.",
     "restarts"},
    {"agentos_inbox_depth", "gauge", "Envelopes in the agent's inbox.", "inbox"},
    {"agentos_window_used", "gauge", "Envelopes that lie unfinished with the agent.", "unfinished"},
    {"agentos_window_limit", "gauge", "How many may, after its throughput class.", "window"},
    {"agentos_backlog_used", "gauge", "Envelopes for the agent that wait at their senders.", "deferred"},
    {"agentos_backlog_limit", "gauge", "How many may, before more are refused.", "backlog"},
    {"agentos_audit_divergence_total", "counter", "Audits that gave another score than the agent itself.",
     "divergences"},
    {"agentos_negative_streak", "gauge", "Rewards of -1 in a row, up to now.", "negative_streak"},
};

static void print_plain(const json_t *agents, struct buffer *out)
{
    size_t index;
    const json_t *agent;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        head(out, plain[i].name, plain[i].type, plain[i].help);
        json_array_foreach(agents, index, agent)
        {
            const json_t *value = json_object_get(agent, plain[i].key);
            sample(out, plain[i].name, agent, "");
            buffer_print(
                out, "%lld\n",
                (long long)(json_is_boolean(value) ? json_is_true(value) : json_integer_value(value)));
        }
    }
}

/* --- one of several for each agent --- */

static void print_state(const json_t *agents, struct buffer *out)
{
    size_t index;
    const json_t *agent;
    head(out, "agentos_agent_state", "gauge",
         "1 for the state that the agent is in, 0 for the others; without agent: how many are in it.");
    json_array_foreach(agents, index, agent) for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
    {
        OWNED char *state = memory_print("state=\"%s\"", states[i]);
        json_int_t count = number(json_object_get(agent, SUM_STATES), states[i]);
        sample(out, "agentos_agent_state", agent, state);
        buffer_print(out, "%lld\n", (long long)count + (strcmp(states[i], text(agent, "state")) == 0));
    }
}

static void print_pressure(const json_t *agents, struct buffer *out)
{
    size_t index;
    const json_t *agent;
    head(out, "agentos_pressure", "gauge",
         "0: the window is free, 1: in use, 2: full and others wait, 3: the next envelope is refused.");
    json_array_foreach(agents, index, agent)
    {
        int level = 0;
        for (int i = 0; i < (int)(sizeof pressures / sizeof pressures[0]); i++)
            level = strcmp(pressures[i], text(agent, "pressure")) == 0 ? i : level;
        if (!*text(agent, "name"))
            continue; /* levels have no sum */
        sample(out, "agentos_pressure", agent, "");
        buffer_print(out, "%d\n", level);
    }
}

static void print_tasks(const json_t *agents, struct buffer *out)
{
    size_t index;
    const json_t *agent;
    head(out, "agentos_tasks_total", "counter", "Finished tasks, by their reward.");
    json_array_foreach(agents, index, agent) for (size_t i = 0; i < sizeof rewards / sizeof rewards[0]; i++)
    {
        const json_t *tasks = json_object_get(agent, "tasks");
        OWNED char *reward = memory_print("reward=\"%s\"", rewards[i]);
        sample(out, "agentos_tasks_total", agent, reward);
        buffer_print(out, "%lld\n", (long long)json_integer_value(json_array_get(tasks, i)));
    }
}

/* --- the post office --- */

static void print_post(const json_t *metrics, const json_t *agents, struct buffer *out)
{
    size_t index;
    const json_t *item;
    head(out, "agentos_envelopes_total", "counter", "Envelopes that have come to a status, by their kind.");
    json_array_foreach(json_object_get(metrics, "envelopes"), index, item)
    {
        buffer_text(out, "agentos_envelopes_total{");
        label(out, "kind", text(item, "kind"));
        buffer_text(out, ",");
        label(out, "status", text(item, "status"));
        buffer_print(out, "} %lld\n", (long long)number(item, "count"));
    }
    head(out, "agentos_backpressure_total", "counter",
         "Envelopes that were refused since their receiver's backlog was full; without agent: by work "
         "queues, and by all agents where they have no series of their own.");
    json_int_t others = number(metrics, "items_refused");
    json_array_foreach(agents, index, item)
    {
        if (!*text(item, "name")) {
            others += number(item, "backpressure");
            continue;
        }
        sample(out, "agentos_backpressure_total", item, "");
        buffer_print(out, "%lld\n", (long long)number(item, "backpressure"));
    }
    buffer_print(out, "agentos_backpressure_total %lld\n", (long long)others);
}

/* --- money --- */

static void print_left(const json_t *of, struct buffer *out)
{
    static const char *const units[] = {"tokens", "cost"}, *const keys[] = {"tokens_left", "cost_left"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(of, keys[i]);
        if (!value)
            continue;
        OWNED char *unit = memory_print("unit=\"%s\"", units[i]);
        sample(out, "agentos_budget_remaining", of, unit);
        buffer_print(out, "%.*f\n", i ? 9 : 0, json_number_value(value));
    }
}

static void print_money(const json_t *metrics, const json_t *agents, struct buffer *out)
{
    size_t index;
    const json_t *agent;
    head(out, "agentos_budget_remaining", "gauge",
         "What is left of a day's budget, tokens or money; without agent: of all agents' together.");
    print_left(metrics, out);
    json_array_foreach(agents, index, agent) if (*text(agent, "name")) print_left(agent, out);
    head(out, "agentos_cost_total", "counter", "What requests have cost, where a price is known.");
    json_array_foreach(agents, index, agent)
    {
        const json_t *value = json_object_get(agent, "cost_total");
        if (!value)
            continue;
        sample(out, "agentos_cost_total", agent, "");
        buffer_print(out, "%.9f\n", json_number_value(value));
    }
}

/* --- histograms --- */

struct series {
    const char *name;
    const json_t *bounds;
    const json_t *agent;
    const char *labels; /* beside the agent's, without braces */
    double unit;        /* what the numbers are divided by */
};

static void print_histogram(const struct series *series, const json_t *histogram, struct buffer *out)
{
    const json_t *counts = json_object_get(histogram, "counts");
    long long sum = 0;
    size_t bounds = json_array_size(series->bounds);
    OWNED char *bucket = memory_print("%s_bucket", series->name),
               *total = memory_print("%s_sum", series->name), *count = memory_print("%s_count", series->name);
    for (size_t i = 0; i <= bounds; i++) {
        sum += json_integer_value(json_array_get(counts, i));
        OWNED char *bound =
            i < bounds ? memory_print("%.10g", (double)json_integer_value(json_array_get(series->bounds, i)) /
                                                   series->unit)
                       : memory_text("+Inf");
        OWNED char *labels = memory_print("%s%sle=\"%s\"", series->labels, *series->labels ? "," : "", bound);
        sample(out, bucket, series->agent, labels);
        buffer_print(out, "%lld\n", sum);
    }
    sample(out, total, series->agent, series->labels);
    buffer_print(out, "%.*f\n", series->unit > 1 ? 3 : 0, (double)number(histogram, "sum") / series->unit);
    sample(out, count, series->agent, series->labels);
    buffer_print(out, "%lld\n", sum);
}

static void print_cycles(const json_t *agents, const json_t *bounds, struct buffer *out)
{
    size_t index;
    const json_t *agent;
    head(out, "agentos_cycle_seconds", "histogram", "From the beginning of a task to its commit.");
    json_array_foreach(agents, index, agent)
        print_histogram(&(struct series){.name = "agentos_cycle_seconds",
                                         .bounds = json_object_get(bounds, "cycle_ms"),
                                         .agent = agent,
                                         .labels = "",
                                         .unit = 1000},
                        json_object_get(agent, "cycle_ms"), out);
}

/* After OpenTelemetry's conventions for generative AI. */
static void print_labels(const json_t *model, struct buffer *out)
{
    buffer_text(out, "gen_ai_operation_name=\"chat\",");
    label(out, "gen_ai_provider_name", text(model, "provider"));
    buffer_text(out, ",");
    label(out, "gen_ai_request_model", text(model, "model"));
}

static void print_tokens(const json_t *agents, const json_t *bounds, struct buffer *out)
{
    static const char *const sides[][2] = {{"tokens_in", "input"}, {"tokens_out", "output"}};
    size_t index, k;
    const json_t *agent, *model;
    head(out, "gen_ai_client_token_usage", "histogram", "Tokens of one request to a model.");
    json_array_foreach(agents, index, agent)
        json_array_foreach(json_object_get(agent, "models"), k, model) for (size_t i = 0; i < 2; i++)
    {
        const json_t *histogram = json_object_get(model, sides[i][0]);
        OWNED_BUFFER struct buffer labels = {0};
        print_labels(model, &labels);
        buffer_text(&labels, ",");
        label(&labels, "gen_ai_token_type", sides[i][1]);
        if (histogram)
            print_histogram(&(struct series){.name = "gen_ai_client_token_usage",
                                             .bounds = json_object_get(bounds, "tokens"),
                                             .agent = agent,
                                             .labels = labels.data,
                                             .unit = 1},
                            histogram, out);
    }
}

static void print_operations(const json_t *agents, const json_t *bounds, struct buffer *out)
{
    size_t index, k;
    const json_t *agent, *model;
    head(out, "gen_ai_client_operation_duration_seconds", "histogram",
         "From a question to the model to its answer, with every attempt that it took.");
    json_array_foreach(agents, index, agent) json_array_foreach(json_object_get(agent, "models"), k, model)
    {
        OWNED_BUFFER struct buffer labels = {0};
        print_labels(model, &labels);
        if (json_object_get(model, "error")) {
            buffer_text(&labels, ",");
            label(&labels, "error_type", text(model, "error"));
        }
        print_histogram(&(struct series){.name = "gen_ai_client_operation_duration_seconds",
                                         .bounds = json_object_get(bounds, "operation_ms"),
                                         .agent = agent,
                                         .labels = labels.data,
                                         .unit = 1000},
                        json_object_get(model, "ms"), out);
    }
}

/* Joined by `instance`, it names the node of every other series, which needs no label of its own for that. */
static void print_build(const json_t *metrics, struct buffer *out)
{
    head(out, "agentos_build_info", "gauge",
         "1; its labels are this node's name and the supervisor's version.");
    buffer_text(out, "agentos_build_info{");
    label(out, "node", text(metrics, "node"));
    buffer_text(out, ",");
    label(out, "version", text(metrics, "version"));
    buffer_text(out, "} 1\n");
}

static void print_config(const json_t *metrics, struct buffer *out)
{
    head(out, "agentos_config_refused", "gauge",
         "1: agents.yaml is refused or gone, and the agents go on as they were defined.");
    buffer_print(out, "agentos_config_refused %d\n",
                 json_is_true(json_object_get(metrics, "config_refused")));
    head(out, "agentos_supervisor_problems", "gauge",
         "Problems of the supervisor itself, such as a bus that is away.");
    buffer_print(out, "agentos_supervisor_problems %lld\n",
                 (long long)json_integer_value(json_object_get(metrics, "own_problems")));
    head(out, "agentos_notify_pending", "gauge", "Messages of `notify` that are not delivered yet.");
    buffer_print(out, "agentos_notify_pending %lld\n",
                 (long long)json_integer_value(json_object_get(metrics, "alerts_pending")));
}

void exposition_print(const json_t *metrics, bool all, struct buffer *out)
{
    const json_t *agents = json_object_get(metrics, "agents"), *bounds = json_object_get(metrics, "bounds");
    json_auto_t *sum =
        all || json_array_size(agents) <= EXPOSITION_AGENTS ? NULL : json_pack("[o]", sum_of_agents(agents));
    agents = sum ? sum : agents;
    print_build(metrics, out);
    print_config(metrics, out);
    print_plain(agents, out);
    print_state(agents, out);
    print_pressure(agents, out);
    print_tasks(agents, out);
    print_cycles(agents, bounds, out);
    print_post(metrics, agents, out);
    print_money(metrics, agents, out);
    print_tokens(agents, bounds, out);
    print_operations(agents, bounds, out);
}
