/* The object of `metrics` (common/control.h): cheap, as every look at the metrics asks for the object; no worker's
 * memory is read for it. */
#include <jansson.h>

#include "common/clock.h"
#include "common/settings.h"
#include "supervisor/control/part.h"

/* The statuses of envelopes, but for `pending` and `reading`, which nobody is told of. */
static const char *const statuses[] = {"delivered", "deferred", "finished", "read",
                                       "expired",   "refused",  "failed"};
static const enum envelope_kind kinds[] = {KIND_HANDOFF, KIND_MESSAGE, KIND_RESULT,
                                           KIND_BOUNCE,  KIND_ITEM,    KIND_SEGMENT};

static json_t *envelopes(const struct post *post)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (size_t k = 0; k < sizeof statuses / sizeof statuses[0]; k++)
            json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "kind", envelope_kind_name(kinds[i]),
                                                  "status", statuses[k], "count",
                                                  (json_int_t)post_count(post, kinds[i], statuses[k])));
    return list;
}

static void add_left(json_t *object, int64_t tokens, double cost, const struct budget_used *used)
{
    if (tokens > 0)
        json_object_set_new(object, "tokens_left",
                            json_integer((json_int_t)budget_left((uint64_t)tokens, used->tokens)));
    if (cost > 0)
        json_object_set_new(object, "cost_left",
                            json_real((double)budget_left(usage_cost(cost), used->cost) / USAGE_COST_UNIT));
}

/* The rest of today's limits, where there are any, and the money paid, where there is a price. */
static void add_money(json_t *object, const struct control_owner *owner, const struct agent *agent)
{
    const struct budget_used used = budget_spent(owner->budget, agent->name, clock_now());
    add_left(object, agent->definition->limits.tokens_per_day, agent->definition->limits.cost_per_day, &used);
    if (agent->spends.cost_total > 0 || roster_prices(*owner->roster, agent->name))
        json_object_set_new(object, "cost_total",
                            json_real((double)agent->spends.cost_total / USAGE_COST_UNIT));
}

json_t *metrics_agent(const struct control_owner *owner, const struct agent *agent)
{
    struct post_depths depths;
    struct post_pressure pressure = {0};
    post_depths_waiting(owner->post, agent->name, &depths);
    post_pressure(owner->post, agent->name, &pressure);
    json_t *object = json_pack(
        "{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "name",
        agent->name, "state", life_state_name(agent->life.state), "up",
        life_is_up(&agent->life) || agent->life.state == STATE_HIBERNATING, "wanted",
        !agent->order.desired.stopped && !agent->leaving && !agent->order.elsewhere, "restarts",
        (json_int_t)agent->past.restarts, "queue", (json_int_t)agent->told.figures.queue, "dead_letters",
        (json_int_t)depths.dead_letters, "problems", (json_int_t)status_problems(owner, agent), "inbox",
        (json_int_t)depths.inbox, "negative_streak", (json_int_t)agent->told.figures.negative_streak,
        "divergences", (json_int_t)agent->past.divergences, "pressure", post_pressure_word(&pressure),
        "window", (json_int_t)pressure.window, "unfinished", (json_int_t)pressure.unfinished, "backlog",
        (json_int_t)pressure.backlog, "deferred", (json_int_t)pressure.deferred);
    counters_describe(agent->past.counters ? agent->past.counters : &(struct counters){0}, object);
    add_money(object, owner, agent);
    return object;
}

/* The supervisor's own problems as a number: a reader of metrics need not be told names. */
static size_t own_problems(const struct control_owner *owner)
{
    OWNED_BUFFER struct buffer lines = {0};
    size_t count = 0;
    owner->own_problems(owner->context, &lines);
    for (size_t i = 0; i < lines.length; i++)
        count += lines.data[i] == '\n';
    return count;
}

json_t *metrics_head(const struct control *control)
{
    const struct control_owner *owner = &control->owner;
    json_t *metrics = json_pack(
        "{s:s, s:s, s:b, s:b, s:o, s:I, s:I, s:I, s:o}", "node", node_name(), "version", AGENTOS_VERSION,
        "config_refused", owner->config_fault(owner->context) != NULL, "ending", owner->agents->ending,
        "bounds", counters_bounds(), "items_refused", (json_int_t)control->items_refused, "alerts_pending",
        (json_int_t)owner->alerts_pending(owner->context), "own_problems", (json_int_t)own_problems(owner),
        "envelopes", envelopes(owner->post));
    const struct roster *roster = *owner->roster;
    const struct budget_used used = budget_spent(owner->budget, NULL, clock_now());
    add_left(metrics, roster->tokens_per_day, roster->cost_per_day, &used);
    return metrics;
}
