/* The skills' piece of the prompt: their list, and the texts that stand before and behind it. */
#include "tests/unit/learning_scene.h"

#include <stdio.h>

#include "common/tree.h"

static void show(const char *task, size_t room, struct buffer *out)
{
    learning_prompt_skills(learning, task, &(struct skills_place){.room = room, .ahead = 2700, .behind = 600},
                           out);
}

static void test_the_nearest_bodies_come_within_the_budget(void **state)
{
    cycle("reward: 1\nskill: {name: fetch-pages, description: 'Paginated REST APIs', body: 'Follow the next "
          "field.'}",
          NOW);
    cycle("reward: 1\nskill: {name: sql-select, description: 'Parameterized SQL', body: 'Placeholders, never "
          "concatenation.'}",
          NOW);
    look();
    OWNED_BUFFER struct buffer out = {0}, tight = {0};
    show("Write SQL queries with parameters", 4000, &out);
    assert_non_null(strstr(out.data, "- fetch-pages: Paginated REST APIs\n"));
    assert_non_null(strstr(out.data, "### Skill sql-select\n\nPlaceholders, never"));
    assert_null(strstr(out.data, "Follow the next"));
    show("Write SQL queries", 110, &tight);
    assert_non_null(strstr(tight.data, "- sql-select"));
    assert_null(strstr(tight.data, "Placeholders"));
}

static void assert_in_order(const char *text, const char *const *words)
{
    for (; *words; words++) {
        const char *at = strstr(text, *words);
        if (!at)
            fail_msg("%s is not in: %s", *words, text);
        text = at + strlen(*words);
    }
}

static void learn(const char *name, const char *description, const char *words, size_t length)
{
    OWNED char *body = memory_new(length + 1, 1);
    memset(body, 'x', length);
    OWNED char *block = memory_print("reward: 1\nskill: {name: %s, description: '%s', body: '%s %s.'}", name,
                                     description, words, body);
    cycle(block, NOW);
    look();
}

#define ASSERT_SHOWN(task, budget, ...) assert_shown(task, budget, (const char *const[]){__VA_ARGS__, NULL})
static void assert_shown(const char *task, size_t budget, const char *const *words)
{
    OWNED_BUFFER struct buffer out = {0};
    show(task, budget, &out);
    assert_in_order(out.data, words);
}

static void test_what_was_said_stays_in_front_and_a_topic_of_its_own_comes_behind(void **state)
{
    learn("pages", "Reads pages", "Some pages", 900);
    ASSERT_SHOWN("Read pages", 9000, "- pages: Reads", "### Skill pages\n");
    learn("all-links", "Finds links", "Some links", 900);
    ASSERT_SHOWN("Find links", 9000, "- pages: Reads", "### Skill pages\n", "### More of the list",
                 "- all-links:", "### Skill all-links\n");
    learn("dates", "Reads dates", "Some dates", 900);
    ASSERT_SHOWN("Dates", 9000, "- pages: Reads", "### Skill pages\n",
                 "- all-links:", "- dates:", "### Skill dates\n");
}

static void test_a_text_that_has_no_room_waits_until_all_is_made_anew(void **state)
{
    learn("pages", "Reads pages", "Long pages", 2000);
    learn("links", "Finds links", "Long links", 2000);
    ASSERT_SHOWN("Read pages", 3000, "- pages: Reads", "### Skill pages\n");
    for (int i = 0; i < 110; i++) {
        OWNED_BUFFER struct buffer out = {0};
        show("Find links", 3000, &out);
        assert_true(out.length < 3000);
        assert_int_equal(strstr(out.data, "### Skill links\n") != NULL, i >= 99);
    }
}

/* Texts of skills that say nothing of the task, so that the piece is the list alone. */
static void test_the_list_grows_at_its_end_and_a_skill_that_made_room_is_said_to_be_forgotten(void **state)
{
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "old-%d", i);
        learn(name, "Does something of its own", "Old", 1);
    }
    OWNED_BUFFER struct buffer before = {0}, after = {0};
    show("Zebra", 8000, &before);
    learn("new-one", "Does something new", "New", 1);
    show("Zebra", 8000, &after);
    assert_true(after.length > before.length);
    assert_memory_equal(after.data, before.data, before.length);
    assert_in_order(after.data + before.length,
                    (const char *const[]){"- new-one: Does something new\n", ": forgotten\n", NULL});
    put("skills.md", "### kept\n\n- description: By hand\n"); /* and a person's list is shown as it is */
    look();
    after.length = 0;
    show("Zebra", 8000, &after);
    assert_string_equal(after.data, "- kept: By hand\n");
}

static void test_that_a_skill_was_forgotten_is_said_again_where_the_line_about_it_gave_way(void **state)
{
    (void)state;
    for (int i = 0; i < 19; i++) {
        char name[16];
        snprintf(name, sizeof name, "old-%02d", i);
        learn(name, "Does something of its own", "Old", 1);
    }
    learn("pages", "Reads pages", "Some pages", 900);
    ASSERT_SHOWN("Read pages", 9000, "- old-00: Does", "### Skill pages\n");
    learn("zebras", "Counts zebras", "Zebras", 1);
    ASSERT_SHOWN("Read pages", 9000, "- old-00: Does", "### Skill pages\n", "- old-00: forgotten\n");
    put("skills/pages/SKILL.md",
        "Another text about pages.\n"); /* what stood there can't stay, nor what is behind it */
    look();
    ASSERT_SHOWN("Read pages", 9000, "- old-00: Does", "- old-00: forgotten\n");
}

/* Each task teaches a skill of its own and forgets another; in the small room the texts give way to the list. */
static void assert_front_stays(size_t room, size_t length, int most)
{
    enum { TASKS = 130, AHEAD = 2700, BEHIND = 700 };
    OWNED_BUFFER struct buffer last = {0};
    int broken = 0;
    for (int i = 0; i < TASKS; i++) {
        OWNED_BUFFER struct buffer out = {0};
        OWNED char *name = memory_print("case-%d", i), *about = memory_print("About case %d %0300d", i, 0);
        learn(name, about, name, length);
        learning_prompt_skills(learning, name, &(struct skills_place){room, AHEAD, BEHIND}, &out);
        assert_true(out.length <= room);
        assert_non_null(strstr(out.data, name));
        size_t same = 0, shorter = out.length < last.length ? out.length : last.length;
        while (same < shorter && out.data[same] == last.data[same])
            same++;
        broken += i > 0 && (AHEAD + same) * 10 < (AHEAD + BEHIND + shorter) * 7;
        buffer_free(&last);
        buffer_add(&last, out.data, out.length);
    }
    assert_in_range(broken, 0, most);
}

static void test_the_front_stays_while_each_task_forgets_a_skill(void **state)
{
    assert_front_stays(50000, 300, 2);
}

static void test_the_front_stays_in_a_small_room_while_each_task_forgets_a_skill(void **state)
{
    assert_front_stays(3400, 300, 6);
}

static void test_the_front_stays_where_each_task_needs_a_long_text_of_its_own(void **state)
{
    assert_front_stays(50000, 5000, 2);
}

static void begin_anew(void)
{
    learning_close(learning);
    learning = NULL;
    look();
}

static void test_what_was_said_outlives_the_worker_and_a_damaged_note_of_it_is_none(void **state)
{
    OWNED_BUFFER struct buffer before = {0}, after = {0}, anew = {0};
    close(files_open_folder(tree, TREE_NOTES, true, NULL));
    for (int i = 0; i < 22; i++) {
        OWNED char *name = memory_print("case-%d", i);
        learn(name, "About it", name, 300);
        ASSERT_SHOWN(name, 50000, name);
    }
    show("case-21", 50000, &before);
    begin_anew();
    show("case-21", 50000, &after);
    assert_string_equal(after.data, before.data);
    assert_non_null(strstr(after.data, "- case-0: forgotten\n"));
    learning_close(learning);
    learning = NULL;
    OWNED char *note_text = NULL;
    size_t length;
    assert_int_equal(files_read(tree, TREE_NOTES "/prompt", 1 << 20, &note_text, &length, NULL, NULL), 1);
    for (size_t cut = 0; cut <= length; cut += 97) { /* cut short, or with another byte */
        OWNED char *text = memory_slice(note_text, length);
        text[cut < length ? cut : length - 1] ^= 1;
        assert_true(files_write(tree, TREE_NOTES "/prompt", text, cut % 2 ? cut : length, false, NULL));
        begin_anew();
        ASSERT_SHOWN("case-21", 50000, "case-21");
    }
    assert_true(files_write(tree, TREE_NOTES "/prompt", note_text, length - 1, false, NULL));
    begin_anew();
    show("case-21", 50000, &anew);
    assert_null(strstr(anew.data, "forgotten"));
}

static void test_a_body_edited_by_hand_is_shown_at_once(void **state)
{
    for (int i = 0; i < 8; i++) {
        OWNED char *block =
            memory_print("reward: 1\nskill: {name: sql-%d, description: d%d, body: Old text.}", i, i);
        cycle(block, NOW);
    }
    look();
    OWNED_BUFFER struct buffer out = {0};
    put("skills/sql-7/SKILL.md", "My own words.\n");
    show("Old text of sql", 60000, &out);
    assert_non_null(strstr(out.data, "### Skill sql-7\n\nMy own words."));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_the_nearest_bodies_come_within_the_budget),
        T(test_what_was_said_stays_in_front_and_a_topic_of_its_own_comes_behind),
        T(test_a_text_that_has_no_room_waits_until_all_is_made_anew),
        T(test_the_list_grows_at_its_end_and_a_skill_that_made_room_is_said_to_be_forgotten),
        T(test_that_a_skill_was_forgotten_is_said_again_where_the_line_about_it_gave_way),
        T(test_the_front_stays_while_each_task_forgets_a_skill),
        T(test_the_front_stays_in_a_small_room_while_each_task_forgets_a_skill),
        T(test_the_front_stays_where_each_task_needs_a_long_text_of_its_own),
        T(test_what_was_said_outlives_the_worker_and_a_damaged_note_of_it_is_none),
        T(test_a_body_edited_by_hand_is_shown_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
