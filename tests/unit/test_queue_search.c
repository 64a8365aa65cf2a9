/* A search of queue.md finds the blocks that the parser finds, and takes little time whatever the file holds. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/format/answer_file.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/store/queue_search.h"
#include "supervisor/store/task_block.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

enum { FOUND_MAX = 256, TEXTS = 1000, SLICES_MAX = 60, LARGE = 24 * 1024 * 1024 };

static void put(const char *name, const char *bytes, size_t length)
{
    int fd = openat(scratch.data, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

/* The slice again and again, at least `length` bytes. */
static void put_many(const char *slice, size_t length)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, slice);
    while (text.length < length) {
        OWNED char *half = memory_slice(text.data, text.length);
        buffer_add(&text, half,
                   text.length < length - text.length
                       ? text.length
                       : (length - text.length) / strlen(slice) * strlen(slice) + strlen(slice));
    }
    put(TREE_QUEUE, text.data, text.length);
}

struct found {
    const char *id;
    uint64_t hashes[FOUND_MAX];
    size_t count;
};

static bool is_meant(void *context, const char *id)
{
    return strcmp(((struct found *)context)->id, id) == 0;
}

static bool note(void *context, const struct block *block)
{
    struct found *found = context;
    assert_true(found->count < FOUND_MAX);
    found->hashes[found->count++] = block->hash;
    return false;
}

static int search_for(struct found *found, struct fault *fault)
{
    const struct queue_search search = {.is_meant = is_meant, .visit = note, .context = found};
    return queue_search(scratch.data, TREE_QUEUE, &search, fault);
}

static void finds_what_is_parsed(const char *text, size_t length, const char *id)
{
    struct found found = {.id = id}, parsed = {.id = id};
    struct block_list list;
    block_parse(&list, text, length);
    for (size_t i = 0; i < list.count; i++)
        if (!list.items[i].stray && is_meant(&parsed, list.items[i].id))
            note(&parsed, &list.items[i]);
    block_list_free(&list);
    put(TREE_QUEUE, text, length);
    assert_int_equal(search_for(&found, NULL), 0);
    assert_int_equal(found.count, parsed.count);
    assert_memory_equal(found.hashes, parsed.hashes, parsed.count * sizeof *parsed.hashes);
}

/* Headings, strays, fields, marks and line ends in any order, and here and there many blanks: blocks and their
 * surroundings that reach over the parts in which the file is read. */
static void test_a_search_finds_each_block_that_the_parser_finds(void **state)
{
    static const char *const slices[] = {
        "## a",
        "## b",
        "##a",
        "### a",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "task: ",
        "task: x",
        "task: |",
        "priority: high",
        "  in",
        "x",
        "## a ",
        "##\ta",
        "## a b",
        " ## a",
        "\xef\xbb\xbf",
        "\xef\xbb\xbf## a",
        "lock: l",
        "created: 2026-01-01T00:00:00Z",
        "task: y## a",
        "x## b",
        "- task: x",
        "Task: x",
        "\n## a\ntask: x\n",
        "\n## b\ntask: y\n",
        "## ",
        "#",
        "```",
        "\n\n\n\n",
        "from: me",
        "## a\n",
        "\xc3\xbf",
    };
    (void)state;
    for (unsigned seed = 0; seed < TEXTS; seed++) {
        OWNED_BUFFER struct buffer text = {0};
        srand(seed);
        for (int i = rand() % SLICES_MAX; i > 0; i--) {
            buffer_text(&text, slices[(size_t)rand() % (sizeof slices / sizeof *slices)]);
            for (int blanks = rand() % 100 ? 0 : rand() % 3000; blanks > 0; blanks--)
                buffer_text(&text, seed % 2 ? " " : "\n");
            if (rand() % 100 == 0)
                buffer_add(&text, "", 1);
        }
        buffer_text(&text, "\n");
        finds_what_is_parsed(text.data, text.length, "a");
        finds_what_is_parsed(text.data, text.length, "a b");
    }
}

/* Behind so many blanks that the id, or a part of it, stands further away than a search looks. */
static void test_a_search_finds_a_block_whose_id_stands_behind_many_blanks(void **state)
{
    (void)state;
    for (size_t blanks = 370; blanks < 520; blanks++) {
        OWNED_BUFFER struct buffer text = {0};
        buffer_text(&text, "##");
        for (size_t i = 0; i < blanks; i++)
            buffer_text(&text, " ");
        size_t start = text.length;
        for (size_t i = 0; i < ID_MAX; i++)
            buffer_text(&text, "i");
        OWNED char *id = memory_text(text.data + start);
        buffer_text(&text, "\ntask: x\n");
        struct found found = {.id = id};
        put(TREE_QUEUE, text.data, text.length);
        assert_int_equal(search_for(&found, NULL), 0);
        assert_int_equal(found.count, 1);
    }
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static const char usual[] =
    "\n## t\ntask: A task of some length, as a person gives it to an agent in the morning\n"
    "priority: normal\ncreated: 2026-12-01T00:00:00Z\n";

static void test_a_task_of_a_large_queue_is_looked_for_in_a_part_of_the_time_of_its_parse(void **state)
{
    (void)state;
    const struct task_block asked = {.id = "last", .text = "Once"};
    OWNED_BUFFER struct buffer text = {0};
    while (text.length < LARGE)
        buffer_text(&text, usual);
    buffer_text(&text, "\n## last\ntask: Once\n");
    put(TREE_QUEUE, text.data, text.length);
    struct block_list list;
    double before = cpu_ms();
    block_parse(&list, text.data, text.length);
    block_list_free(&list);
    double parse = cpu_ms() - before;
    struct fault fault;
    int reward;
    before = cpu_ms();
    assert_int_equal(task_block_known(scratch.data, &asked, &reward, &fault), TASK_PENDING);
    assert_true(cpu_ms() - before < parse / 4);
}

static void is_not_told(const char *id)
{
    const struct task_block asked = {.id = id, .text = "Once"};
    struct fault fault;
    int reward;
    assert_int_equal(task_block_known(scratch.data, &asked, &reward, &fault), TASK_UNTOLD);
    assert_non_null(strstr(fault.text, "nothing was added"));
}

/* Such a file is no person's: many thousand headings with the id and nothing below, or nothing but headings. */
static void test_a_queue_in_which_a_search_would_take_long_is_not_said_to_lack_the_task(void **state)
{
    static const char *const slices[] = {"## x\n", "## x ", "## a\ntask: b## x\nprio\n", "# "};
    (void)state;
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        struct fault fault;
        struct found found = {.id = "x"};
        put_many(slices[i], LARGE);
        assert_int_equal(search_for(&found, &fault), -1);
        assert_non_null(strstr(fault.text, "takes long"));
        is_not_told("x");
    }
}

static void test_a_queue_that_is_too_large_or_no_file_is_not_said_to_lack_the_task(void **state)
{
    (void)state;
    put_many(usual, QUEUE_FILE_MAX + 1);
    is_not_told("x");
    assert_int_equal(unlinkat(scratch.data, TREE_QUEUE, 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", scratch.data, TREE_QUEUE), 0);
    is_not_told("x");
    assert_int_equal(unlinkat(scratch.data, TREE_QUEUE, 0), 0);
    assert_int_equal(mkfifoat(scratch.data, TREE_QUEUE, 0600), 0);
    is_not_told("x");
    assert_int_equal(unlinkat(scratch.data, TREE_QUEUE, 0), 0);
}

/* .agentos holds them for seconds, and a worker that was taken over may hold any number. */
static void test_files_that_came_out_of_the_queue_are_searched_up_to_a_bound(void **state)
{
    (void)state;
    put(TREE_QUEUE, "", 0);
    assert_int_equal(mkdirat(scratch.data, TREE_NOTES, 0755), 0);
    static const char base[] = "queue-base 1 0 cbf29ce484222325 0\n";
    put(TREE_NOTES "/queue.7", "## x\ntask: Once\n", 16);
    put(TREE_NOTES "/queue.7.base", base, strlen(base));
    const struct task_block asked = {.id = "x", .text = "Once"}, other = {.id = "y", .text = "Once"};
    struct fault fault;
    int reward;
    assert_int_equal(task_block_known(scratch.data, &asked, &reward, &fault), TASK_PENDING);
    assert_int_equal(task_block_known(scratch.data, &other, &reward, &fault), TASK_NEW);
    for (int i = 10; i < 12; i++) {
        OWNED char *name = memory_print(TREE_NOTES "/queue.%d", i), *beside = memory_print("%s.base", name);
        put(name, "", 0);
        int fd = openat(scratch.data, name, O_WRONLY);
        assert_int_equal(ftruncate(fd, QUEUE_FILE_MAX - 1024), 0);
        close(fd);
        put(beside, base, strlen(base));
    }
    is_not_told("y");
}

static void test_files_that_came_out_of_the_queue_and_cannot_be_read_do_not_lack_the_task(void **state)
{
    static const struct task_block asked = {.id = "x", .text = "Once"};
    struct fault fault;
    int reward;
    (void)state;
    assert_int_equal(scratch_end(state), 0);
    assert_int_equal(scratch_begin(state), 0);
    assert_int_equal(task_block_known(scratch.data, &asked, &reward, &fault), TASK_NEW);
    put(TREE_NOTES, "", 0);
    is_not_told("x");
    assert_int_equal(unlinkat(scratch.data, TREE_NOTES, 0), 0);
    assert_int_equal(mkdirat(scratch.data, TREE_NOTES, 0755), 0);
    assert_int_equal(mkdirat(scratch.data, TREE_NOTES "/queue.7.base", 0755), 0);
    is_not_told("x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_search_finds_each_block_that_the_parser_finds),
        cmocka_unit_test(test_a_search_finds_a_block_whose_id_stands_behind_many_blanks),
        cmocka_unit_test(test_a_task_of_a_large_queue_is_looked_for_in_a_part_of_the_time_of_its_parse),
        cmocka_unit_test(test_a_queue_in_which_a_search_would_take_long_is_not_said_to_lack_the_task),
        cmocka_unit_test(test_a_queue_that_is_too_large_or_no_file_is_not_said_to_lack_the_task),
        cmocka_unit_test(test_files_that_came_out_of_the_queue_are_searched_up_to_a_bound),
        cmocka_unit_test(test_files_that_came_out_of_the_queue_and_cannot_be_read_do_not_lack_the_task),
    };
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
