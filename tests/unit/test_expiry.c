/* The heap of what expires. */
#include <string.h>
#include <sys/stat.h>

#include "supervisor/store/expiry.h"
#include "tests/unit/cmocka.h"

static int64_t rung[2000];
static size_t rung_count;
static unsigned changes;

static void note(void *context)
{
    rung[rung_count++] = *(int64_t *)context;
}

static void changed(void *context)
{
    changes++;
}

static int setup(void **state)
{
    rung_count = changes = 0;
    *state = expiry_new(changed, NULL);
    return 0;
}

static int teardown(void **state)
{
    expiry_free(*state);
    return 0;
}

static void test_what_is_due_rings_once_in_the_order_of_its_time(void **state)
{
    enum { COUNT = 1000 };
    static struct timer entries[COUNT];
    static int64_t times[COUNT];
    memset(entries, 0, sizeof entries);
    for (size_t i = 0; i < COUNT; i++) {
        times[i] = (int64_t)(i * 7919 % COUNT);
        entries[i] = (struct timer){.ring = note, .context = &times[i]};
        expiry_set(*state, &entries[i], times[i]);
    }
    while (expiry_ring(*state, COUNT / 2 - 1))
        ;
    assert_int_equal(rung_count, COUNT / 2);
    for (size_t i = 0; i < rung_count; i++)
        assert_int_equal(rung[i], i);
    assert_int_equal(expiry_next(*state), COUNT / 2);
}

static void test_a_cleared_one_never_rings_and_a_moved_one_at_its_new_time(void **state)
{
    int64_t a = 1, b = 2, c = 3;
    struct timer first = {.ring = note, .context = &a}, second = {.ring = note, .context = &b},
                 third = {.ring = note, .context = &c};
    expiry_set(*state, &first, 10);
    expiry_set(*state, &second, 20);
    expiry_set(*state, &third, 30);
    expiry_clear(*state, &first);
    expiry_clear(*state, &first);
    expiry_set(*state, &third, 15);
    while (expiry_ring(*state, 100))
        ;
    assert_int_equal(rung_count, 2);
    assert_int_equal(rung[0], 3);
    assert_int_equal(rung[1], 2);
    assert_int_equal(expiry_next(*state), -1);
}

static void test_its_owner_hears_when_the_next_one_is_another(void **state)
{
    struct timer late = {.ring = note}, early = {.ring = note};
    expiry_set(*state, &late, 20);
    expiry_set(*state, &early, 10);
    assert_int_equal(changes, 2);
    expiry_set(*state, &late, 30);
    assert_int_equal(changes, 2);
    expiry_clear(*state, &early);
    assert_int_equal(changes, 3);
}

static void test_no_time_to_live_is_never_and_no_sum_overflows(void **state)
{
    assert_int_equal(expiry_of(100, 0), -1);
    assert_int_equal(expiry_of(100, -5), -1);
    assert_int_equal(expiry_of(100, 5), 105);
    assert_int_equal(expiry_of(INT64_MAX - 3, 5), -1);
    assert_int_equal(expiry_of(-100, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_due_rings_once_in_the_order_of_its_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_cleared_one_never_rings_and_a_moved_one_at_its_new_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_its_owner_hears_when_the_next_one_is_another, setup, teardown),
        cmocka_unit_test(test_no_time_to_live_is_never_and_no_sum_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
