/* A cycle's changes to an agent's memory: skills, goals, reflections, rewards. */
#include "tests/unit/learning_scene.h"

#include <math.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/tree.h"
#include "worker/memory/skills.h"

static void assert_noted(const char *part)
{
    if (!note.data || !strstr(note.data, part))
        fail_msg("the note is: %s", note.data ? note.data : "");
}

static void assert_problem(const char *part)
{
    if (!problems.data || !strstr(problems.data, part))
        fail_msg("the problems are: %s", problems.data ? problems.data : "");
}

static void fill_skills(int count, int64_t last, int evidence)
{
    OWNED_BUFFER struct buffer text = {0};
    char at[CLOCK_TEXT];
    buffer_text(&text, "# Skills\n");
    for (int i = 0; i < count; i++)
        buffer_print(
            &text,
            "\n### skill-%02d\n- description: d\n- reward_evidence: %d\n- last_success: %s\n- created: "
            "2026-01-01T00:00:00Z\n- file: skills/skill-%02d/SKILL.md\n",
            i, evidence, clock_format(last + i, at), i);
    put(TREE_SKILLS, text.data);
}

static void test_a_success_earns_a_skill(void **state)
{
    cycle("reward: 1\nreason: done\nskill:\n  name: fetch-all\n  description: 'Use when: paging'\n  body: "
          "|\n    # How\n    Go.",
          NOW);
    assert_has(TREE_SKILLS, "# Skills\n");
    assert_has(TREE_SKILLS,
               "\n### fetch-all\n- description: Use when: paging\n- reward_evidence: 1\n- last_success: "
               "2026-04-29T10:00:00Z\n- created: 2026-04-29T10:00:00Z\n- file: "
               "skills/fetch-all/SKILL.md\n");
    OWNED char *text = get("skills/fetch-all/SKILL.md");
    assert_string_equal(text, "---\nname: fetch-all\ndescription: \"Use when: paging\"\n---\n\n# How\nGo.\n");
    assert_has(TREE_REWARDS, "## task\n- reward: +1\n");
    assert_noted("skill earned: fetch-all");
}

static void test_only_a_success_does(void **state)
{
    cycle("reward: 0\nskill: {name: a, description: d, body: b}", NOW);
    assert_int_equal(learning_skill_count(learning), 0);
    assert_noted("only +1 earns a skill");
    assert_has(TREE_REWARDS, "- reward: 0\n");
}

static void test_a_further_success_strengthens_it(void **state)
{
    cycle("reward: 1\nskill: {name: a, description: d, body: b}", NOW);
    cycle("reward: 1\nskill: {name: a, description: other, body: other}", NOW + 86400);
    assert_has(TREE_SKILLS,
               "- description: d\n- reward_evidence: 2\n- last_success: 2026-04-30T10:00:00Z\n- created: "
               "2026-04-29T10:00:00Z\n");
    assert_has("skills/a/SKILL.md", "\nb\n");
    assert_noted("skill strengthened: a (2)");
    assert_int_equal(lines_with(TREE_SKILLS, "### "), 1);
}

static void test_a_text_of_a_known_skill_that_was_not_used_is_told(void **state)
{
    (void)state;
    cycle("reward: 1\nskill: {name: a, description: d, body: b}", NOW);
    cycle("reward: 1\nskill: {name: a, description: d, body: b}", NOW + 60);
    cycle("reward: 1\nskill: {name: a}", NOW + 120);
    assert_lacks(TREE_REFLECTIONS, "fault");
    cycle("reward: 1\nskill: {name: a, description: other words, body: b}", NOW + 180);
    assert_lacks(TREE_REFLECTIONS, "fault");
    assert_noted("description not changed: a");
    cycle("reward: 1\nskill: {name: a, description: d, body: better}", NOW + 240);
    assert_has(TREE_REFLECTIONS,
               "- fault: the skill \"a\" is known: its text stays as it is, and the new one was not used\n");
    assert_noted("text not changed: a");
    assert_has("skills/a/SKILL.md", "\nb\n");
}

static void test_the_score_is_the_contracts(void **state)
{
    static const struct {
        int64_t evidence;
        double days, halflife, score;
    } cases[] = {
        {8, 0, 30, 8},     {8, 15, 30, 8 * M_SQRT1_2}, {8, 30, 30, 4}, {8, 30.001, 30, 0.49998844767},
        {8, 60, 30, 0.25}, {8, 3000, 1e9, 7.99998336}, {0, 5, 30, 0},  {3, -5, 30, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char at[CLOCK_TEXT];
        struct entries entries;
        int64_t last = NOW - (int64_t)llround(cases[i].days * 86400);
        OWNED char *text = memory_print("### a\n- reward_evidence: %lld\n- last_success: %s\n",
                                        (long long)cases[i].evidence, clock_format(last, at));
        entries_parse(&entries, 3, text, strlen(text));
        double score = skills_standing(&entries.items[0], NOW, cases[i].halflife).score;
        if (fabs(score - cases[i].score) > 1e-5)
            fail_msg("case %zu: %.8f", i, score);
        entries_free(&entries);
    }
}

static void test_the_lowest_score_makes_room_and_the_commit_says_why(void **state)
{
    fill_skills(20, NOW - 86400, 5);
    put("skills/skill-00/SKILL.md", "---\nname: skill-00\n---\nText.\n");
    put("skills/skill-00/scripts/run.sh", "true\n");
    cycle("reward: 1\nskill: {name: newest, description: d, body: b}", NOW);
    assert_int_equal(lines_with(TREE_SKILLS, "### "), 20);
    assert_lacks(TREE_SKILLS, "### skill-00\n");
    assert_has(TREE_SKILLS, "### newest\n");
    assert_noted(
        "skill pruned: skill-00 (score 4.89, the lowest: evidence 5, 1.0 days since its last success, "
        "half-life 30)");
    assert_int_equal(faccessat(tree, "skills/skill-00/SKILL.md", F_OK, 0), -1);
    assert_int_equal(faccessat(tree, "skills/skill-00/scripts/run.sh", F_OK, 0), -1);
}

static void test_a_skill_past_its_half_life_goes_before_a_young_one(void **state)
{
    fill_skills(20, NOW - 86400, 1);
    OWNED char *text = get(TREE_SKILLS);
    struct entries entries;
    entries_parse(&entries, 3, text, strlen(text));
    entry_set(&entries.items[7], "reward_evidence", "99");
    entry_set(&entries.items[7], "last_success", "2026-03-01");
    OWNED_BUFFER struct buffer out = {0};
    entries_print(&entries, &out);
    put(TREE_SKILLS, out.data);
    entries_free(&entries);
    cycle("reward: 1\nskill: {name: newest, description: d, body: b}", NOW);
    assert_noted("skill pruned: skill-07");
}

static void test_over_months_a_skill_that_is_not_used_decays_and_makes_room_and_others_stay(void **state)
{
    enum { MONTH = 30 * 86400 };
    fill_skills(20, NOW, 8);
    for (int month = 1; month <= 5; month++) { /* all but skill-03 and skill-11 are used each month */
        for (int i = 0; i < 20; i++) {
            OWNED char *block =
                memory_print("reward: 1\nskill: {name: skill-%02d, description: d, body: b}", i);
            if (i != 3 && i != 11)
                cycle(block, NOW + month * MONTH);
        }
        OWNED char *text = get(TREE_SKILLS);
        struct entries entries;
        entries_parse(&entries, 3, text, strlen(text));
        assert_int_equal(entries.count, 20);
        double unused = skills_standing(&entries.items[3], NOW + month * MONTH, 30).score;
        assert_true(fabs(unused - (month == 1 ? 8 * pow(2, -1) : pow(2, -month))) < 0.001);
        entries_free(&entries);
    }
    cycle("reward: 1\nskill: {name: newest, description: d, body: b}", NOW + 5 * MONTH);
    assert_noted("skill pruned: skill-03");
    cycle("reward: 1\nskill: {name: newer, description: d, body: b}", NOW + 5 * MONTH);
    assert_noted("skill pruned: skill-11");
    assert_int_equal(lines_with(TREE_SKILLS, "### "), 20);
    assert_has(TREE_SKILLS, "### skill-04\n");
}

static void test_more_than_twenty_by_hand_come_down_to_twenty(void **state)
{
    fill_skills(23, NOW - 86400, 2);
    cycle("reward: 0", NOW);
    assert_int_equal(lines_with(TREE_SKILLS, "### "), 20);
    assert_has(TREE_SKILLS, "### skill-22\n");
    assert_lacks(TREE_SKILLS, "### skill-02\n");
}

static void test_evidence_that_the_audit_disputes_does_not_count(void **state)
{
    look();
    apply("reward: 1\nskill: {name: a, description: d, body: b}", NOW, -1);
    write_changes();
    assert_has(TREE_SKILLS, "- reward_evidence: 0\n- last_success: none\n");
    assert_has(TREE_REWARDS, "- reward: +1\n- audit_score: -1\n");
    look();
    apply("reward: 1\nskill: {name: a}", NOW, 0);
    assert_noted("skill not strengthened: a");
    look();
    apply("reward: 1\nskill: {name: a}", NOW, 1);
    assert_noted("skill strengthened: a (1)");
    fill_skills(20, NOW, 1);
    look();
    apply("reward: 1\nskill: {name: fresh, description: d, body: b}", NOW, -1);
    assert_noted("skill not kept: fresh");
    assert_int_equal(learning_skill_count(learning), 20);
}

static void test_peoples_lines_survive_a_cycle(void **state)
{
    put(TREE_SKILLS,
        "# My skills\r\n\r\nA word from me.\r\n\r\n### by-hand\r\nIt is good for tables.\r\n- mine: yes\r\n");
    cycle("reward: 1\nskill: {name: by-hand}", NOW);
    assert_has(TREE_SKILLS, "A word from me.\n");
    assert_has(TREE_SKILLS, "It is good for tables.\n- mine: yes\n");
    assert_has(TREE_SKILLS, "- reward_evidence: 2\n");
}

static void test_an_edit_between_two_cycles_is_seen(void **state)
{
    cycle("reward: 1\nskill: {name: a, description: d, body: b}\ngoals: {add: [first]}", NOW);
    OWNED char *text = get(TREE_GOALS);
    char *word = strstr(text, "first");
    memcpy(word, "other", 5); /* same size, same instant: no stamp could tell */
    OWNED_FD int fd = files_open(tree, TREE_GOALS, O_WRONLY, 0);
    assert_true(files_write_all(fd, text, strlen(text)));
    cycle("reward: 0", NOW);
    assert_has(TREE_GOALS, "- [ ] other\n");
}

static void test_what_was_not_committed_is_forgotten(void **state)
{
    cycle("reward: 1\nskill: {name: a, description: d, body: b}", NOW);
    look();
    apply("reward: -1\nreason: lost\nskill: {name: b}\ngoals: {add: [lost]}", NOW, AUDIT_NONE);
    assert_int_equal(learning_negative_streak(learning), 1);
    learning_forget(learning);
    look();
    assert_int_equal(learning_negative_streak(learning), 0);
    cycle("reward: 1", NOW);
    assert_lacks(TREE_GOALS, "lost");
    assert_int_equal(lines_with(TREE_REWARDS, "## "), 2);
}

static void test_goals_come_go_and_stay_within_five(void **state)
{
    cycle("reward: 0\ngoals: {add: [a1, a2, a3, a4, a5, a6], done: [never had]}", NOW);
    assert_noted("goal added: a5");
    assert_noted("goal not added, 5 are active: a6");
    assert_has(TREE_REFLECTIONS, "\"a6\" was not added");
    assert_has(TREE_REFLECTIONS, "no active goal is \"never had\"");
    cycle("reward: 0\ngoals: {done: [a2]}", NOW);
    assert_has(TREE_GOALS, "- [x] a2\n");
    cycle("reward: 0\ngoals: {add: [a7]}", NOW);
    assert_lacks(TREE_GOALS, "a2");
    assert_has(TREE_GOALS, "- [ ] a7\n");
}

static void test_repeated_failure_becomes_a_goal_once(void **state)
{
    for (int i = 0; i < 5; i++)
        cycle("reward: -1\nreason: rate limit reached", NOW);
    assert_int_equal(lines_with(TREE_GOALS, "- [ ] Stop failing at: rate limit reached"), 1);
    assert_int_equal(learning_negative_streak(learning), 5);
}

static void test_fifteen_reflections_are_kept(void **state)
{
    for (int i = 0; i < 18; i++) {
        OWNED char *block = memory_print("reward: 0\nreflection: thought %d", i);
        cycle(block, NOW);
    }
    assert_int_equal(lines_with(TREE_REFLECTIONS, "## "), 15);
    assert_lacks(TREE_REFLECTIONS, "thought 2\n");
    assert_has(TREE_REFLECTIONS, "thought 17\n");
    look();
    learning_reflect(learning, "late", "It expired.", NOW, &changes);
    write_changes();
    assert_has(TREE_REFLECTIONS, "## late\n- at: 2026-04-29T10:00:00Z\n- reflection: It expired.\n");
}

static void test_a_file_that_is_no_text_is_set_aside_and_its_good_part_stays(void **state)
{
    put(TREE_REWARDS, "## old\n- reward: +1\n- reason: caf\xe9\n");
    look();
    assert_problem("rewards.md.unreadable-");
    cycle("reward: 0", NOW);
    assert_has(TREE_REWARDS, "## old\n- reward: +1\n- reason: caf\xef\xbf\xbd\n");
    assert_int_equal(lines_with(TREE_REWARDS, "## "), 2);
    assert_problem("rewards.md.unreadable-"); /* as long as it lies there */
    OWNED char *command = memory_print(
        "LC_ALL=C grep -q 'caf.$' -a %s/rewards.md.unreadable-* && rm %s/rewards.md.unreadable-*", folder,
        folder);
    assert_int_equal(system(command), 0);
    look();
    assert_int_equal(problems.length, 0);
}

static void test_five_megabytes_in_one_entry_cost_only_themselves(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "# Rewards\n\n## good\n- reward: -1\n\n## huge\n- reward: -1\n- reason: ");
    memset(buffer_room(&text, 5 << 20), 'x', 5 << 20);
    text.length += 5 << 20;
    buffer_text(&text, "\n\n## last\n- reward: -1\n");
    put(TREE_REWARDS, text.data);
    look();
    assert_problem("rewards.md.unreadable-");
    assert_int_equal(learning_negative_streak(learning), 3);
    OWNED char *kept = get(TREE_REWARDS);
    assert_true(strlen(kept) < 10000);
}

static void test_a_folder_or_a_link_in_a_files_place_is_set_aside(void **state)
{
    assert_int_equal(mkdirat(tree, TREE_GOALS, 0755), 0);
    assert_int_equal(symlinkat("/etc/passwd", tree, TREE_SKILLS), 0);
    assert_int_equal(mkfifoat(tree, TREE_REFLECTIONS, 0644), 0);
    cycle("reward: 0\nreflection: r\ngoals: {add: [g]}", NOW);
    assert_problem("goals.md.unreadable-");
    assert_problem("skills.md.unreadable-");
    assert_problem("reflections.md.unreadable-");
    assert_has(TREE_GOALS, "- [ ] g\n");
    assert_has(TREE_REFLECTIONS, "- reflection: r\n");
    assert_lacks(TREE_SKILLS, "root");
}

static void test_a_skill_put_there_by_hand_is_taken_up(void **state)
{
    cycle("reward: 1\nskill: {name: a, description: d, body: b}", NOW);
    usleep(30000); /* file times step by the kernel's tick */
    put("skills/tables/SKILL.md", "---\nname: tables\ndescription: Markdown tables.\n---\nUse pipes.\n");
    cycle("reward: 0", NOW);
    assert_has(TREE_SKILLS, "### tables\n- description: Markdown tables.\n- reward_evidence: 1\n");
    assert_noted("skill taken up: tables");
}

static void test_a_line_taken_out_by_hand_stays_out(void **state)
{
    cycle("reward: 1\nskill: {name: a, description: d, body: b}", NOW);
    cycle("reward: 1\nskill: {name: b, description: d, body: b}", NOW);
    OWNED char *text = get(TREE_SKILLS);
    char *cut = strstr(text, "### b");
    *cut = '\0';
    usleep(30000);
    put(TREE_SKILLS, text);
    cycle("reward: 0", NOW);
    assert_lacks(TREE_SKILLS, "### b");
    assert_int_equal(learning_skill_count(learning), 1);
}

static void test_odd_entries_are_told_and_contained(void **state)
{
    put("secret.md", "secret\n");
    put(TREE_SKILLS,
        "### ../../secret\n- file: ../secret.md\n### a\n- last_success: 2099-01-01\n### a\n- file: "
        "skills/../secret.md\n");
    look();
    assert_problem("\"../../secret\" is no name for a skill");
    assert_problem("lies in the future");
    assert_problem("has \"a\" twice");
    OWNED_BUFFER struct buffer out = {0};
    learning_prompt_skills(learning, "secret a", &(struct skills_place){.room = 10000}, &out);
    assert_null(strstr(out.data, "secret\n\n"));
    assert_null(strstr(out.data, "### Skill"));
}

static void test_nothing_changed_means_nothing_to_write(void **state)
{
    cycle("reward: 0", NOW);
    apply("reward: 0", NOW, AUDIT_NONE);
    assert_int_equal(changes.count, 1);
    assert_string_equal(changes.items[0].path, TREE_REWARDS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_a_success_earns_a_skill),
        T(test_only_a_success_does),
        T(test_a_further_success_strengthens_it),
        T(test_a_text_of_a_known_skill_that_was_not_used_is_told),
        T(test_the_score_is_the_contracts),
        T(test_the_lowest_score_makes_room_and_the_commit_says_why),
        T(test_a_skill_past_its_half_life_goes_before_a_young_one),
        T(test_over_months_a_skill_that_is_not_used_decays_and_makes_room_and_others_stay),
        T(test_more_than_twenty_by_hand_come_down_to_twenty),
        T(test_evidence_that_the_audit_disputes_does_not_count),
        T(test_peoples_lines_survive_a_cycle),
        T(test_an_edit_between_two_cycles_is_seen),
        T(test_what_was_not_committed_is_forgotten),
        T(test_goals_come_go_and_stay_within_five),
        T(test_repeated_failure_becomes_a_goal_once),
        T(test_fifteen_reflections_are_kept),
        T(test_a_file_that_is_no_text_is_set_aside_and_its_good_part_stays),
        T(test_five_megabytes_in_one_entry_cost_only_themselves),
        T(test_a_folder_or_a_link_in_a_files_place_is_set_aside),
        T(test_a_skill_put_there_by_hand_is_taken_up),
        T(test_a_line_taken_out_by_hand_stays_out),
        T(test_odd_entries_are_told_and_contained),
        T(test_nothing_changed_means_nothing_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
