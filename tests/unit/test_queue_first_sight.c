/* The note of when a block was seen first: a block that expires by it expires no earlier than it should. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/queue/queue.h"

static const char seen[] = ".agentos/seen";

static struct queue *open_and_look(int tree)
{
    struct queue *queue = queue_open(tree, NULL);
    assert_non_null(queue);
    assert_true(queue_look(queue, NULL, NULL));
    assert_int_equal(queue_blocks(queue)->count, 1);
    return queue;
}

/* A full disk cut the line short, and the next line stands behind the piece: the time in it is nobody's. */
static void test_a_note_that_was_cut_short_ends_no_block_before_its_time(void **state)
{
    enum { KEPT = 34 + 4 /* two hashes and the first digits of a time */ };
    static const char block[] = "## a\ntask: x\nttl_seconds: 5000\n";
    char path[] = "/tmp/agentos-sight-XXXXXX";
    int64_t before = clock_now();
    size_t length;
    OWNED char *text = NULL;
    assert_non_null(mkdtemp(path));
    OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(files_write(tree, "queue.md", block, strlen(block), false, NULL));
    queue_close(open_and_look(tree));
    assert_int_equal(files_read(tree, seen, 1000, &text, &length, NULL, NULL), 1);
    OWNED char *torn = memory_print("%.*s0f00000000000000 0000000000000001 1764000000\n", KEPT, text);
    assert_true(files_write(tree, seen, torn, strlen(torn), false, NULL));
    struct queue *queue = open_and_look(tree);
    int64_t first = queue_first_seen(queue, &queue_blocks(queue)->items[0]);
    assert_true(first >= before && first <= clock_now());
    queue_close(queue);
    OWNED char *command = memory_print("rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

/* The line about its first life is still in the note. */
static void test_a_block_that_went_and_came_again_has_its_whole_time(void **state)
{
    static const char again[] = "## a\ntask: x\nttl_seconds: 5000\n",
                      other[] = "## b\ntask: y\nttl_seconds: 9\n";
    char path[] = "/tmp/agentos-sight-XXXXXX";
    int64_t before = clock_now();
    size_t length;
    OWNED char *text = NULL;
    assert_non_null(mkdtemp(path));
    OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(files_write(tree, "queue.md", again, strlen(again), false, NULL));
    queue_close(open_and_look(tree));
    assert_int_equal(files_read(tree, seen, 1000, &text, &length, NULL, NULL), 1);
    OWNED char *old = memory_print("%.34s1000\n", text);
    assert_true(files_write(tree, seen, old, strlen(old), false, NULL));
    struct queue *queue = open_and_look(tree);
    uint64_t hash = queue_blocks(queue)->items[0].hash;
    assert_int_equal(queue_first_seen(queue, &queue_blocks(queue)->items[0]), 1000);
    assert_true(files_append(tree, "queue.md", other, strlen(other), NULL));
    assert_true(queue_look(queue, NULL, NULL) && queue_take(queue, "a", hash, NULL));
    assert_true(files_write(tree, "queue.md", again, strlen(again), false, NULL));
    assert_true(queue_look(queue, NULL, NULL));
    queue_close(queue);
    queue = open_and_look(tree);
    assert_true(queue_first_seen(queue, &queue_blocks(queue)->items[0]) >= before);
    queue_close(queue);
    OWNED char *command = memory_print("rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_note_that_was_cut_short_ends_no_block_before_its_time),
        cmocka_unit_test(test_a_block_that_went_and_came_again_has_its_whole_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
