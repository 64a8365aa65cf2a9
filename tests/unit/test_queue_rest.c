/* The memory of a long queue is given back when the queue is short again, and no block changes by that. */
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/queue/queue.h"

static void put(int tree, const char *text, int flags)
{
    OWNED_FD int fd = openat(tree, "queue.md", O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0 && files_write_all(fd, text, strlen(text)));
}

static size_t taken(struct queue *queue)
{
    return malloc_usable_size(queue_blocks(queue)->items);
}

static void test_the_memory_of_a_long_queue_goes_with_its_blocks(void **state)
{
    char path[] = "/tmp/agentos-rest-XXXXXX";
    assert_non_null(mkdtemp(path));
    OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct queue *queue = queue_open(tree, NULL);
    OWNED_BUFFER struct buffer text = {0};
    for (int i = 0; i < 3000; i++)
        buffer_print(&text, "## task-%d\ntask: x\n\n", i);
    put(tree, text.data, O_TRUNC);
    assert_true(queue_look(queue, NULL, NULL));
    assert_int_equal(queue_blocks(queue)->count, 3000);
    size_t much = taken(queue);
    put(tree, "## last\ntask: x\n", O_TRUNC);
    assert_true(queue_look(queue, NULL, NULL));
    queue_tidy(queue);
    assert_true(taken(queue) * 100 < much);
    put(tree, text.data, O_APPEND);
    assert_true(queue_look(queue, NULL, NULL));
    const struct block_list *list = queue_blocks(queue);
    assert_int_equal(list->count, 3001);
    assert_string_equal(list->items[0].id, "last");
    assert_string_equal(list->items[3000].id, "task-2999");
    queue_close(queue);
    OWNED char *command = memory_print("rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_memory_of_a_long_queue_goes_with_its_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
