/* Lines that look like the start of a block and are none (contract section 5): each is an item of its own, reported
 * with its line. */
#include "tests/unit/block_fixture.h"

/* The lines that each of these adds to a block are an item of their own, which is no task, and is reported with its
 * line. */
static void assert_stray(const char *block, const char *meant, const char *task)
{
    OWNED_BUFFER struct buffer text = {0}, said = {0};
    buffer_print(&text, "%s%s", block, meant);
    struct block_list list = parse(text.data);
    if (list.count != 2 || !list.items[0].task || !list.items[1].problem || list.items[1].task)
        fail_msg("'%s' is no item of its own behind '%s'", meant, block);
    assert_null(list.items[0].problem);
    assert_string_equal(list.items[0].task, task);
    assert_int_equal(list.items[0].end, list.items[1].start);
    block_hints(&list, text.data, "queue.md", &said);
    unsigned line = 1;
    for (size_t i = 0; i < list.items[1].start; i++)
        line += text.data[i] == '\n';
    OWNED char *start = memory_print("queue.md:%u: '", line);
    if (strncmp(said.data ? said.data : "", start, strlen(start)) != 0 || !strstr(said.data, "'## ID'"))
        fail_msg("'%s' gives: %s", meant, said.data ? said.data : "nothing");
    block_list_free(&list);
    /* Alone it is one too. */
    list = parse(meant);
    if (list.count != 1 || !list.items[0].stray)
        fail_msg("'%s' alone is told of no more", meant);
    block_list_free(&list);
}

static void test_what_looks_like_a_start_ends_the_block_before_it_and_is_no_task(void **state)
{
    static const char *const meant[] = {
        /* fields */
        "## b\nTask: B\n",
        "## b\nTASK: B\n",
        "## b\ntaks: B\n",
        "## b\ntsak: B\n",
        "## b\natsk: B\n",
        "## b\ntasks: B\n",
        "## b\ntak: B\n",
        "## b\nTask : B\n",
        "## b\ntask\xef\xbc\x9a"
        "B\n",
        "## b\n\xef\xbd\x94\xef\xbd\x81\xef\xbd\x93\xef\xbd\x8b: B\n",
        "## b\nt\xd0\xb0sk: B\n",
        "## b\n\xd1\x82\xd0\xb0\xd1\x81\xd0\xba: B\n",
        "## b\n- task: B\n",
        "## b\n* Task: B\n",
        "## b\n- [ ] task: B\n",
        "## b\n1. task: B\n",
        "## b\n**task:** B\n",
        "## b\n**task**: B\n",
        "## b\n`task`: B\n",
        "## b\n> task: B\n",
        "## b\n\"task\": \"B\"\n",
        "## b\n\ttask: B\n",
        "## b\n    task: B\n",
        "## b\n\xc2\xa0task: B\n",
        "## b\n\xe2\x80\x8btask: B\n",
        "## b\nta\xe2\x80\x8bsk: B\n",
        "## b\n\xef\xbb\xbftask: B\n",
        "## b\n\n\n \t\nTask: B\n",
        "## b\r\nTask: B\r\n",
        "## b\ntask = B\n",
        "##\nTask: B\n",
        /* headings */
        "# b\ntask: B\n",
        "### b\ntask: B\n",
        "###### b\n\ntask: B\n",
        "##b\ntask: B\n",
        "#b\ntask: B\n",
        "###b\ntask: B\n",
        " ## b\ntask: B\n",
        "##\xc2\xa0 b\ntask: B\n",
        "##\xc2\xa0"
        "b\ntask: B\n",
        "\xe2\x80\x8b## b\ntask: B\n",
        "\xef\xbc\x83\xef\xbc\x83 b\ntask: B\n",
        "\\## b\ntask: B\n",
        "**## b**\ntask: B\n",
        "**b**\ntask: B\n",
        "__b__\n\ntask: B\n",
        "- ## b\ntask: B\n",
        "> ## b\n> task: B\n",
        "## b ##\nTask: B\n",
        "b\n------\ntask: B\n",
        "b\n======\n\nTask: B\n",
        "## b\n---\ntask: B\n",
    };
    static const struct {
        const char *block, *task;
    } blocks[] = {
        {"## a\ntask: A\n\n", "A"},
        {"## a\ntask: A\nmore\npriority: low\n", "A\nmore"},
        {"## a\ntask: |\n  A\n  # in it\n  note: so\n\n", "A\n# in it\nnote: so"},
        {"## a\ntask: |\nA\n# in it\nnote: so\n\n", "A\n# in it\nnote: so"},
        {"## a\ntask: >\n    A\npriority: low\n", "A"},
    };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
        for (size_t i = 0; i < sizeof meant / sizeof *meant; i++)
            assert_stray(blocks[k].block, meant[i], blocks[k].task);
}

static void test_behind_a_one_line_task_any_heading_with_a_word_below_is_a_stray(void **state)
{
    static const char *const meant[] = {
        "## b\ndescription: B\n", "### b\nnote: B\n",       "## b\n\nDue_date: tomorrow\n",
        "##b\ndescription: B\n",  "### b\npriority: low\n", "## b\n- description: B\n",
    };
    for (size_t i = 0; i < sizeof meant / sizeof *meant; i++) {
        assert_stray("## a\ntask: A\n\n", meant[i], "A");
        OWNED char *text = memory_print("## a\ntask: |\nA\n%sx\n", meant[i]);
        struct block_list list = parse(text);
        assert_int_equal(list.count, 1); /* behind `|` only `task` is */
        block_list_free(&list);
    }
    assert_stray("## a\ntask: A\n\n", "   ### b\n   task: B\n", "A");
    /* A second title stands for itself; the first may be the file's own. */
    struct block_list list = parse("# Queue\nowner: me\n\n# b\ndescription: B\n");
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].line, 4);
    block_list_free(&list);
}

static char *hints(const char *text)
{
    struct block_list list;
    struct buffer out = {0};
    block_parse(&list, text, strlen(text));
    block_hints(&list, text, "queue.md", &out);
    block_list_free(&list);
    buffer_add(&out, "", 0);
    return buffer_take(&out);
}

static void test_what_was_meant_as_a_block_is_told_with_its_line(void **state)
{
    static const char *const texts[] = {
        "# Queue\n\n## b\nTask: do it\n",   "# Queue\n\n## b\n- task: do it\n",
        "# Queue\n\n### b\ntask: do it\n",  "# Queue\n\n##b\ntask: do it\n",
        "# Queue\n\n# b\n\ntask: do it\n",  "# Queue\n\n## b\n**Task:** do it\n",
        "# Queue\n\n## b\n  task: do it\n", "# Queue\n\n ## b\r\ntask: do it\r\n",
        "# Queue\n\n## b\ntask : do it\n",  "# Queue\n\n## b\n- Priority: high\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        OWNED char *said = hints(texts[i]);
        if (strncmp(said, "queue.md:3: '", 13) != 0 || !strstr(said, "nothing is done with it\n") ||
            strchr(said, '\n')[1])
            fail_msg("%s gives: %s", texts[i], said);
    }
}

static void test_a_task_without_a_heading_is_told_of_too(void **state)
{
    OWNED char *said = hints("Queue\n\ntask: do it\n\n## a\ntask: one\n\ntask: a text of a\n");
    assert_int_equal(strncmp(said, "queue.md:3: 'task: do it' alone looks like a block and is none", 60), 0);
    assert_string_equal(strchr(said, '\n'), "\n"); /* and of nothing else */
}

static void test_blocks_and_ordinary_texts_give_no_hint(void **state)
{
    static const char *const texts[] = {
        "",
        "# Queue\n\nAppend a task.\n    ## ID\n    task: an example\n",
        "## a\ntask: one\n## b\npriority: high\ntask: two\n",
        "## a\ntask: one\npriority: high\n## Steps\n- tasks are many\n",
        "## a\ntask: one\npriority: high\n## Code\ntask::new();\n# Task: none\ntext\n",
        "## a\ntask: |\n  ### Shape\n  - task: indented texts are as they are\n",
        "## a\npriority: high\n## b\ntask: one\n",
        "#",
        "##",
        "# Queue\n### x",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        OWNED char *said = hints(texts[i]);
        assert_string_equal(said, "");
    }
}

static void test_many_of_them_are_twenty_and_a_number(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    for (int i = 0; i < 50; i++)
        buffer_print(&text, "### b%d\ntask: do it\n", i);
    OWNED char *said = hints(text.data);
    assert_non_null(strstr(said, "queue.md:39: '### b19'"));
    assert_null(strstr(said, "'### b20'"));
    assert_non_null(strstr(said, "queue.md: 30 more lines look like blocks and are none\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_looks_like_a_start_ends_the_block_before_it_and_is_no_task),
        cmocka_unit_test(test_behind_a_one_line_task_any_heading_with_a_word_below_is_a_stray),
        cmocka_unit_test(test_what_was_meant_as_a_block_is_told_with_its_line),
        cmocka_unit_test(test_a_task_without_a_heading_is_told_of_too),
        cmocka_unit_test(test_blocks_and_ordinary_texts_give_no_hint),
        cmocka_unit_test(test_many_of_them_are_twenty_and_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
