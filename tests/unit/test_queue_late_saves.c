/* A block that came to the file behind the worker's back, was brought home, and is taken away again by an editor that
 * has never seen it; and writers who are still at a file that came out. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "worker/queue/queue.h"

static struct queue *queue;

#define OLD  "## a\ntask: x\n\n## t\ntask: y\n\n## c\ntask: z\n"
#define NEWS "\n## n\ntask: news\n"
#define MINE "\n## m\ntask: mine\n"

static int begin(void **state)
{
    int failed = scratch_begin(state);
    queue = queue_open(scratch.data, NULL);
    return failed || !queue;
}

static int end(void **state)
{
    queue_close(queue);
    return scratch_end(state);
}

static void look(void)
{
    struct fault fault = {{0}};
    if (!queue_look(queue, NULL, &fault))
        fail_msg("%s", fault.text);
}

static const struct block *named(const char *id)
{
    const struct block_list *list = queue_blocks(queue);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    return NULL;
}

static void take(const char *id)
{
    assert_non_null(named(id));
    assert_true(queue_take(queue, id, named(id)->hash, NULL));
}

static char *text_now(void)
{
    char *text = NULL;
    size_t length;
    assert_int_equal(files_read(scratch.data, "queue.md", 1 << 20, &text, &length, NULL, NULL), 1);
    return text;
}

/* As editors save: a new file in the old one's place. */
static void save(const char *before, const char *added)
{
    OWNED char *text = memory_print("%s%s", before, added);
    assert_true(files_write(scratch.data, "queue.md", text, strlen(text), false, NULL));
}

/* An append that lands on the file which the taking of a block has just exchanged. Returns the screen of an editor that
 * opens queue.md now: the screen lacks that block. */
static char *append_to_what_came_out(void)
{
    save(OLD, "");
    look();
    int writer = openat(scratch.data, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC);
    take("t");
    assert_true(files_write_all(writer, NEWS, strlen(NEWS)));
    close(writer);
    char *screen = text_now();
    assert_null(strstr(screen, "news"));
    return screen;
}

static char *append_behind_an_exchange(void)
{
    char *screen = append_to_what_came_out();
    look();
    assert_non_null(named("n"));
    return screen;
}

/* Some editors remove the old file before the new one has its name. */
static void test_a_queue_that_an_editor_is_about_to_save_is_not_made_anew(void **state)
{
    OWNED char *screen = append_to_what_came_out();
    assert_int_equal(unlinkat(scratch.data, "queue.md", 0), 0);
    (void)queue_look(queue, NULL, &(struct fault){{0}}); /* whether it can look now or not */
    assert_int_not_equal(faccessat(scratch.data, "queue.md", F_OK, 0), 0);
    save(screen, MINE);
    look();
    assert_non_null(named("n"));
    assert_non_null(named("m"));
    assert_null(named("t"));
}

static void test_a_save_that_never_saw_what_was_brought_home_does_not_lose_it(void **state)
{
    OWNED char *screen = append_behind_an_exchange();
    save(screen, MINE);
    look();
    assert_non_null(named("n"));
    assert_non_null(named("m"));
    assert_null(named("t"));
}

static void test_who_takes_it_out_again_means_it(void **state)
{
    OWNED char *screen = append_behind_an_exchange();
    save(screen, MINE);
    look();
    save(screen, MINE);
    look();
    assert_null(named("n"));
    assert_non_null(named("m"));
}

static void test_what_was_taken_is_not_brought_home_again(void **state)
{
    OWNED char *screen = append_behind_an_exchange();
    take("n");
    save(screen, MINE);
    look();
    assert_null(named("n"));
    assert_non_null(named("m"));
    queue_close(queue);
    queue = queue_open(scratch.data, NULL);
    look();
    assert_null(named("n"));
}

static void test_it_is_not_lost_to_a_save_before_or_behind_a_restart(void **state)
{
    OWNED char *screen = append_behind_an_exchange();
    queue_close(queue);
    queue = queue_open(scratch.data, NULL);
    look();
    save(screen, MINE);
    look();
    assert_non_null(named("n"));
    assert_non_null(named("m"));
}

static void test_a_save_while_nobody_looks_does_not_lose_it(void **state)
{
    OWNED char *screen = append_behind_an_exchange();
    queue_close(queue);
    save(screen, MINE);
    queue = queue_open(scratch.data, NULL);
    look();
    assert_non_null(named("n"));
    assert_non_null(named("m"));
}

static void test_an_edit_of_what_was_brought_home_counts(void **state)
{
    OWNED char *screen = append_behind_an_exchange();
    save(screen, "\n## n\ntask: other news\n");
    look();
    assert_string_equal(named("n")->task, "other news");
    assert_int_equal(queue_blocks(queue)->count, 3);
}

static void look_until_there(const char *id)
{
    int64_t until = clock_monotonic_ms() + 20000;
    while (!named(id) && clock_monotonic_ms() < until)
        look();
    assert_non_null(named(id));
}

/* A writer has the file open when t is taken out of it, so that it comes out; c may be half-written, and stays in it. */
static int take_while_a_writer_is_at_it(void)
{
    save(OLD, "");
    int writer = openat(scratch.data, "queue.md", O_RDWR | O_APPEND | O_CLOEXEC);
    look();
    take("t");
    assert_null(named("c"));
    return writer;
}

static void test_the_last_block_comes_home_though_its_writer_writes_no_more(void **state)
{
    close(take_while_a_writer_is_at_it());
    look_until_there("c");
    assert_int_equal(queue_blocks(queue)->count, 2);
}

static void test_what_a_writer_has_not_written_again_yet_is_not_taken_out(void **state)
{
    static const char begun[] = MINE "\n## a\nta", rest[] = "sk: x\n\n## c\ntask: z\n";
    int writer = take_while_a_writer_is_at_it();
    look_until_there("c");
    assert_int_equal(ftruncate(writer, 0), 0);
    assert_true(files_write_all(writer, begun, strlen(begun)));
    look_until_there("m");
    assert_non_null(named("a"));
    assert_non_null(named("c"));
    assert_true(files_write_all(writer, rest, strlen(rest)));
    close(writer);
    look();
    assert_int_equal(queue_blocks(queue)->count, 3);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_save_that_never_saw_what_was_brought_home_does_not_lose_it),
        PROMISE(test_a_queue_that_an_editor_is_about_to_save_is_not_made_anew),
        PROMISE(test_who_takes_it_out_again_means_it),
        PROMISE(test_what_was_taken_is_not_brought_home_again),
        PROMISE(test_it_is_not_lost_to_a_save_before_or_behind_a_restart),
        PROMISE(test_a_save_while_nobody_looks_does_not_lose_it),
        PROMISE(test_an_edit_of_what_was_brought_home_counts),
        PROMISE(test_the_last_block_comes_home_though_its_writer_writes_no_more),
        PROMISE(test_what_a_writer_has_not_written_again_yet_is_not_taken_out),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
