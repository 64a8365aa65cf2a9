#include "supervisor/agent/counters.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"

const uint64_t tally_cycle_ms[TALLY_BUCKETS] = {50,    100,   250,   500,    1000,   2500,   5000,
                                                10000, 30000, 60000, 120000, 300000, 600000, 1800000};
/* As OpenTelemetry's conventions for generative AI advise, both. */
const uint64_t tally_operation_ms[TALLY_BUCKETS] = {10,   20,   40,   80,    160,   320,   640,
                                                    1280, 2560, 5120, 10240, 20480, 40960, 81920};
const uint64_t tally_tokens[TALLY_BUCKETS] = {1,     4,     16,     64,      256,     1024,     4096,
                                              16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};

static const char *const other = "other";

void histogram_add(struct histogram *histogram, const uint64_t bounds[TALLY_BUCKETS], uint64_t value)
{
    size_t bucket = 0;
    while (bucket < TALLY_BUCKETS && value > bounds[bucket])
        bucket++;
    histogram->counts[bucket]++;
    histogram->sum += value;
}

void tally_free(struct tally *tally)
{
    for (size_t i = 0; i < tally->model_count; i++) {
        free(tally->models[i].model);
        free(tally->models[i].provider);
        free(tally->models[i].error);
    }
    free(tally->models);
    free(tally->begun);
    *tally = (struct tally){0};
}

void tally_began(struct tally *tally, const char *task, int64_t now)
{
    if (tally->begun && strcmp(tally->begun, task) == 0)
        return;
    free(tally->begun);
    tally->begun = memory_text(task);
    tally->begun_at = now;
}

void tally_ended(struct tally *tally, const char *task, bool done, int reward, int64_t now)
{
    bool known = tally->begun && strcmp(tally->begun, task) == 0;
    if (done && reward >= -1 && reward <= 1)
        tally->tasks[reward + 1]++;
    if (done && known)
        histogram_add(&tally->cycle_ms, tally_cycle_ms, (uint64_t)(now - tally->begun_at));
    if (known) {
        free(tally->begun);
        tally->begun = NULL;
    }
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static struct tally_model *find(struct tally *tally, const char *model, const char *provider,
                                const char *error)
{
    for (size_t i = 0; i < tally->model_count; i++) {
        struct tally_model *known = &tally->models[i];
        if (same(known->model, model) && same(known->provider, provider) && same(known->error, error))
            return known;
    }
    return NULL;
}

static struct tally_model *place(struct tally *tally, const struct operation *operation)
{
    const char *model = operation->model, *provider = operation->provider, *error = operation->error;
    struct tally_model *known = find(tally, model, provider, error);
    if (known)
        return known;
    if (tally->model_count >= TALLY_MODELS) {
        model = provider = other;
        error = NULL;
        known = find(tally, model, provider, error);
        if (known)
            return known;
    }
    tally->models = memory_grow(tally->models, tally->model_count + 1, sizeof *tally->models);
    known = &tally->models[tally->model_count++];
    *known = (struct tally_model){.model = utf8_clean(model, strlen(model)),
                                  .provider = utf8_clean(provider, strlen(provider)),
                                  .error = memory_text(error)};
    return known;
}

void tally_asked(struct tally *tally, const struct operation *operation)
{
    struct tally_model *model = place(tally, operation);
    histogram_add(&model->ms, tally_operation_ms, operation->ms);
    if (operation->error)
        return;
    histogram_add(&model->tokens_in, tally_tokens, operation->tokens_in);
    histogram_add(&model->tokens_out, tally_tokens, operation->tokens_out);
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
    return json_pack("{s:o, s:I}", "counts", numbers(histogram->counts, TALLY_BUCKETS + 1), "sum",
                     (json_int_t)histogram->sum);
}

static json_t *describe_model(const struct tally_model *model)
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

void tally_describe(const struct tally *tally, json_t *object)
{
    json_t *models = json_array();
    for (size_t i = 0; i < tally->model_count; i++)
        json_array_append_new(models, describe_model(&tally->models[i]));
    json_object_set_new(object, "tasks", numbers(tally->tasks, 3));
    json_object_set_new(object, "backpressure", json_integer((json_int_t)tally->backpressure));
    json_object_set_new(object, "cycle_ms", describe(&tally->cycle_ms));
    json_object_set_new(object, "models", models);
}

json_t *tally_bounds(void)
{
    return json_pack("{s:o, s:o, s:o}", "cycle_ms", numbers(tally_cycle_ms, TALLY_BUCKETS), "operation_ms",
                     numbers(tally_operation_ms, TALLY_BUCKETS), "tokens",
                     numbers(tally_tokens, TALLY_BUCKETS));
}
