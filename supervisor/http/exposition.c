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

/* label="value", with the escapes of the format. */
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

/* The page of metrics, and a family of it: the samples under one name. */
struct page {
    const json_t *metrics, *agents;
    struct buffer *out;
};

struct family {
    const char *name, *type, *help;
    /* Prints the samples of an agent, or of the metrics whole, which have no name. */
    void (*print)(const struct family *family, const struct page *page, const json_t *of);
    const char *key; /* the number's key */
    enum { EACH_AGENT, WHOLE, WHOLE_AND_AGENTS } of;
};

static void value(const struct family *family, const struct page *page, const json_t *of, const char *more,
                  json_int_t value)
{
    sample(page->out, family->name, of, more);
    buffer_print(page->out, "%lld\n", (long long)value);
}

static void print_number(const struct family *family, const struct page *page, const json_t *of)
{
    const json_t *number = json_object_get(of, family->key);
    value(family, page, of, "", json_is_boolean(number) ? json_is_true(number) : json_integer_value(number));
}

static void print_state(const struct family *family, const struct page *page, const json_t *agent)
{
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        OWNED char *state = memory_print("state=\"%s\"", states[i]);
        json_int_t count = number(json_object_get(agent, SUM_STATES), states[i]);
        value(family, page, agent, state, count + (strcmp(states[i], text(agent, "state")) == 0));
    }
}

static void print_pressure(const struct family *family, const struct page *page, const json_t *agent)
{
    int level = 0;
    for (int i = 0; i < (int)(sizeof pressures / sizeof pressures[0]); i++)
        level = strcmp(pressures[i], text(agent, "pressure")) == 0 ? i : level;
    if (*text(agent, "name")) /* levels have no sum */
        value(family, page, agent, "", level);
}

static void print_tasks(const struct family *family, const struct page *page, const json_t *agent)
{
    for (size_t i = 0; i < sizeof rewards / sizeof rewards[0]; i++) {
        OWNED char *reward = memory_print("reward=\"%s\"", rewards[i]);
        value(family, page, agent, reward,
              json_integer_value(json_array_get(json_object_get(agent, "tasks"), i)));
    }
}

static void print_envelopes(const struct family *family, const struct page *page, const json_t *metrics)
{
    size_t index;
    const json_t *item;
    json_array_foreach(json_object_get(metrics, "envelopes"), index, item)
    {
        OWNED_BUFFER struct buffer labels = {0};
        label(&labels, "kind", text(item, "kind"));
        buffer_text(&labels, ",");
        label(&labels, "status", text(item, "status"));
        value(family, page, metrics, labels.data, number(item, "count"));
    }
}

static void print_backpressure(const struct family *family, const struct page *page, const json_t *metrics)
{
    size_t index;
    const json_t *agent;
    json_int_t others = number(metrics, "items_refused");
    json_array_foreach(page->agents, index, agent)
    {
        if (*text(agent, "name"))
            print_number(family, page, agent);
        else
            others += number(agent, family->key);
    }
    value(family, page, metrics, "", others);
}

static void print_left(const struct family *family, const struct page *page, const json_t *of)
{
    static const char *const units[] = {"tokens", "cost"}, *const keys[] = {"tokens_left", "cost_left"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *left = json_object_get(of, keys[i]);
        if (!left || (of != page->metrics && !*text(of, "name")))
            continue;
        OWNED char *unit = memory_print("unit=\"%s\"", units[i]);
        sample(page->out, family->name, of, unit);
        buffer_print(page->out, "%.*f\n", i ? 9 : 0, json_number_value(left));
    }
}

static void print_cost(const struct family *family, const struct page *page, const json_t *agent)
{
    const json_t *cost = json_object_get(agent, family->key);
    if (!cost)
        return;
    sample(page->out, family->name, agent, "");
    buffer_print(page->out, "%.9f\n", json_number_value(cost));
}

/* Joined by `instance`, this series names the node of every other series, which needs no label of its own for that. */
static void print_build(const struct family *family, const struct page *page, const json_t *metrics)
{
    OWNED_BUFFER struct buffer labels = {0};
    label(&labels, "node", text(metrics, "node"));
    buffer_text(&labels, ",");
    label(&labels, "version", text(metrics, "version"));
    value(family, page, metrics, labels.data, 1);
}

/* --- histograms --- */

/* bounds: the key of the histogram's bounds; labels: beside the agent's, without braces; unit: the divisor of the
 * numbers. */
static void print_histogram(const struct family *family, const struct page *page, const json_t *agent,
                            const char *bounds_key, const char *labels, double unit, const json_t *histogram)
{
    const json_t *bounds = json_object_get(json_object_get(page->metrics, "bounds"), bounds_key);
    const json_t *counts = json_object_get(histogram, "counts");
    long long sum = 0;
    size_t bound_count = json_array_size(bounds);
    OWNED char *bucket = memory_print("%s_bucket", family->name),
               *total = memory_print("%s_sum", family->name), *count = memory_print("%s_count", family->name);
    for (size_t i = 0; i <= bound_count; i++) {
        sum += json_integer_value(json_array_get(counts, i));
        OWNED char *bound =
            i < bound_count
                ? memory_print("%.10g", (double)json_integer_value(json_array_get(bounds, i)) / unit)
                : memory_text("+Inf");
        OWNED char *bound_too = memory_print("%s%sle=\"%s\"", labels, *labels ? "," : "", bound);
        sample(page->out, bucket, agent, bound_too);
        buffer_print(page->out, "%lld\n", sum);
    }
    sample(page->out, total, agent, labels);
    buffer_print(page->out, "%.*f\n", unit > 1 ? 3 : 0, (double)number(histogram, "sum") / unit);
    sample(page->out, count, agent, labels);
    buffer_print(page->out, "%lld\n", sum);
}

static void print_cycles(const struct family *family, const struct page *page, const json_t *agent)
{
    print_histogram(family, page, agent, family->key, "", 1000, json_object_get(agent, family->key));
}

/* The labels' names follow OpenTelemetry's conventions for generative AI. */
static void print_labels(const json_t *model, struct buffer *out)
{
    buffer_text(out, "gen_ai_operation_name=\"chat\",");
    label(out, "gen_ai_provider_name", text(model, "provider"));
    buffer_text(out, ",");
    label(out, "gen_ai_request_model", text(model, "model"));
}

static void print_tokens(const struct family *family, const struct page *page, const json_t *agent)
{
    static const char *const sides[][2] = {{"tokens_in", "input"}, {"tokens_out", "output"}};
    size_t k;
    const json_t *model;
    json_array_foreach(json_object_get(agent, "models"), k, model) for (size_t i = 0; i < 2; i++)
    {
        const json_t *histogram = json_object_get(model, sides[i][0]);
        OWNED_BUFFER struct buffer labels = {0};
        print_labels(model, &labels);
        buffer_text(&labels, ",");
        label(&labels, "gen_ai_token_type", sides[i][1]);
        if (histogram)
            print_histogram(family, page, agent, "tokens", labels.data, 1, histogram);
    }
}

static void print_operations(const struct family *family, const struct page *page, const json_t *agent)
{
    size_t k;
    const json_t *model;
    json_array_foreach(json_object_get(agent, "models"), k, model)
    {
        OWNED_BUFFER struct buffer labels = {0};
        print_labels(model, &labels);
        if (json_object_get(model, "error")) {
            buffer_text(&labels, ",");
            label(&labels, "error_type", text(model, "error"));
        }
        print_histogram(family, page, agent, "operation_ms", labels.data, 1000, json_object_get(model, "ms"));
    }
}

/* --- the families --- */

#define NUMBER(name, type, key, help)                                                                        \
    {                                                                                                        \
        name, type, help, print_number, key, EACH_AGENT                                                      \
    }
#define WHOLE_NUMBER(name, key, help)                                                                        \
    {                                                                                                        \
        name, "gauge", help, print_number, key, WHOLE                                                        \
    }

static const struct family families[] = {
    {"agentos_build_info", "gauge", "1; its labels are this node's name and the supervisor's version.",
     print_build, NULL, WHOLE},
    WHOLE_NUMBER("agentos_config_refused", "config_refused",
                 "1: agents.yaml is refused or gone, and the agents go on as they were defined."),
    WHOLE_NUMBER("agentos_supervisor_problems", "own_problems",
                 "Problems of the supervisor itself, such as a bus that is away."),
    WHOLE_NUMBER("agentos_notify_pending", "alerts_pending",
                 "Messages of `notify` that are not delivered yet."),
    NUMBER("agentos_agent_up", "gauge", "up", "1: the agent is ready or hibernates."),
    NUMBER("agentos_queue_depth", "gauge", "queue", "Tasks that are pending in the agent's queue.md."),
    NUMBER("agentos_dead_letters", "gauge", "dead_letters",
           "Envelopes and tasks among the agent's dead letters."),
    NUMBER("agentos_problems", "gauge", "problems", "Problems of the agent, as `agentos status` names them."),
    NUMBER("agentos_worker_restarts_total", "counter", "restarts",
           "Workers that were started after another one had ended."),
    NUMBER("agentos_inbox_depth", "gauge", "inbox", "Envelopes in the agent's inbox."),
    NUMBER("agentos_window_used", "gauge", "unfinished", "Envelopes that lie unfinished with the agent."),
    NUMBER("agentos_window_limit", "gauge", "window",
           "Envelopes that may lie unfinished with the agent, by its throughput class."),
    NUMBER("agentos_backlog_used", "gauge", "deferred",
           "Envelopes for the agent that wait at their senders."),
    NUMBER("agentos_backlog_limit", "gauge", "backlog", "How many may, before more are refused."),
    NUMBER("agentos_audit_divergence_total", "counter", "divergences",
           "Audits that gave another score than the agent itself."),
    NUMBER("agentos_negative_streak", "gauge", "negative_streak", "Rewards of -1 in a row, up to now."),
    {"agentos_agent_state", "gauge",
     "1 for the state that the agent is in, 0 for the others; without agent: the number of agents in the "
     "state.",
     print_state, NULL, EACH_AGENT},
    {"agentos_pressure", "gauge",
     "0: the window is free, 1: in use, 2: full and others wait, 3: the next envelope is refused.",
     print_pressure, NULL, EACH_AGENT},
    {"agentos_tasks_total", "counter", "Finished tasks, by their reward.", print_tasks, NULL, EACH_AGENT},
    {"agentos_cycle_seconds", "histogram", "Seconds from the beginning of a task to its commit.",
     print_cycles, "cycle_ms", EACH_AGENT},
    {"agentos_envelopes_total", "counter", "Envelopes that have come to a status, by their kind.",
     print_envelopes, NULL, WHOLE},
    {"agentos_backpressure_total", "counter",
     "Envelopes that were refused since their receiver's backlog was full; without agent: by work "
     "queues, and by all agents where they have no series of their own.",
     print_backpressure, "backpressure", WHOLE},
    {"agentos_budget_remaining", "gauge",
     "The rest of a day's budget, tokens or money; without agent: the rest of the budget of all agents "
     "together.",
     print_left, NULL, WHOLE_AND_AGENTS},
    {"agentos_cost_total", "counter", "The cost of requests, where a price is known.", print_cost,
     "cost_total", EACH_AGENT},
    {"gen_ai_client_token_usage", "histogram", "Tokens of one request to a model.", print_tokens, NULL,
     EACH_AGENT},
    {"gen_ai_client_operation_duration_seconds", "histogram",
     "Seconds from a question to the model to its answer, every attempt included.", print_operations, NULL,
     EACH_AGENT},
};

void exposition_print(const json_t *metrics, bool all, struct buffer *out)
{
    struct page page = {.metrics = metrics, .agents = json_object_get(metrics, "agents"), .out = out};
    json_auto_t *sum = all || json_array_size(page.agents) <= EXPOSITION_AGENTS
                           ? NULL
                           : json_pack("[o]", sum_of_agents(page.agents));
    page.agents = sum ? sum : page.agents;
    for (const struct family *family = families; family < families + sizeof families / sizeof *families;
         family++) {
        size_t index;
        const json_t *agent;
        buffer_print(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                     family->type);
        if (family->of != EACH_AGENT)
            family->print(family, &page, metrics);
        if (family->of != WHOLE)
            json_array_foreach(page.agents, index, agent) family->print(family, &page, agent);
    }
}
