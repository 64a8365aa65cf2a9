/* Lines of queue.md that look like a block and are none are reported as the file is now. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

#define ABOVE "## a\ntask: |\n  do a\n\n"
#define NOTES "### Notes\nauthor: me\nno work\n"
#define MORE  "### More\nauthor: me\n\n"

/* A new process reads one block and these strays. */
static void assert_apart(int tree, const char *const *strays, size_t count)
{
    struct queue *queue = queue_open(tree, NULL);
    assert_true(queue_look(queue, NULL, NULL));
    const struct block_list *list = queue_blocks(queue);
    assert_int_equal(list->count, count + 1);
    OWNED char *text = NULL;
    size_t length, met = 0;
    assert_int_equal(files_read(tree, "queue.md", 1 << 20, &text, &length, NULL, NULL), 1);
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].stray) {
            assert_string_equal(list->items[i].task, "do a");
            continue;
        }
        assert_memory_equal(text + list->items[i].start, strays[met], strlen(strays[met]));
        met++;
    }
    assert_int_equal(met, count);
    queue_close(queue);
}

static void test_no_heading_joins_a_task_when_the_block_between_is_done(void **state)
{
    enum { LARGE = 6000 };
    OWNED char *large = memory_new(LARGE + 1, 1);
    memset(large, 'x', LARGE);
    const char *const tasks[] = {"do b", large}, *const strays[] = {MORE, NOTES};
    for (size_t more = 0; more < 2; more++)
        for (size_t i = 0; i < 2; i++) { /* the block would go in place, or not */
            char path[] = "/tmp/agentos-hints-XXXXXX";
            assert_non_null(mkdtemp(path));
            OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            struct queue *queue = queue_open(tree, NULL);
            OWNED char *text = memory_print("Title\n\n" ABOVE "## b\ntask: %s\npriority: high\n\n%s" NOTES,
                                            tasks[i], more ? MORE : "");
            put(tree, text, O_TRUNC);
            take(queue, "b");
            assert_apart(tree, strays + 1 - more, 1 + more);
            queue_close(queue);
            OWNED char *command = memory_print("rm -rf %s", path);
            assert_int_equal(system(command), 0);
        }
}

/* The text is appended by somebody who has opened the file before the block above it is done. */
static void write_behind_done(int tree, struct queue *queue, const char *text)
{
    put(tree, ABOVE "## b\ntask: do b\n", O_TRUNC);
    assert_true(queue_look(queue, NULL, NULL));
    OWNED_FD int writer = openat(tree, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(queue_take(queue, "b", queue_blocks(queue)->items[1].hash, NULL));
    assert_true(files_write_all(writer, text, strlen(text)));
    memory_close_at(&writer);
    assert_true(queue_look(queue, NULL, NULL));
}

static void test_no_heading_joins_a_task_when_it_was_written_behind_a_block_that_is_done(void **state)
{
    char path[] = "/tmp/agentos-hints-XXXXXX";
    assert_non_null(mkdtemp(path));
    OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct queue *queue = queue_open(tree, NULL);
    write_behind_done(tree, queue, NOTES);
    assert_apart(tree, (const char *const[]){NOTES}, 1);
    queue_close(queue);
    OWNED char *command = memory_print("rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

/* In front of all blocks it is the file's title. */
static void test_a_title_that_was_written_behind_a_block_that_is_done_stands_there_once(void **state)
{
    static const char title[] = "# Notes\nauthor: me\n";
    char path[] = "/tmp/agentos-hints-XXXXXX";
    OWNED char *text = NULL;
    size_t length;
    assert_non_null(mkdtemp(path));
    OWNED_FD int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct queue *queue = queue_open(tree, NULL);
    write_behind_done(tree, queue, title);
    assert_true(queue_look(queue, NULL, NULL));
    assert_int_equal(files_read(tree, "queue.md", 1 << 20, &text, &length, NULL, NULL), 1);
    assert_memory_equal(text, title, strlen(title));
    assert_null(strstr(text + 1, "# Notes"));
    queue_close(queue);
    OWNED char *command = memory_print("rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hint_comes_with_what_it_is_about_and_goes_with_it),
        cmocka_unit_test(test_no_heading_joins_a_task_when_the_block_between_is_done),
        cmocka_unit_test(test_no_heading_joins_a_task_when_it_was_written_behind_a_block_that_is_done),
        cmocka_unit_test(test_a_title_that_was_written_behind_a_block_that_is_done_stands_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
