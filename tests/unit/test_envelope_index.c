/* The index of the post office. */
#include <sys/stat.h>

#include "common/memory.h"
#include "supervisor/post/envelope_index.h"
#include "tests/unit/cmocka.h"

/* The index only compares boxes: any addresses will do. */
static char places[2];
#define IRIS  ((struct box *)(void *)&places[0])
#define ORION ((struct box *)(void *)&places[1])

static struct index_entry *add(struct envelope_index *index, struct shelf *shelf, struct box *box,
                               const char *id, enum envelope_kind kind)
{
    struct index_entry *entry = envelope_index_add(index, shelf, box, FOLDER_HANDOFFS, id);
    envelope_index_describe(entry, &(struct envelope){.kind = kind, .from = "orion", .status = "delivered"});
    return entry;
}

static void test_an_entry_is_found_by_its_place_and_id(void **state)
{
    struct envelope_index *index = envelope_index_new();
    struct shelf shelf = {0}, other = {0};
    for (int i = 0; i < 3000; i++) {
        OWNED char *id = memory_print("id-%d", i);
        add(index, &shelf, IRIS, id, KIND_HANDOFF);
    }
    struct index_entry *copy = add(index, &other, ORION, "id-7", KIND_HANDOFF);
    assert_int_equal(shelf.count + other.count, 3001);
    assert_ptr_equal(envelope_index_find(index, ORION, FOLDER_HANDOFFS, "id-7"), copy);
    struct index_entry *original = envelope_index_find(index, IRIS, FOLDER_HANDOFFS, "id-7");
    assert_ptr_not_equal(original, copy);
    assert_ptr_equal(envelope_index_elsewhere(index, copy), original);
    assert_null(envelope_index_find(index, IRIS, FOLDER_INBOX, "id-7"));
    envelope_index_drop(index, original);
    assert_null(envelope_index_find(index, IRIS, FOLDER_HANDOFFS, "id-7"));
    assert_null(envelope_index_elsewhere(index, copy));
    assert_int_equal(shelf.count, 2999);
    envelope_index_free(index);
}

static void test_a_window_counts_work_and_neither_results_nor_bounces_nor_what_is_unreadable(void **state)
{
    struct envelope_index *index = envelope_index_new();
    struct shelf shelf = {0};
    add(index, &shelf, IRIS, "a", KIND_HANDOFF);
    struct index_entry *message = add(index, &shelf, IRIS, "b", KIND_MESSAGE);
    add(index, &shelf, IRIS, "c", KIND_ITEM);
    struct index_entry *result = add(index, &shelf, IRIS, "d", KIND_RESULT);
    add(index, &shelf, IRIS, "e", KIND_BOUNCE);
    assert_int_equal(shelf.count, 5);
    assert_int_equal(shelf.unfinished, 3);
    envelope_index_spoil(message);
    assert_int_equal(shelf.unfinished, 2);
    envelope_index_describe(result,
                            &(struct envelope){.kind = KIND_HANDOFF, .from = "orion", .status = "reading"});
    assert_true(result->reading);
    assert_int_equal(shelf.unfinished, 3);
    envelope_index_drop(index, message);
    assert_int_equal(shelf.unfinished, 3);
    envelope_index_drop(index, result);
    assert_int_equal(shelf.unfinished, 2);
    assert_int_equal(shelf.count, 3);
    envelope_index_free(index);
}

static void test_priority_goes_before_age_and_age_before_the_id(void **state)
{
    struct index_entry old = {.id = "b", .priority = PRIORITY_NORMAL, .created = 1},
                       urgent = {.id = "z", .priority = PRIORITY_HIGH, .created = 9},
                       twin = {.id = "c", .priority = PRIORITY_NORMAL, .created = 1},
                       young = {.id = "a", .priority = PRIORITY_NORMAL, .created = 2};
    assert_true(envelope_index_before(&urgent, &old));
    assert_true(envelope_index_before(&old, &twin));
    assert_false(envelope_index_before(&twin, &old));
    assert_true(envelope_index_before(&twin, &young));
    assert_false(envelope_index_before(&young, &twin));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_is_found_by_its_place_and_id),
        cmocka_unit_test(test_a_window_counts_work_and_neither_results_nor_bounces_nor_what_is_unreadable),
        cmocka_unit_test(test_priority_goes_before_age_and_age_before_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
