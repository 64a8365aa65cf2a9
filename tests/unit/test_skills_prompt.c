/* The skills' piece of the prompt: their list, and the texts that stand before and behind it. */
#include "tests/unit/learning_scene.h"

#include <stdio.h>

static void test_the_nearest_bodies_come_within_the_budget(void **state)
{
    (void)state;
    cycle("reward: 1\nskill: {name: fetch-pages, description: 'Paginated REST APIs', body: 'Follow the next "
          "field.'}",
          NOW);
    cycle("reward: 1\nskill: {name: sql-select, description: 'Parameterized SQL', body: 'Placeholders, never "
          "concatenation.'}",
          NOW);
    look();
    OWNED_BUFFER struct buffer out = {0}, tight = {0};
    learning_prompt_skills(learning, "Write SQL queries with parameters", 4000, &out);
    assert_non_null(strstr(out.data, "- fetch-pages: Paginated REST APIs\n"));
    assert_non_null(strstr(out.data, "### Skill sql-select\n\nPlaceholders, never"));
    assert_null(strstr(out.data, "Follow the next"));
    learning_prompt_skills(learning, "Write SQL queries", 110, &tight);
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
    learning_prompt_skills(learning, task, budget, &out);
    assert_in_order(out.data, words);
}

static void test_two_texts_stand_before_the_list_and_another_that_comes_for_the_task_behind(void **state)
{
    (void)state;
    learn("pages", "Reads pages", "Some pages", 300);
    learn("count-words", "Counts words", "Some words", 300);
    learn("all-links", "Finds links", "Some links", 300);
    ASSERT_SHOWN("Count words of pages", 4000, "### Skill pages\n", "### Skill count-words\n",
                 "### All skills\n", "- pages: Reads", "- count-words:", "- all-links:");
    ASSERT_SHOWN("Count words of pages and links", 4000, "### Skill pages\n", "### Skill count-words\n",
                 "### All skills\n", "- pages: Reads", "- all-links:", "### Skill all-links\n");
    ASSERT_SHOWN("Links of pages", 4000, "### Skill pages\n", "### All skills\n",
                 "- all-links:", "### Skill all-links\n");
    ASSERT_SHOWN("Count words of pages and links", 4000, "### Skill pages\n", "### All skills\n",
                 "- all-links:", "### Skill count-words\n");
}

static void test_very_long_texts_all_stand_before_the_list_and_behind_it_after_they_had_no_room(void **state)
{
    (void)state;
    static const char task[] = "Count words of pages and links";
    learn("pages", "Reads pages", "Long pages", 5000);
    learn("count-words", "Counts words", "Long words", 5000);
    learn("all-links", "Finds links", "Long links", 5000);
    ASSERT_SHOWN(task, 20000, "### Skill pages\n", "### Skill count-words\n", "### Skill all-links\n",
                 "### All skills\n", "- pages: Reads");
    ASSERT_SHOWN(task, 2000, "- pages: Reads", "- all-links:");
    ASSERT_SHOWN(task, 20000, "- pages: Reads", "- all-links:", "### Skill pages\n", "### Skill all-links\n");
    learn("dates", "Reads dates", "Other", 5000); /* the list's end is another, in front of the same texts */
    ASSERT_SHOWN(task, 20000, "### Skill pages\n", "### Skill count-words\n", "### All skills\n",
                 "- dates: Reads");
}

static void test_short_texts_stand_behind_the_list(void **state)
{
    (void)state;
    learn("pages", "Reads pages", "Short pages", 1);
    ASSERT_SHOWN("Read pages", 4000, "- pages: Reads", "### Skill pages\n");
}

/* Texts of skills that say nothing of the task, so that the piece is the list alone. */
static void test_the_list_grows_at_its_end_and_a_skill_that_made_room_is_said_to_be_gone(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "old-%d", i);
        learn(name, "Does something of its own", "Old", 1);
    }
    OWNED_BUFFER struct buffer before = {0}, after = {0};
    learning_prompt_skills(learning, "Zebra", 8000, &before);
    learn("new-one", "Does something new", "New", 1);
    learning_prompt_skills(learning, "Zebra", 8000, &after);
    assert_true(after.length > before.length);
    assert_memory_equal(after.data, before.data, before.length);
    assert_in_order(
        after.data + before.length,
        (const char *const[]){"- new-one: Does something new\n", ": none of your skills any more\n", NULL});
    put("skills.md", "### kept\n\n- description: By hand\n"); /* and a person's list is shown as it is */
    look();
    after.length = 0;
    learning_prompt_skills(learning, "Zebra", 8000, &after);
    assert_string_equal(after.data, "- kept: By hand\n");
}

static void test_a_body_edited_by_hand_is_shown_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        OWNED char *block =
            memory_print("reward: 1\nskill: {name: sql-%d, description: d%d, body: Old text.}", i, i);
        cycle(block, NOW);
    }
    look();
    OWNED_BUFFER struct buffer out = {0};
    put("skills/sql-7/SKILL.md", "My own words.\n");
    learning_prompt_skills(learning, "Old text of sql", 60000, &out);
    assert_non_null(strstr(out.data, "### Skill sql-7\n\nMy own words."));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_the_nearest_bodies_come_within_the_budget),
        T(test_two_texts_stand_before_the_list_and_another_that_comes_for_the_task_behind),
        T(test_very_long_texts_all_stand_before_the_list_and_behind_it_after_they_had_no_room),
        T(test_short_texts_stand_behind_the_list),
        T(test_the_list_grows_at_its_end_and_a_skill_that_made_room_is_said_to_be_gone),
        T(test_a_body_edited_by_hand_is_shown_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
