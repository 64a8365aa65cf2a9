#include "supervisor/agent/counters.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"

const uint64_t counters_cycle_ms[COUNTERS_BUCKETS] = {50,    100,   250,   500,    1000,   2500,   5000,
                                                      10000, 30000, 60000, 120000, 300000, 600000, 1800000};
/* Both lists of bounds follow OpenTelemetry's conventions for generative AI. */
const uint64_t counters_operation_ms[COUNTERS_BUCKETS] = {10,   20,   40,   80,    160,   320,   640,
                                                          1280, 2560, 5120, 10240, 20480, 40960, 81920};
const uint64_t counters_tokens[COUNTERS_BUCKETS] = {
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};

static const char *const other = "other";

void histogram_add(struct histogram *histogram, const uint64_t bounds[COUNTERS_BUCKETS], uint64_t value)
{
    size_t bucket = 0;
    while (bucket < COUNTERS_BUCKETS && value > bounds[bucket])
        bucket++;
    histogram->counts[bucket]++;
    histogram->sum += value;
}

void counters_free(struct counters *counters)
{
    for (size_t i = 0; i < counters->model_count; i++) {
        free(counters->models[i].model);
        free(counters->models[i].provider);
        free(counters->models[i].error);
    }
    free(counters->models);
    free(counters->begun);
    *counters = (struct counters){0};
}

void counters_began(struct counters *counters, const char *task, int64_t now)
{
    if (counters->begun && strcmp(counters->begun, task) == 0)
        return;
    memory_set(&counters->begun, task);
    counters->begun_at = now;
}

void counters_ended(struct counters *counters, const char *task, bool done, int reward, int64_t now)
{
    bool known = counters->begun && strcmp(counters->begun, task) == 0;
    if (done && reward >= -1 && reward <= 1)
        counters->tasks[reward + 1]++;
    if (done && known)
        histogram_add(&counters->cycle_ms, counters_cycle_ms, (uint64_t)(now - counters->begun_at));
    if (known) {
        free(counters->begun);
        counters->begun = NULL;
    }
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static struct counters_model *find(struct counters *counters, const char *model, const char *provider,
                                   const char *error)
{
    for (size_t i = 0; i < counters->model_count; i++) {
        struct counters_model *known = &counters->models[i];
        if (same(known->model, model) && same(known->provider, provider) && same(known->error, error))
            return known;
    }
    return NULL;
}

static struct counters_model *place(struct counters *counters, const struct operation *operation)
{
    const char *model = operation->model, *provider = operation->provider, *error = operation->error;
    struct counters_model *known = find(counters, model, provider, error);
    if (known)
        return known;
    if (counters->model_count >= COUNTERS_MODELS) {
        model = provider = other;
        error = NULL;
        known = find(counters, model, provider, error);
        if (known)
            return known;
    }
    known = MEMORY_ADD(counters->models, counters->model_count);
    *known = (struct counters_model){.model = utf8_clean(model, strlen(model)),
                                     .provider = utf8_clean(provider, strlen(provider)),
                                     .error = memory_text(error)};
    return known;
}

void counters_asked(struct counters *counters, const struct operation *operation)
{
    struct counters_model *model = place(counters, operation);
    histogram_add(&model->ms, counters_operation_ms, operation->ms);
    if (operation->error)
        return;
    histogram_add(&model->tokens_in, counters_tokens, operation->tokens_in);
    histogram_add(&model->tokens_out, counters_tokens, operation->tokens_out);
}

/* --- as JSON --- */

static json_t *numbers(const uint64_t *values, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer((json_int_t)values[i]));
    return array;
}

static json_t *describe(const struct histogram *histogram)
{
    return json_pack("{s:o, s:I}", "counts", numbers(histogram->counts, COUNTERS_BUCKETS + 1), "sum",
                     (json_int_t)histogram->sum);
}

static json_t *describe_model(const struct counters_model *model)
{
    json_t *object = json_pack("{s:s, s:s, s:o}", "model", model->model, "provider", model->provider, "ms",
                               describe(&model->ms));
    if (model->error) {
        json_object_set_new(object, "error", json_string(model->error));
    } else {
        json_object_set_new(object, "tokens_in", describe(&model->tokens_in));
        json_object_set_new(object, "tokens_out", describe(&model->tokens_out));
    }
    return object;
}

void counters_describe(const struct counters *counters, json_t *object)
{
    json_t *models = json_array();
    for (size_t i = 0; i < counters->model_count; i++)
        json_array_append_new(models, describe_model(&counters->models[i]));
    json_object_set_new(object, "tasks", numbers(counters->tasks, 3));
    json_object_set_new(object, "backpressure", json_integer((json_int_t)counters->backpressure));
    json_object_set_new(object, "cycle_ms", describe(&counters->cycle_ms));
    json_object_set_new(object, "models", models);
}

json_t *counters_bounds(void)
{
    return json_pack("{s:o, s:o, s:o}", "cycle_ms", numbers(counters_cycle_ms, COUNTERS_BUCKETS),
                     "operation_ms", numbers(counters_operation_ms, COUNTERS_BUCKETS), "tokens",
                     numbers(counters_tokens, COUNTERS_BUCKETS));
}
