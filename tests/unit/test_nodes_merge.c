/* Other nodes' envelopes beside this node's: each envelope once, pages that go on, and no malformed row. */
#include <string.h>

#include "common/memory.h"
#include "supervisor/listings/nodes_merge.h"
#include "tests/unit/cmocka.h"

static json_t *item(const char *id, int second, const char *owner, int ignorance)
{
    OWNED char *created = memory_print("2026-04-29T10:05:%02dZ", second);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "id", id, "kind", "handoff", "from",
                     "orion", "to", "iris", "created", created, "status",
                     ignorance ? "delivered" : "finished", "path", "p", "owner", owner, NODES_IGNORANCE,
                     ignorance);
}

static json_t *page(const char *next, json_t *items)
{
    return json_pack("{s:o, s:s?}", "items", items, "next", next);
}

/* The page of one other node, b. */
static json_t *told_by(json_t *answer)
{
    return json_pack("{s:s, s:[{s:s, s:o}], s:[]}", "here", "a", "nodes", "node", "b", "answer", answer,
                     "problems");
}

static const char *text(const json_t *page, size_t i, const char *key)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(page, "items"), i), key));
    return text ? text : "";
}

static void test_of_an_envelope_the_copy_that_knows_most_is_the_item(void **state)
{
    const struct nodes_page how = {.once = true, .most = 9};
    json_t *here = page(NULL, json_pack("[o, o]", item("e1", 1, "orion", 5), item("e2", 2, "iris", 0)));
    json_t *told =
        told_by(page(NULL, json_pack("[o, o]", item("e2", 2, "orion", 5), item("e1", 1, "iris", 0))));
    nodes_merge_page(here, told, &how);
    assert_int_equal(json_array_size(json_object_get(here, "items")), 2);
    assert_string_equal(text(here, 0, "id"), "e2");
    assert_string_equal(text(here, 0, "node"), "a");
    assert_string_equal(text(here, 1, "status"), "finished");
    assert_string_equal(text(here, 1, "node"), "b");
    assert_null(json_object_get(json_array_get(json_object_get(here, "items"), 0), NODES_IGNORANCE));
    json_decref(here);
    json_decref(told);
}

static void test_items_of_queues_are_each_an_item_though_their_ids_are_the_same(void **state)
{
    const struct nodes_page how = {.once = false, .most = 9};
    json_t *here = page(NULL, json_pack("[o]", item("mine", 1, "reviews", 3)));
    json_t *told = told_by(page(NULL, json_pack("[o]", item("mine", 1, "reviews", 3))));
    json_object_set_new(here, "queues", json_pack("[{s:s, s:i}]", "queue", "reviews", "items", 1));
    json_object_set_new(
        json_object_get(json_array_get(json_object_get(told, "nodes"), 0), "answer"), "queues",
        json_pack("[{s:s, s:i}, {s:s, s:i}]", "queue", "reviews", "items", 4, "queue", "other", "items", 2));
    nodes_merge_page(here, told, &how);
    assert_int_equal(json_array_size(json_object_get(here, "items")), 2);
    json_auto_t *wanted =
        json_pack("[{s:s, s:i}, {s:s, s:i}]", "queue", "reviews", "items", 5, "queue", "other", "items", 2);
    assert_true(json_equal(json_object_get(here, "queues"), wanted));
    json_decref(here);
    json_decref(told);
}

/* b's page ends at e3: older envelopes there are not known yet, so older ones here wait for the next page. */
static void test_a_page_ends_where_that_of_any_node_does_and_goes_on_from_there(void **state)
{
    const struct nodes_page paged = {.once = true, .paged = true, .most = 9},
                            whole = {.once = true, .most = 9};
    for (int i = 0; i < 2; i++) {
        json_t *here = page(NULL, json_pack("[o, o]", item("e4", 4, "iris", 0), item("e1", 1, "iris", 0)));
        json_t *told = told_by(page("x", json_pack("[o]", item("e3", 3, "nova", 0))));
        nodes_merge_page(here, told, i ? &whole : &paged);
        assert_int_equal(json_array_size(json_object_get(here, "items")), i ? 3 : 2);
        assert_string_equal(text(here, 1, "id"), "e3");
        const char *next = json_string_value(json_object_get(here, "next"));
        assert_true(i || (next && strcmp(next, "1777457103/~/e3") == 0));
        assert_int_equal(json_array_size(json_object_get(here, "problems")), i);
        json_decref(here);
        json_decref(told);
    }
}

static void test_a_page_has_so_many_items_and_says_where_the_next_one_begins(void **state)
{
    const struct nodes_page how = {.once = true, .paged = true, .most = 2};
    json_t *here = page(NULL, json_pack("[o, o]", item("e4", 4, "iris", 0), item("e1", 1, "iris", 0)));
    json_t *told = told_by(page(NULL, json_pack("[o]", item("e3", 3, "nova", 0))));
    nodes_merge_page(here, told, &how);
    assert_int_equal(json_array_size(json_object_get(here, "items")), 2);
    assert_string_equal(json_string_value(json_object_get(here, "next")), "1777457103/~/e3");
    json_decref(here);
    json_decref(told);
}

/* The copy that knows most is shown, and the cursor leaves no other copy behind it for the next page. */
static void test_an_envelope_with_copies_on_two_nodes_is_on_one_page(void **state)
{
    const struct nodes_page how = {.once = true, .paged = true, .most = 9};
    json_t *here = page(NULL, json_pack("[o, o]", item("e3", 3, "orion", 0), item("e1", 1, "iris", 0)));
    json_t *told = told_by(page("x", json_pack("[o]", item("e3", 3, "iris", 5))));
    nodes_merge_page(here, told, &how);
    assert_int_equal(json_array_size(json_object_get(here, "items")), 1);
    assert_string_equal(text(here, 0, "owner"), "orion");
    assert_string_equal(json_string_value(json_object_get(here, "next")), "1777457103/~/e3");
    json_decref(here);
    json_decref(told);
}

static void test_without_other_nodes_nothing_is_added(void **state)
{
    const struct nodes_page how = {.once = true, .paged = true, .most = 9};
    json_auto_t *alone = json_pack("{s:n, s:[], s:[]}", "here", "nodes", "problems");
    const json_t *const tolds[] = {NULL, alone};
    for (size_t i = 0; i < 2; i++) {
        json_t *here = page(NULL, json_pack("[o]", item("e1", 1, "iris", 0)));
        json_auto_t *wanted = page(NULL, json_pack("[o]", item("e1", 1, "iris", 0)));
        json_object_del(json_array_get(json_object_get(wanted, "items"), 0), NODES_IGNORANCE);
        nodes_merge_page(here, tolds[i], &how);
        assert_true(json_equal(here, wanted));
        json_decref(here);
    }
    assert_null(nodes_merge_envelope(NULL, alone));
}

/* A node with credentials may tell anything. */
static const char *const strange[] = {
    "null",
    "[]",
    "{\"items\": 3, \"next\": \"x\", \"queues\": [1, {}], \"problems\": [1, {}]}",
    "{\"items\": [], \"next\": \"x\", \"queues\": {\"queue\": []}}",
    "{\"items\": [null, 1, \"x\", {}, {\"id\": 1}, {\"id\": \"a\", \"kind\": \"b\"}], \"next\": \"x\"}",
    "{\"id\": \"a\", \"route\": [{\"time\": 1}], \"copies\": {}, \"cost\": []}",
    "{\"id\": \"a\", \"kind\": \"b\", \"from\": \"c\", \"to\": \"d\", \"created\": \"e\", \"status\": \"f\", "
    "\"path\": \"g\", "
    "\"route\": [3, {\"time\": 1}, {\"time\": \"x\", \"agent\": \"y\", \"what\": \"z\", \"rank\": "
    "-9223372036854775808}], "
    "\"copies\": {\"path\": 1}, \"answers\": 7, \"of_trace\": [[]], \"cost\": {\"hands\": [1, {\"agent\": "
    "\"x\"}]}, "
    "\"ignorance\": -1}",
};

static void test_what_is_out_of_shape_is_passed_over(void **state)
{
    const struct nodes_page how = {.once = true, .paged = true, .most = 9};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        json_t *here = page(NULL, json_pack("[o]", item("e1", 1, "iris", 0)));
        json_t *told = told_by(json_loads(strange[i], JSON_DECODE_ANY, NULL));
        nodes_merge_page(here, told, &how);
        assert_int_equal(json_array_size(json_object_get(here, "items")), 1);
        assert_string_equal(text(here, 0, "id"), "e1");
        json_decref(here);
        json_t *view = item("e1", 1, "iris", 0);
        json_object_set_new(
            view, "route",
            json_pack("[{s:s, s:s, s:s, s:n}]", "time", "t", "agent", "iris", "what", "created", "commit"));
        json_t *whole = nodes_merge_envelope(view, told);
        assert_non_null(whole);
        assert_true(json_is_array(json_object_get(whole, "route")));
        json_decref(whole);
        whole = nodes_merge_envelope(NULL, told);
        json_decref(whole);
        json_decref(told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_an_envelope_the_copy_that_knows_most_is_the_item),
        cmocka_unit_test(test_items_of_queues_are_each_an_item_though_their_ids_are_the_same),
        cmocka_unit_test(test_a_page_ends_where_that_of_any_node_does_and_goes_on_from_there),
        cmocka_unit_test(test_a_page_has_so_many_items_and_says_where_the_next_one_begins),
        cmocka_unit_test(test_an_envelope_with_copies_on_two_nodes_is_on_one_page),
        cmocka_unit_test(test_without_other_nodes_nothing_is_added),
        cmocka_unit_test(test_what_is_out_of_shape_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
