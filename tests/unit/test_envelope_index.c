/* The index of the post office. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/memory.h"
#include "supervisor/post/envelope_index.h"

/* The index only compares boxes: any addresses will do. */
static char places[2];
#define IRIS  ((struct box *)(void *)&places[0])
#define ORION ((struct box *)(void *)&places[1])

static struct parcel *add(struct parcels *parcels, struct shelf *shelf, struct box *box, const char *id,
                          enum envelope_kind kind)
{
    struct parcel *parcel = parcels_add(parcels, shelf, box, FOLDER_HANDOFFS, id);
    parcels_describe(parcel, &(struct envelope){.kind = kind, .from = "orion", .status = "delivered"});
    return parcel;
}

static void test_a_parcel_is_found_by_its_place_and_id(void **state)
{
    (void)state;
    struct parcels *parcels = parcels_new();
    struct shelf shelf = {0}, other = {0};
    for (int i = 0; i < 3000; i++) {
        OWNED char *id = memory_print("id-%d", i);
        add(parcels, &shelf, IRIS, id, KIND_HANDOFF);
    }
    struct parcel *copy = add(parcels, &other, ORION, "id-7", KIND_HANDOFF);
    assert_int_equal(parcels_count(parcels), 3001);
    assert_ptr_equal(parcels_find(parcels, ORION, FOLDER_HANDOFFS, "id-7"), copy);
    struct parcel *original = parcels_find(parcels, IRIS, FOLDER_HANDOFFS, "id-7");
    assert_ptr_not_equal(original, copy);
    assert_ptr_equal(parcels_elsewhere(parcels, copy), original);
    assert_null(parcels_find(parcels, IRIS, FOLDER_INBOX, "id-7"));
    parcels_drop(parcels, original);
    assert_null(parcels_find(parcels, IRIS, FOLDER_HANDOFFS, "id-7"));
    assert_null(parcels_elsewhere(parcels, copy));
    assert_int_equal(shelf.count, 2999);
    parcels_free(parcels);
}

static void test_a_window_counts_work_and_neither_results_nor_bounces_nor_what_is_unreadable(void **state)
{
    (void)state;
    struct parcels *parcels = parcels_new();
    struct shelf shelf = {0};
    add(parcels, &shelf, IRIS, "a", KIND_HANDOFF);
    struct parcel *message = add(parcels, &shelf, IRIS, "b", KIND_MESSAGE);
    add(parcels, &shelf, IRIS, "c", KIND_ITEM);
    struct parcel *result = add(parcels, &shelf, IRIS, "d", KIND_RESULT);
    add(parcels, &shelf, IRIS, "e", KIND_BOUNCE);
    assert_int_equal(shelf.count, 5);
    assert_int_equal(shelf.unfinished, 3);
    parcels_spoil(message);
    assert_int_equal(shelf.unfinished, 2);
    parcels_describe(result, &(struct envelope){.kind = KIND_HANDOFF, .from = "orion", .status = "reading"});
    assert_true(result->reading);
    assert_int_equal(shelf.unfinished, 3);
    parcels_drop(parcels, message);
    assert_int_equal(shelf.unfinished, 3);
    parcels_drop(parcels, result);
    assert_int_equal(shelf.unfinished, 2);
    assert_int_equal(shelf.count, 3);
    parcels_free(parcels);
}

static void test_priority_goes_before_age_and_age_before_the_id(void **state)
{
    (void)state;
    struct parcel old = {.id = "b", .priority = PRIORITY_NORMAL, .created = 1},
                  urgent = {.id = "z", .priority = PRIORITY_HIGH, .created = 9},
                  twin = {.id = "c", .priority = PRIORITY_NORMAL, .created = 1},
                  young = {.id = "a", .priority = PRIORITY_NORMAL, .created = 2};
    assert_true(parcels_before(&urgent, &old));
    assert_true(parcels_before(&old, &twin));
    assert_false(parcels_before(&twin, &old));
    assert_true(parcels_before(&twin, &young));
    assert_false(parcels_before(&young, &twin));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_parcel_is_found_by_its_place_and_id),
        cmocka_unit_test(test_a_window_counts_work_and_neither_results_nor_bounces_nor_what_is_unreadable),
        cmocka_unit_test(test_priority_goes_before_age_and_age_before_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
