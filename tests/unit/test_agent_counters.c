/* The results of an agent's work, counted. */
#include "common/memory.h"
#include "supervisor/agent/counters.h"
#include "tests/unit/cmocka.h"

static void test_only_what_was_done_has_a_reward_and_a_length(void **state)
{
    struct counters counters = {0};
    counters_began(&counters, "a", 0);
    counters_ended(&counters, "a", false, 0, 100);
    assert_int_equal(counters.tasks[0] + counters.tasks[1] + counters.tasks[2], 0);
    counters_began(&counters, "b", 200);
    counters_began(&counters, "b", 500); /* the agent goes on after its wait */
    counters_ended(&counters, "b", true, -1, 700);
    assert_int_equal(counters.tasks[0], 1);
    assert_int_equal(counters.cycle_ms.sum, 500);
    counters_ended(&counters, "unseen", true, 0, 900); /* begun before this supervisor was */
    assert_int_equal(counters.tasks[1], 1);
    assert_int_equal(counters.cycle_ms.sum, 500);
    counters_free(&counters);
}

static void test_a_value_on_a_bound_belongs_below_it(void **state)
{
    struct histogram histogram = {0};
    histogram_add(&histogram, counters_tokens, 0);
    histogram_add(&histogram, counters_tokens, 1);
    histogram_add(&histogram, counters_tokens, 2);
    histogram_add(&histogram, counters_tokens, UINT64_MAX / 2);
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram.counts[1], 1);
    assert_int_equal(histogram.counts[COUNTERS_BUCKETS], 1);
}

static void test_bounds_ascend(void **state)
{
    const uint64_t *const all[] = {counters_cycle_ms, counters_operation_ms, counters_tokens};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (size_t k = 1; k < COUNTERS_BUCKETS; k++)
            assert_true(all[i][k - 1] < all[i][k]);
}

static void test_models_without_end_take_no_memory_without_end(void **state)
{
    struct counters counters = {0};
    uint64_t counted = 0;
    for (int i = 0; i < 1000; i++) {
        OWNED char *model = memory_print("model-%d\xff", i);
        counters_asked(&counters, &(struct operation){.model = model, .provider = "p", .tokens_in = 1});
    }
    assert_int_equal(counters.model_count, COUNTERS_MODELS + 1);
    for (size_t i = 0; i < counters.model_count; i++)
        counted += counters.models[i].tokens_in.sum;
    assert_int_equal(counted, 1000);
    assert_string_equal(counters.models[COUNTERS_MODELS].model, "other");
    counters_free(&counters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_was_done_has_a_reward_and_a_length),
        cmocka_unit_test(test_a_value_on_a_bound_belongs_below_it),
        cmocka_unit_test(test_bounds_ascend),
        cmocka_unit_test(test_models_without_end_take_no_memory_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
