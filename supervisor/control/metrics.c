/* The object of `metrics` (common/control.h): cheap, for it is asked for as often as somebody looks at the metrics; no
 * worker's memory is read for it. */
#include <jansson.h>

#include "supervisor/control/part.h"

/* What an envelope's status may be, but for `pending` and `reading`, which nobody is told of. */
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

static json_t *describe(struct post *post, const struct agent *agent)
{
    struct post_depths depths;
    struct post_pressure pressure = {0};
    post_depths(post, agent->name, &depths);
    post_pressure(post, agent->name, &pressure);
    json_t *object = json_pack(
        "{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "name", agent->name, "state",
        life_state_name(agent->life.state), "up", life_is_up(&agent->life), "wanted",
        !agent->order.wanted.stopped && !agent->leaving, "restarts", (json_int_t)agent->past.restarts,
        "inbox", (json_int_t)depths.inbox, "negative_streak", (json_int_t)agent->told.figures.negative_streak,
        "divergences", (json_int_t)agent->past.divergences, "pressure", post_pressure_word(&pressure),
        "window", (json_int_t)pressure.window, "unfinished", (json_int_t)pressure.unfinished, "backlog",
        (json_int_t)pressure.backlog, "deferred", (json_int_t)pressure.deferred);
    tally_describe(&agent->past.tally, object);
    return object;
}

json_t *metrics_object(const struct control *control)
{
    const struct control_owner *owner = &control->owner;
    json_t *agents = json_array();
    for (size_t i = 0; i < owner->agents->count; i++)
        json_array_append_new(agents, describe(owner->post, owner->agents->list[i]));
    return json_pack("{s:b, s:b, s:o, s:I, s:o, s:o}", "config_refused",
                     owner->config_fault(owner->context) != NULL, "ending", owner->agents->ending, "bounds",
                     tally_bounds(), "items_refused", (json_int_t)control->items_refused, "envelopes",
                     envelopes(owner->post), "agents", agents);
}
