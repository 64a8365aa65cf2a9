/* Lines of queue.md that look like a block and are none are reported as the file is now. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/queue/queue.h"

#define BLOCK "## %s\ntask: x\n\n"
#define MEANT "### n\ntask: y\n"

static void put(int tree, const char *text, int flags)
{
    OWNED_FD int fd = openat(tree, "queue.md", O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0 && files_write_all(fd, text, strlen(text)));
}

static void assert_hint(struct queue *queue, const char *start)
{
    OWNED_BUFFER struct buffer hints = {0};
    assert_true(queue_look(queue, NULL, NULL));
    assert_true(queue_hints(queue, &hints));
    if (start)
        assert_non_null(strstr(hints.data ? hints.data : "", start));
    else
        assert_int_equal(hints.length, 0);
}

static void take(struct queue *queue, const char *id)
{
    assert_true(queue_look(queue, NULL, NULL));
    const struct block_list *list = queue_blocks(queue);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0) {
            assert_true(queue_take(queue, id, list->items[i].hash, NULL));
            return;
        }
    fail_msg("no block %s", id);
}

static void test_a_hint_comes_with_what_it_is_about_and_goes_with_it(void **state)
{
    char path[] = "/tmp/agentos-hints-XXXXXX";
    assert_non_null(mkdtemp(path));
    OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct queue *queue = queue_open(tree, NULL);
    put(tree, "## a\ntask: x\n\n## b\ntask: x\n\n", O_TRUNC);
    assert_hint(queue, NULL);
    take(queue, "a");
    assert_hint(queue, NULL);
    put(tree, MEANT, O_APPEND);
    assert_hint(queue, "'### n' and 'task: y' look like a block");
    assert_hint(queue, "'### n' and 'task: y' look like a block");
    take(queue, "b"); /* its own text only */
    assert_hint(queue, "'### n' and 'task: y' look like a block");
    put(tree, "", O_TRUNC);
    assert_hint(queue, NULL);
    queue_close(queue);
    OWNED char *command = memory_print("rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hint_comes_with_what_it_is_about_and_goes_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
