/* The promises of queue.md's grammar (contract section 5). */
#include "tests/unit/block_fixture.h"

static uint64_t hash_of(const char *text)
{
    struct block_list list = parse(text);
    assert_int_equal(list.count, 1);
    uint64_t hash = list.items[0].hash;
    block_list_free(&list);
    return hash;
}

static void test_the_articles_first_task(void **state)
{
    struct block_list list =
        parse("# Queue\n\n## first-task\ntask: List your active constraints: all of them.\n"
              "priority: high\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 60\nlock: db\n"
              "from: operator\n");
    assert_int_equal(list.count, 1);
    assert_int_equal(list.preamble, 9);
    struct block *block = &list.items[0];
    assert_string_equal(block->id, "first-task");
    assert_string_equal(block->task, "List your active constraints: all of them.");
    assert_int_equal(block->priority, PRIORITY_HIGH);
    assert_int_equal(block->created, 1777457100);
    assert_int_equal(block->ttl_seconds, 60);
    assert_string_equal(block->lock, "db");
    assert_string_equal(block->from, "operator");
    assert_int_equal(block->line, 3);
    assert_int_equal(block->start, 9);
    block_list_free(&list);
}

static void test_the_articles_code_review_with_its_open_fence_is_a_task_with_its_whole_text(void **state)
{
    const char *text =
        "## review-flask-endpoint\ntask: |\nReview the following Python code for security issues.\n"
        "```python\n@app.route('/user/<username>')\ndef get_user(username):\n"
        "query = f\"SELECT * FROM users WHERE name = '{username}'\"\nreturn jsonify(x)\n"
        "Provide specific line-by-line findings with fixes. priority: high created: "
        "2026-04-29T10:30:00Z EOF\n";
    struct block_list list = parse(text);
    assert_int_equal(list.count, 1);
    assert_null(list.items[0].problem);
    assert_int_equal(strncmp(list.items[0].task, "Review the following", 20), 0);
    assert_non_null(strstr(list.items[0].task, "Provide specific line-by-line findings"));
    assert_int_equal(list.items[0].priority, PRIORITY_NORMAL);
    block_list_free(&list);
}

static void test_known_fields_end_a_text_that_is_not_indented(void **state)
{
    struct block_list list =
        parse("## nda\ntask: |\nReview this:\n\"The Party agrees: yes\"\nFlag it.\npriority: high\ncreated: "
              "2026-04-29T11:00:00Z\n");
    assert_string_equal(list.items[0].task, "Review this:\n\"The Party agrees: yes\"\nFlag it.");
    assert_int_equal(list.items[0].priority, PRIORITY_HIGH);
    assert_int_equal(list.items[0].created, 1777460400);
    block_list_free(&list);
}

static void test_a_heading_in_a_text_starts_nothing(void **state)
{
    assert_task("## a\ntask: |\n  Write:\n  ## Heading\n  task: not mine\n  end\n",
                "Write:\n## Heading\ntask: not mine\nend");
    assert_task("## a\ntask: |\nWrite:\n## Heading\n\nmore text\n", "Write:\n## Heading\n\nmore text");
    assert_task("## a\ntask: |\nWrite\n### deep\npriority: low\n", "Write\n### deep"); /* no `task` below */
}

static void test_a_header_with_a_field_behind_blank_lines_starts_a_block(void **state)
{
    struct block_list list = parse("## a\ntask: one\n## b\n\n \t\npriority: low\ntask: two\n");
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[1].task, "two");
    assert_int_equal(list.items[0].end, list.items[1].start);
    block_list_free(&list);
}

static void test_indentation_is_taken_off_and_kept_inside(void **state)
{
    assert_task("## a\ntask: |\n    def f():\n        return 1\n\n    f()\npriority: low\n",
                "def f():\n    return 1\n\nf()");
    assert_task("## a\ntask: |-\n\t\tx\n\t\t\ty\n", "x\n\ty");
    assert_task("## a\ntask: |2\n    x\n  y\n", "  x\ny");
    assert_task("## a\ntask:\n  x\n", "x");
}

static void test_line_ends_marks_and_a_missing_last_newline_change_nothing(void **state)
{
    assert_task("\xef\xbb\xbf## a\r\ntask: x\r\npriority: high\r\n", "x");
    assert_task("## a\ntask: x", "x");
    assert_task("##\ta\ntask:\tx", "x");
    struct block_list list = parse("\xef\xbb\xbf## a\ntask: x\n\xef\xbb\xbf## b\ntask: y\n");
    assert_int_equal(list.count, 2);
    assert_int_equal(list.preamble, 3);
    assert_string_equal(list.items[1].id, "b");
    block_list_free(&list);
}

static void test_quotes_around_a_whole_value_go_and_others_stay(void **state)
{
    assert_task("## a\ntask: \"Say \\\"hi\\\": now\"\n", "Say \"hi\": now");
    assert_task("## a\ntask: 'it''s'\n", "it's");
    assert_task("## a\ntask: \"this\" and \"that\"\n", "\"this\" and \"that\"");
    assert_task("## a\ntask: \"open\n", "\"open");
    assert_task("## a\ntask: C:\\temp # 1: done?\n", "C:\\temp # 1: done?");
}

static void test_priorities_in_any_case_and_unknown_ones_are_normal(void **state)
{
    static const struct {
        const char *word;
        enum priority priority;
    } rows[] = {{"HIGH", PRIORITY_HIGH},       {"\"high\"", PRIORITY_HIGH},
                {"Low # later", PRIORITY_LOW}, {"urgent", PRIORITY_NORMAL},
                {"", PRIORITY_NORMAL},         {"normal|high|low", PRIORITY_NORMAL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OWNED char *text = memory_print("## a\npriority: %s\ntask: x\n", rows[i].word);
        struct block_list list = parse(text);
        assert_int_equal(list.items[0].priority, rows[i].priority);
        block_list_free(&list);
    }
}

static void test_bad_times_and_numbers_count_as_not_given(void **state)
{
    struct block_list list = parse("## a\ntask: x\ncreated: yesterday\nttl_seconds: soon\nlock:\nfrom: \n");
    assert_int_equal(list.items[0].created, 0);
    assert_int_equal(list.items[0].ttl_seconds, 0);
    assert_null(list.items[0].lock);
    assert_null(list.items[0].from);
    assert_null(list.items[0].problem);
    block_list_free(&list);
}

static void test_a_block_that_lacks_task_has_a_problem_and_its_line(void **state)
{
    struct block_list list = parse("\n\n## a\npriority: high\n## b\ntask: |\n## c\ntask: x\n##\ntask: y\n");
    assert_int_equal(list.count, 4);
    assert_non_null(list.items[0].problem);
    assert_int_equal(list.items[0].line, 3);
    assert_non_null(list.items[1].problem);
    assert_null(list.items[2].problem);
    assert_non_null(list.items[3].problem);
    block_list_free(&list);
}

static void test_nothing_that_a_person_wrote_is_dropped(void **state)
{
    assert_task("## a\ntask: first\nsecond\npriority: low\ndeadline: tomorrow\n",
                "first\nsecond\ndeadline: tomorrow");
    assert_task("## a\ntask: first\ntask: second\n", "first\ntask: second");
    assert_task("## a\ntask: |\nuse std\ntask::spawn();\ntask:= 1\n", "use std\ntask::spawn();\ntask:= 1");
}

static void test_a_block_appended_behind_a_line_without_newline_is_a_block(void **state)
{
    struct block_list list = parse("## a\ntask: x\npriority: low## b\ntask: y## c\ntask: z");
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].task, "x");
    assert_int_equal(list.items[0].priority, PRIORITY_LOW);
    assert_string_equal(list.items[1].id, "b");
    assert_string_equal(list.items[1].task, "y");
    assert_string_equal(list.items[2].task, "z");
    block_list_free(&list);
    assert_task("## a\ntask: explain C## things\npriority: low\n", "explain C## things");
}

static void test_a_block_with_bytes_that_are_no_utf8_is_held_whole_and_the_others_are_done(void **state)
{
    static const char nul[] = "## a\ntask: x\0y\n## b\ntask: z\n";
    static const char latin1[] = "## a\ntask: caf\xe9\n## b\ntask: z\n";
    static const char latin1_id[] = "## caf\xe9\ntask: x\n## b\ntask: z\n";
    static const struct {
        const char *text, *why;
        size_t length;
    } rows[] = {
        {nul, "NUL", sizeof nul - 1},
        {latin1, "not UTF-8", sizeof latin1 - 1},
        {latin1_id, "not UTF-8", sizeof latin1_id - 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct block_list list;
        block_parse(&list, rows[i].text, rows[i].length);
        assert_int_equal(list.count, 2);
        assert_non_null(list.items[0].problem);
        assert_non_null(strstr(list.items[0].problem, rows[i].why));
        assert_null(list.items[1].problem);
        assert_string_equal(list.items[1].id, "b");
        assert_string_equal(list.items[1].task, "z");
        assert_int_equal(list.items[0].end, list.items[1].start);
        block_list_free(&list);
    }
}

/* Windows' shells append so. */
static void test_utf16_that_was_appended_is_an_item_of_its_own_and_what_comes_behind_it_another(void **state)
{
    static const char *const marks[] = {"", "\xff\xfe"};
    static const char utf16[] = "#\0#\0 \0s\0\r\0\n\0t\0a\0s\0k\0:\0B\0\r\0\n\0";
    for (size_t i = 0; i < 2; i++) {
        OWNED_BUFFER struct buffer text = {0}, said = {0};
        struct block_list list;
        buffer_print(&text, "## a\ntask: A\n%s", marks[i]);
        buffer_add(&text, utf16, sizeof utf16 - 1);
        buffer_text(&text, "## b\ntask: z\n");
        block_parse(&list, text.data, text.length);
        assert_int_equal(list.count, 3);
        assert_string_equal(list.items[0].task, "A");
        assert_true(list.items[1].stray && !list.items[1].task);
        assert_string_equal(list.items[2].task, "z");
        block_hints(&list, text.data, "queue.md", &said);
        assert_int_equal(strncmp(said.data, "queue.md:3: '", 13), 0);
        assert_non_null(strstr(said.data, "NUL"));
        block_list_free(&list);
    }
}

static void test_a_cr_alone_ends_a_line_and_stays_in_a_text(void **state)
{
    struct block_list list = parse("## a\rtask: x\rpriority: high\r\r## b\rtask: |\r  y\r  z\r");
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].task, "x");
    assert_int_equal(list.items[0].priority, PRIORITY_HIGH);
    assert_string_equal(list.items[1].task, "y\rz");
    block_list_free(&list);
    assert_task("## a\ntask: |\n  10%\r20%\r\n  done\n", "10%\r20%\ndone");
    list = parse("## a\ntask: x\r## b\rtask: y");
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].task, "x");
    assert_string_equal(list.items[1].task, "y");
    block_list_free(&list);
}

static void test_all_other_text_belongs_to_its_task(void **state)
{
    assert_task("## a\ntask: |\n  Write a page:\n  ## Heading\n  text\n", "Write a page:\n## Heading\ntext");
    assert_task("## a\ntask: |\n  ### b\n  task: x\n", "### b\ntask: x");
    assert_task("## a\ntask: |\n  x\n\n   ## b\n   Task: y\n", "x\n\n ## b\n Task: y");
    assert_task(
        "## a\ntask: |\n  Review this:\n\n  ```python\n  x = 1\nGive findings with fixes.\npriority: high\n",
        "Review this:\n\n```python\nx = 1\nGive findings with fixes.");
    static const char *const one_line[] = {
        "## Steps\n- tasks are many",
        "## Heading\ntext",
        "# Code\ntask::new();",
        "## See\nhttp://x/y",
        "a: b\n---\nc: d",
        "task: y",
        "text\nTask: y",
        "- b\n---\ntext",
        "**bold** words\ntask: y",
        "#1 of many\nSteps: a",
        "a | b\n--|--\nc: d",
        "**bold**\nnote: y",
    };
    for (size_t i = 0; i < sizeof one_line / sizeof *one_line; i++) {
        OWNED char *text = memory_print("## a\ntask: A\n\n%s\n", one_line[i]);
        OWNED char *task = memory_print("A\n\n%s", one_line[i]);
        assert_task(text, task);
    }
    static const char *const in_text[] = {
        "## Heading\nNote: y", "## Talk\nask: y", "# x\ntalk: y", "# import os\nelse:\n", "x\n---\nnote: y",
    };
    for (size_t i = 0; i < sizeof in_text / sizeof *in_text; i++) {
        OWNED char *text = memory_print("## a\ntask: |\nA\n%s\n", in_text[i]);
        struct block_list list = parse(text);
        assert_int_equal(list.count, 1);
        block_list_free(&list);
    }
}

static void test_the_same_block_hashes_the_same_and_another_does_not(void **state)
{
    uint64_t hash = hash_of("## a\ntask: x y\npriority: high\ncreated: 2026-04-29T10:05:00Z\n");
    assert_true(hash ==
                hash_of("junk\n\n## other\r\ncreated:  2026-04-29T10:05:00Z \r\npriority: HIGH\r\ntask: "
                        "\"x y\"  \r\n\r\n\r\n"));
    assert_true(hash == hash_of("## a\ntask: |\n  x y \n\npriority: high\ncreated: 2026-04-29T10:05:00Z"));
    static const char *const others[] = {
        "## a\ntask: x  y\npriority: high\ncreated: 2026-04-29T10:05:00Z\n",
        "## a\ntask: x y\npriority: low\ncreated: 2026-04-29T10:05:00Z\n",
        "## a\ntask: x y\npriority: high\ncreated: 2026-04-29T10:05:01Z\n",
        "## a\ntask: x y\npriority: high\ncreated: 2026-04-29T10:05:00Z\nlock: a\n",
        "## a\ntask: x y\npriority: high\ncreated: 2026-04-29T10:05:00Z\nfrom: a\n",
        "## a\ntask: x y\npriority: high\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 9\n",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(hash != hash_of(others[i]));
}

static void test_reading_on_from_a_kept_block_gives_what_reading_all_gives(void **state)
{
    const char *text =
        "pre\n\n## a\ntask: x\n\n## b\ntask: y\n## c\ntask: z\nmore\n## d\nlock: e\n"
        "### s\ntask: |\n  t\n  # u\n  task: v\nw\n---\nTask: x\n\n## y\ntask: z\n##1\nnote: 2\n";
    struct block_list whole = parse(text);
    for (size_t length = 0; length <= strlen(text); length++) {
        struct block_list list;
        block_parse(&list, text, length);
        size_t keep = list.count ? list.count - 1 : 0;
        if (list.count && (list.items[keep].end == 0 || text[list.items[keep].end - 1] != '\n'))
            keep = keep ? keep - 1 : SIZE_MAX;
        block_parse_tail(&list, keep, text, strlen(text));
        assert_int_equal(list.count, whole.count);
        assert_int_equal(list.preamble, whole.preamble);
        for (size_t i = 0; i < list.count; i++) {
            assert_true(list.items[i].hash == whole.items[i].hash);
            assert_int_equal(list.items[i].start, whole.items[i].start);
            assert_int_equal(list.items[i].end, whole.items[i].end);
            assert_int_equal(list.items[i].line, whole.items[i].line);
        }
        block_list_free(&list);
    }
    block_list_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_articles_first_task),
        cmocka_unit_test(test_the_articles_code_review_with_its_open_fence_is_a_task_with_its_whole_text),
        cmocka_unit_test(test_known_fields_end_a_text_that_is_not_indented),
        cmocka_unit_test(test_a_heading_in_a_text_starts_nothing),
        cmocka_unit_test(test_a_header_with_a_field_behind_blank_lines_starts_a_block),
        cmocka_unit_test(test_indentation_is_taken_off_and_kept_inside),
        cmocka_unit_test(test_line_ends_marks_and_a_missing_last_newline_change_nothing),
        cmocka_unit_test(test_quotes_around_a_whole_value_go_and_others_stay),
        cmocka_unit_test(test_priorities_in_any_case_and_unknown_ones_are_normal),
        cmocka_unit_test(test_bad_times_and_numbers_count_as_not_given),
        cmocka_unit_test(test_a_block_that_lacks_task_has_a_problem_and_its_line),
        cmocka_unit_test(test_nothing_that_a_person_wrote_is_dropped),
        cmocka_unit_test(test_a_block_appended_behind_a_line_without_newline_is_a_block),
        cmocka_unit_test(test_a_block_with_bytes_that_are_no_utf8_is_held_whole_and_the_others_are_done),
        cmocka_unit_test(test_utf16_that_was_appended_is_an_item_of_its_own_and_what_comes_behind_it_another),
        cmocka_unit_test(test_a_cr_alone_ends_a_line_and_stays_in_a_text),
        cmocka_unit_test(test_all_other_text_belongs_to_its_task),
        cmocka_unit_test(test_the_same_block_hashes_the_same_and_another_does_not),
        cmocka_unit_test(test_reading_on_from_a_kept_block_gives_what_reading_all_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
