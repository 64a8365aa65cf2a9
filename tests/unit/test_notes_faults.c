/* Notes of an earlier worker in .agentos that can't be read at a start: the next start finds them as they were. */
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/failing.h"
#include "worker/queue/attempts.h"
#include "worker/queue/part.h"

static char tree_name[64];
static int tree;

static int begin(void **state)
{
    strcpy(tree_name, "/tmp/agentos-notes-XXXXXX");
    assert_non_null(mkdtemp(tree_name));
    tree = files_open_path(tree_name, NULL);
    close(files_open_folder(tree, ".agentos", true, NULL));
    return tree < 0;
}

static int end(void **state)
{
    close(tree);
    OWNED char *command = memory_print("rm -rf %s", tree_name);
    return system(command);
}

static void put(const char *path, const char *text)
{
    assert_true(files_write(tree, path, text, strlen(text), false, NULL));
}

static void assert_comes_home(struct queue *queue)
{
    int64_t retry;
    assert_true(queue_look(queue, &retry, NULL)); /* which merges */
    assert_true(queue_look(queue, &retry, NULL));
    const struct block_list *blocks = queue_blocks(queue);
    assert_int_equal(blocks->count, 2);
    assert_string_equal(blocks->items[0].id, "stays");
    assert_string_equal(blocks->items[1].id, "came-out");
}

/* A file that came out with two blocks, of which queue.md had one already, and it was taken: its base says so. */
static void put_leftover(void)
{
    static const char text[] = "## taken\ntask: c\n\n## came-out\ntask: b\n";
    struct block_list list;
    struct queue queue = {.notes = files_open_folder(tree, ".agentos", false, NULL)};
    block_parse(&list, text, strlen(text));
    struct leftover leftover = {.name = "queue.7",
                                .base = queue_marks(&list, 1),
                                .preamble = queue_preamble_hash(text, list.preamble)};
    assert_true(queue_base_write(&queue, &leftover, 0, NULL));
    put(".agentos/queue.7", text);
    free(leftover.base.items);
    block_list_free(&list);
    close(queue.notes);
}

/* Each call fails in turn: either the failure was no matter, or the queue isn't opened and no block of it is gone. */
static void walk_faults(int *left)
{
    int nth = 0, refused = 0;
    for (bool failed = true; failed; nth++) {
        struct fault fault = {{0}};
        put("queue.md", "## stays\ntask: a\n");
        put_leftover();
        put(".agentos/seen", "0000000000000001 0000000000000002 3\n");
        *left = nth;
        struct queue *queue = queue_open(tree, &fault);
        failed = *left == -1;
        *left = -1;
        if (!queue) {
            assert_true(failed);
            assert_non_null(strstr(fault.text, "Input/output error"));
            refused++;
            queue = queue_open(tree, &fault);
        }
        assert_non_null(queue);
        assert_comes_home(queue);
        queue_close(queue);
        OWNED char *command = memory_print("rm %s/.agentos/*", tree_name); /* a merge leaves some */
        assert_int_equal(system(command), 0);
    }
    assert_true(refused >= 1);
}

static void test_a_queue_that_came_out_is_met_or_the_worker_does_not_start(void **state)
{
    walk_faults(&names_left);
}

static void test_notes_that_can_not_be_read_are_not_taken_for_none(void **state)
{
    walk_faults(&reads_left);
}

static void test_times_of_first_sight_that_can_not_be_read_are_not_begun_anew(void **state)
{
    struct fault fault = {{0}};
    put(".agentos/seen", "0000000000000001 0000000000000002 3\n");
    reads_left = 0;
    assert_null(queue_open(tree, &fault));
    assert_non_null(strstr(fault.text, "seen"));
    queue_close(queue_open(tree, &fault));
}

static void test_attempts_that_can_not_be_read_are_not_forgotten(void **state)
{
    struct fault fault = {{0}};
    struct attempts *attempts = attempts_open(tree, NULL);
    assert_true(attempts_begin(attempts, "poison", 7, NULL));
    attempts_close(attempts); /* as by a kill */
    reads_left = 0;
    assert_null(attempts_open(tree, &fault));
    assert_non_null(strstr(fault.text, "Input/output error"));
    attempts = attempts_open(tree, NULL);
    assert_int_equal(attempts_failed(attempts, "poison", 7), 1);
    attempts_close(attempts);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_queue_that_came_out_is_met_or_the_worker_does_not_start),
        PROMISE(test_notes_that_can_not_be_read_are_not_taken_for_none),
        PROMISE(test_times_of_first_sight_that_can_not_be_read_are_not_begun_anew),
        PROMISE(test_attempts_that_can_not_be_read_are_not_forgotten),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
