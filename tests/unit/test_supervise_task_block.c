/* The worker reads the very block that `agentos task` writes. */
#include <string.h>

#include "common/buffer.h"
#include "common/format/block.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/store/task_block.h"
#include "tests/unit/cmocka.h"

static const int64_t created = 1777457100; /* 2026-04-29T10:05:00Z */

static void reads_back(const char *before, const char *text, const char *expected)
{
    const struct task_block task = {.id = "a: task",
                                    .text = text,
                                    .priority = PRIORITY_LOW,
                                    .created = created,
                                    .ttl_seconds = 60,
                                    .lock = "db"};
    struct fault fault;
    struct block_list list;
    OWNED_BUFFER struct buffer out = {0};
    assert_true(task_block_check(&task, &fault));
    buffer_text(&out, before);
    task_block_print(&task, &out);
    size_t end = out.length;
    task_block_print(&task, &out); /* and another one behind it */
    block_parse(&list, out.data, out.length);
    assert_true(list.count >= 2);
    const struct block *last = &list.items[list.count - 1], *first = &list.items[list.count - 2];
    assert_true(first->start < end);
    assert_string_equal(first->id, "a: task");
    assert_string_equal(first->task, expected);
    assert_string_equal(last->task, expected);
    assert_int_equal(first->priority, PRIORITY_LOW);
    assert_int_equal(first->created, created);
    assert_int_equal(first->ttl_seconds, 60);
    assert_string_equal(first->lock, "db");
    assert_null(first->problem);
    block_list_free(&list);
}

static void test_any_text_is_read_back_as_it_was(void **state)
{
    static const char *const texts[] = {
        "simple",
        "with: colons: and # hashes",
        "\"quoted\"",
        "'quoted'",
        "| a pipe first",
        "> folded?",
        "- a list?",
        "two\nlines",
        "two\n\nparagraphs\n\n\nand more",
        "## looks like a header\ntask: but is not\npriority: high",
        "```\nan unclosed fence",
        "first\n  indented\n\ttabbed\n    more",
        "priority: high",
        "task: task: task",
        "ünï © 漢字 🎉",
        "null",
        "~",
        "123",
        "[a, b]",
        "{a: b}",
        "ends with backslash \\",
        "---\nfront: matter\n---",
        "lines\n---\n...\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t length = strlen(texts[i]);
        while (length && texts[i][length - 1] == '\n')
            length--;
        OWNED char *expected = memory_slice(texts[i], length);
        reads_back("", texts[i], expected);
        reads_back("## above\ntask: not ended by a line end", texts[i], expected);
        reads_back("## above\ntask: |\n  a block", texts[i], expected);
        reads_back("## above\ntask: t\n```\nfence", texts[i], expected);
    }
}

static void test_line_ends_of_other_systems_become_ours(void **state)
{
    reads_back("", "one\r\ntwo\rthree", "one\ntwo\nthree");
}

static void refused(const struct task_block *block)
{
    struct fault fault = {{0}};
    assert_false(task_block_check(block, &fault));
    assert_non_null(strstr(fault.text, "nothing was added"));
}

static void test_what_cannot_be_a_block_is_refused_with_a_sentence(void **state)
{
    OWNED char *long_id = memory_new(ID_MAX + 2, 1);
    memset(long_id, 'x', ID_MAX + 1);
    OWNED char *long_text = memory_new(TASK_TEXT_MAX + 2, 1);
    memset(long_text, 'x', TASK_TEXT_MAX + 1);
    refused(&(struct task_block){.id = "", .text = "t"});
    refused(&(struct task_block){.id = " x", .text = "t"});
    refused(&(struct task_block){.id = "a\nb", .text = "t"});
    refused(&(struct task_block){.id = "a\x1b[31m", .text = "t"});
    refused(&(struct task_block){.id = "\xff\xfe", .text = "t"});
    refused(&(struct task_block){.id = long_id, .text = "t"});
    refused(&(struct task_block){.id = "a", .text = ""});
    refused(&(struct task_block){.id = "a", .text = "\r\n\t"});
    refused(&(struct task_block){.id = "a", .text = "\xc3"});
    refused(&(struct task_block){.id = "a", .text = long_text});
    refused(&(struct task_block){.id = "a", .text = "t", .ttl_seconds = -1});
    refused(&(struct task_block){.id = "a", .text = "t", .lock = "two\nlines"});
    long_id[ID_MAX] = '\0';
    long_text[TASK_TEXT_MAX] = '\0';
    assert_true(task_block_check(&(struct task_block){.id = long_id, .text = long_text}, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_text_is_read_back_as_it_was),
        cmocka_unit_test(test_line_ends_of_other_systems_become_ours),
        cmocka_unit_test(test_what_cannot_be_a_block_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
