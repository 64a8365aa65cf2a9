#include "supervisor/http/sum.h"

#include <stdbool.h>
#include <string.h>

static void add_object(json_t *into, const json_t *from);

static json_t *plus(const json_t *a, const json_t *b)
{
    if (json_is_real(a) || json_is_real(b))
        return json_real(json_number_value(a) + json_number_value(b));
    return json_integer(json_integer_value(a) + json_is_true(a) + json_integer_value(b) + json_is_true(b));
}

static bool same_word(const json_t *a, const json_t *b, const char *key)
{
    const char *x = json_string_value(json_object_get(a, key)),
               *y = json_string_value(json_object_get(b, key));
    return strcmp(x ? x : "", y ? y : "") == 0;
}

static void add_models(json_t *into, const json_t *models)
{
    size_t index, known;
    const json_t *model;
    json_t *have;
    json_array_foreach(models, index, model)
    {
        json_t *same = NULL;
        json_array_foreach(into, known, have) if (same_word(have, model, "provider") &&
                                                  same_word(have, model, "model") &&
                                                  same_word(have, model, "error")) same = have;
        if (same)
            add_object(same, model);
        else
            json_array_append_new(into, json_deep_copy(model));
    }
}

static void add_numbers(json_t *into, const json_t *numbers)
{
    size_t index;
    const json_t *number;
    json_array_foreach(numbers, index, number)
    {
        if (index < json_array_size(into))
            json_array_set_new(into, index, plus(json_array_get(into, index), number));
        else
            json_array_append_new(into, plus(NULL, number));
    }
}

/* The part of `into` under the key, made where it is missing. */
static json_t *part(json_t *into, const char *key, json_t *empty)
{
    json_t *have = json_object_get(into, key);
    if (have)
        json_decref(empty);
    else
        json_object_set_new(into, key, empty);
    return have ? have : empty;
}

static void add_object(json_t *into, const json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)from, key, value)
    {
        if (strcmp(key, "models") == 0)
            add_models(part(into, key, json_array()), value);
        else if (json_is_array(value))
            add_numbers(part(into, key, json_array()), value);
        else if (json_is_object(value))
            add_object(part(into, key, json_object()), value);
        else if (json_is_number(value) || json_is_boolean(value))
            json_object_set_new(into, key, plus(json_object_get(into, key), value));
    }
}

json_t *sum_of_agents(const json_t *agents)
{
    size_t index;
    const json_t *agent;
    json_t *sum = json_object(), *states = part(sum, SUM_STATES, json_object());
    json_array_foreach(agents, index, agent)
    {
        const char *state = json_string_value(json_object_get(agent, "state"));
        add_object(sum, agent);
        if (state)
            json_object_set_new(states, state, plus(json_object_get(states, state), json_true()));
    }
    return sum;
}
