/* What an agent's work came to, counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/memory.h"
#include "supervisor/agent/counters.h"

static void test_only_what_was_done_has_a_reward_and_a_length(void **state)
{
    (void)state;
    struct tally tally = {0};
    tally_began(&tally, "a", 0);
    tally_ended(&tally, "a", false, 0, 100);
    assert_int_equal(tally.tasks[0] + tally.tasks[1] + tally.tasks[2], 0);
    tally_began(&tally, "b", 200);
    tally_began(&tally, "b", 500); /* it goes on after it has waited */
    tally_ended(&tally, "b", true, -1, 700);
    assert_int_equal(tally.tasks[0], 1);
    assert_int_equal(tally.cycle_ms.sum, 500);
    tally_ended(&tally, "unseen", true, 0, 900); /* begun before this supervisor was */
    assert_int_equal(tally.tasks[1], 1);
    assert_int_equal(tally.cycle_ms.sum, 500);
    tally_free(&tally);
}

static void test_a_value_on_a_bound_belongs_below_it(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    histogram_add(&histogram, tally_tokens, 0);
    histogram_add(&histogram, tally_tokens, 1);
    histogram_add(&histogram, tally_tokens, 2);
    histogram_add(&histogram, tally_tokens, UINT64_MAX / 2);
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram.counts[1], 1);
    assert_int_equal(histogram.counts[TALLY_BUCKETS], 1);
}

static void test_bounds_ascend(void **state)
{
    (void)state;
    const uint64_t *const all[] = {tally_cycle_ms, tally_operation_ms, tally_tokens};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (size_t k = 1; k < TALLY_BUCKETS; k++)
            assert_true(all[i][k - 1] < all[i][k]);
}

static void test_models_without_end_take_no_memory_without_end(void **state)
{
    (void)state;
    struct tally tally = {0};
    uint64_t counted = 0;
    for (int i = 0; i < 1000; i++) {
        OWNED char *model = memory_print("model-%d\xff", i);
        tally_asked(&tally, &(struct operation){.model = model, .provider = "p", .tokens_in = 1});
    }
    assert_int_equal(tally.model_count, TALLY_MODELS + 1);
    for (size_t i = 0; i < tally.model_count; i++)
        counted += tally.models[i].tokens_in.sum;
    assert_int_equal(counted, 1000);
    assert_string_equal(tally.models[TALLY_MODELS].model, "other");
    tally_free(&tally);
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
