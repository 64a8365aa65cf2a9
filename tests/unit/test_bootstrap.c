#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <git2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/block.h"
#include "common/format/yamldoc.h"
#include "common/memory.h"
#include "common/tree.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "worker/cycle/bootstrap.h"
#include "worker/memory/card.h"
#include "worker/memory/learning.h"

static struct history *history;
static struct roster *roster;
static struct buffer problems;

static const char definition[] =
    "agents:\n- name: orion\n  persona: \"Engineer: terse.\"\n  domain: \"Backend\"\n"
    "  tone: \"Dry\"\n  hints: [\"Watch paging.\"]\n  goals: [\"Handle SSE\", \"SQL\"]\n";

static void define(const char *text)
{
    OWNED_BUFFER struct buffer faults = {0};
    roster_free(roster);
    roster = roster_parse(text, strlen(text), "agents.yaml", &faults);
    if (!roster)
        fail_msg("%s", faults.data);
}

static int start(void **state)
{
    define(definition);
    return scratch_begin(state);
}

static int end(void **state)
{
    history_close(history);
    history = NULL;
    roster_free(roster);
    roster = NULL;
    buffer_free(&problems);
    return scratch_end(state);
}

static void bootstrap(void)
{
    struct fault fault = {0};
    OWNED char *damage = NULL;
    history_close(history);
    buffer_drop(&problems, problems.length);
    history = history_open(scratch.data, scratch.path, "orion", &damage, &fault);
    if (!history ||
        !bootstrap_tree(scratch.data, scratch.path, &roster->agents[0], history, &problems, &fault))
        fail_msg("%s", fault.text);
}

static char *get(const char *path)
{
    char *text;
    size_t length;
    files_read(scratch.data, path, 1 << 20, &text, &length, NULL, NULL);
    return text ? text : memory_text("(missing)");
}

static void put(const char *path, const char *text)
{
    assert_true(files_write(scratch.data, path, text, strlen(text), false, NULL));
}

static void assert_has(const char *path, const char *part)
{
    OWNED char *text = get(path);
    if (!strstr(text, part))
        fail_msg("%s lacks \"%s\":\n%s", path, part, text);
}

/* The subjects of all commits, newest first, a line each, by git itself. */
static char *subjects(void)
{
    OWNED char *command = memory_print("git -C %s log --format=%%s", scratch.path);
    FILE *pipe = popen(command, "r");
    struct buffer all = {0};
    char line[256];
    while (fgets(line, sizeof line, pipe))
        buffer_text(&all, line);
    pclose(pipe);
    return buffer_take(&all);
}

static void assert_subjects(const char *expected)
{
    OWNED char *all = subjects();
    assert_string_equal(all, expected);
}

static void test_a_new_agent_is_one_commit(void **state)
{
    bootstrap();
    assert_subjects("init: agent filesystem\n");
    assert_int_equal(problems.length, 0);
    assert_has(TREE_PERSONA, "---\nname: orion\ndomain: Backend\ntone: Dry\nthroughput_class: medium\n---\n");
    assert_has(TREE_PERSONA, "Engineer: terse.");
    assert_has(TREE_PERSONA, "## Areas to explore");
    assert_has(TREE_PERSONA, "- Watch paging.\n");
    assert_has(TREE_GOALS, "\n- [ ] Handle SSE\n- [ ] SQL\n");
    assert_has(TREE_CONSTRAINTS, "skills.md is capped at 20 entries");
    assert_has(TREE_SYSTEM_PROMPT, "{{persona}}");
    assert_has(TREE_CARD, "name: orion\n");
    OWNED char *command =
        memory_print("test -z \"$(git -C %s status --porcelain)\" && git -C %s fsck --strict 2>&1",
                     scratch.path, scratch.path);
    assert_int_equal(system(command), 0);
    static const char *const folders[] = {"skills", "outputs", "iac/inbox", "iac/dead-letter"};
    for (size_t i = 0; i < 4; i++) {
        struct stat status;
        assert_int_equal(fstatat(scratch.data, folders[i], &status, 0), 0);
    }
}

static void test_a_second_start_changes_nothing(void **state)
{
    bootstrap();
    struct file_stamp before = files_stamp_at(scratch.data, TREE_PERSONA);
    bootstrap();
    struct file_stamp after = files_stamp_at(scratch.data, TREE_PERSONA);
    assert_true(files_stamp_equal(&before, &after));
    assert_subjects("init: agent filesystem\n");
}

static void test_the_queue_begins_without_a_block(void **state)
{
    bootstrap();
    OWNED char *text = get(TREE_QUEUE);
    struct block_list blocks;
    block_parse(&blocks, text, strlen(text));
    assert_int_equal(blocks.count, 0);
    block_list_free(&blocks);
}

static void test_the_lists_begin_empty(void **state)
{
    bootstrap();
    struct learning *learning = learning_open(scratch.data, &problems);
    assert_int_equal(learning_skill_count(learning), 0);
    assert_int_equal(learning_negative_streak(learning), 0);
    learning_close(learning);
    OWNED char *command = memory_print(
        "cd %s; ! grep -q '^### ' skills.md && ! grep -q '^-\\s*reward:' rewards.md", scratch.path);
    assert_int_equal(system(command), 0);
    assert_int_equal(problems.length, 0);
}

static void test_what_lay_there_before_is_kept_and_committed(void **state)
{
    put(TREE_PERSONA, "My own.\n");
    put(TREE_QUEUE, "\n## t\ntask: early\n");
    bootstrap();
    assert_has(TREE_PERSONA, "My own.\n");
    OWNED char *queue = get(TREE_QUEUE);
    assert_string_equal(queue, "\n## t\ntask: early\n");
    char *text;
    size_t length;
    assert_int_equal(history_read(history, TREE_PERSONA, &text, &length, NULL), 1);
    assert_string_equal(text, "My own.\n");
    free(text);
}

static void test_a_missing_file_is_made_again(void **state)
{
    bootstrap();
    unlinkat(scratch.data, TREE_REWARDS, 0);
    unlinkat(scratch.data, "skills", AT_REMOVEDIR);
    bootstrap();
    assert_has(TREE_REWARDS, "# Rewards");
    OWNED_FD int skills = files_open_folder(scratch.data, "skills", false, NULL);
    assert_true(skills >= 0);
}

static void test_a_changed_definition_is_taken_over_where_nobody_edited(void **state)
{
    bootstrap();
    define("agents:\n- name: orion\n  persona: Another.\n  domain: Backend\n  goals: [\"Handle SSE\", "
           "\"SQL\"]\n");
    bootstrap();
    assert_has(TREE_PERSONA, "Another.");
    assert_subjects("orion(definition): persona.md\ninit: agent filesystem\n");
    bootstrap();
    assert_subjects("orion(definition): persona.md\ninit: agent filesystem\n");
    assert_int_equal(problems.length, 0);
}

static void test_an_edited_file_is_left_with_a_warning(void **state)
{
    bootstrap();
    put(TREE_PERSONA, "Edited.\n");
    bootstrap();
    assert_int_equal(problems.length, 0);
    define("agents:\n- name: orion\n  persona: Another.\n");
    bootstrap();
    assert_has(TREE_PERSONA, "Edited.\n");
    assert_non_null(strstr(problems.data, "persona.md was edited"));
}

static void test_the_class_comes_from_the_definition_then_from_the_persona(void **state)
{
    OWNED_BUFFER struct buffer told = {0};
    bootstrap();
    assert_int_equal(bootstrap_class(scratch.data, &roster->agents[0], &told), CLASS_MEDIUM);
    put(TREE_PERSONA, "---\nthroughput_class: slow\n---\nI.\n");
    assert_int_equal(bootstrap_class(scratch.data, &roster->agents[0], &told), CLASS_SLOW);
    put(TREE_PERSONA, "No front matter at all.\n");
    assert_int_equal(bootstrap_class(scratch.data, &roster->agents[0], &told), CLASS_MEDIUM);
    assert_int_equal(told.length, 0);
    put(TREE_PERSONA, "---\nthroughput_class: [\n---\nI.\n");
    assert_int_equal(bootstrap_class(scratch.data, &roster->agents[0], &told), CLASS_MEDIUM);
    assert_non_null(strstr(told.data, "it counts as having no front matter"));
    put(TREE_PERSONA, "---\nthroughput_class: quick\n---\nI.\n");
    assert_int_equal(bootstrap_class(scratch.data, &roster->agents[0], &told), CLASS_MEDIUM);
    assert_non_null(strstr(told.data, "neither slow, medium nor fast"));
    define("agents:\n- name: orion\n  persona: P.\n  throughput_class: fast\n");
    assert_int_equal(bootstrap_class(scratch.data, &roster->agents[0], &told), CLASS_FAST);
}

static void test_the_card_is_small_yaml(void **state)
{
    bootstrap();
    put(TREE_SKILLS, "### one\n- description: d\n### \"odd\": name\n");
    struct learning *learning = learning_open(scratch.data, &problems);
    OWNED_BUFFER struct buffer text = {0};
    const struct card_figures figures = {
        .state = "working", .tasks_done = 7, .tokens_today = 90, .day = "2026-04-29", .last_task = "a: b"};
    card_print(&roster->agents[0], CLASS_FAST, learning, &figures, &text);
    learning_close(learning);
    struct yaml_node *card = yaml_parse(text.data, text.length, ".agent", NULL);
    assert_non_null(card);
    assert_string_equal(yaml_get(card, "last_task")->text, "a: b");
    assert_int_equal(yaml_get(card, "capabilities")->count, 2);
    assert_string_equal(yaml_get(yaml_get(card, "budget"), "tokens_today")->text, "90");
    yaml_free(card);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_a_new_agent_is_one_commit),
        T(test_a_second_start_changes_nothing),
        T(test_the_queue_begins_without_a_block),
        T(test_the_lists_begin_empty),
        T(test_what_lay_there_before_is_kept_and_committed),
        T(test_a_missing_file_is_made_again),
        T(test_a_changed_definition_is_taken_over_where_nobody_edited),
        T(test_an_edited_file_is_left_with_a_warning),
        T(test_the_class_comes_from_the_definition_then_from_the_persona),
        T(test_the_card_is_small_yaml),
    };
    git_libgit2_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
