/* The ids that may lie with a queue's consumers: all ids that do, and many more that don't. */
#include <stdlib.h>

#include "common/memory.h"
#include "supervisor/shared/work_queue_part.h"
#include "tests/unit/cmocka.h"

enum { COUNT = 300 * 1000 };

static bool each_id(void *context, const char *agent, void (*see)(void *seer, const char *id), void *seer)
{
    OWNED char *id = memory_print("with-%s", agent);
    see(seer, id);
    return true;
}

static void test_ids_that_have_gone_do_not_fill_the_memory(void **state)
{
    char *consumers[] = {(char[]){"orion"}, (char[]){"iris"}};
    const struct queues_operations operations = {.each_id = each_id};
    struct roster_queue definition = {.consumers = {.items = consumers, .count = 2}};
    struct queues queues = {.operations = &operations};
    struct work_queue queue = {.queues = &queues, .definition = &definition};
    for (int i = 0; i < COUNT; i++) {
        OWNED char *id = memory_print("item-%d", i);
        queue_ids_add(&queue, id);
        assert_true(queue_ids_may_have(&queue, id));
        queue_ids_gather(&queue, INT64_MAX);
        assert_true(queue_ids_may_have(&queue, id));
    }
    assert_true(queue.ids.capacity < COUNT);
    assert_true(queue_ids_may_have(&queue, "with-orion") && queue_ids_may_have(&queue, "with-iris"));
    assert_false(queue_ids_may_have(&queue, "item-1") && queue_ids_may_have(&queue, "item-2"));
    free(queue.ids.marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids_that_have_gone_do_not_fill_the_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
