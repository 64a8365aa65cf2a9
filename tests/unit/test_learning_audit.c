/* The changes of a late audit in an agent's learned files. */
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/tree.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "worker/memory/evicted_skill.h"
#include "worker/memory/learning.h"

static struct learning *learning;
static struct buffer problems, note;
static struct displaced displaced;     /* the history's files, as far as a test gives them */
static const int64_t NOW = 1777456800; /* 2026-04-29T10:00:00Z */

static int start(void **state)
{
    int failed = scratch_begin(state);
    learning = learning_open(scratch.data, &problems);
    displaced = (struct displaced){0};
    return failed;
}

static int end(void **state)
{
    learning_close(learning);
    displaced_free(&displaced);
    buffer_free(&problems);
    buffer_free(&note);
    return scratch_end(state);
}

static void write_changes(struct change_list *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = &changes->items[i];
        if (change->kind == CHANGE_REMOVE) {
            assert_int_equal(unlinkat(scratch.data, change->path, 0), 0);
            continue;
        }
        OWNED char *above = memory_print("%s", change->path);
        char *end_of_folder = strrchr(above, '/');
        if (end_of_folder) {
            *end_of_folder = '\0';
            OWNED_FD int made = files_open_folder(scratch.data, above, true, NULL);
            assert_true(made >= 0);
        }
        assert_true(files_write(scratch.data, change->path, change->text, change->length, false, NULL));
    }
    learning_kept(learning);
    change_list_free(changes);
}

/* A cycle that claims +1 for the skill, to be audited. */
static void claim(const char *task, const char *skill, int64_t at)
{
    struct reply reply;
    struct change_list changes = {0};
    OWNED char *text = memory_print(
        "An answer.\n\n```agentos\nreward: 1\nskill: {name: %s, description: d, body: b}\n```\n", skill);
    reply_parse(&reply, text, strlen(text), "stop");
    const struct outcome outcome = {
        .task_id = task, .reply = &reply, .now = at, .decay_halflife_days = 30, .audit_score = AUDIT_PENDING};
    learning_refresh(learning, &problems);
    learning_apply(learning, &outcome, &changes, &note);
    write_changes(&changes);
    reply_free(&reply);
}

static void audit(const char *task, int score, const char *reasons)
{
    struct change_list changes = {0};
    int reward;
    const struct audit_result result = {.task_id = task,
                                        .score = score,
                                        .reasons = reasons,
                                        .now = NOW + 1000,
                                        .decay_halflife_days = 30,
                                        .displaced = displaced.list.count ? &displaced : NULL};
    buffer_drop(&note, note.length);
    learning_forget(learning);
    learning_refresh(learning, &problems);
    assert_true(learning_audited(learning, &result, &reward, &note));
    assert_int_equal(reward, 1);
    learning_propose(learning, &changes);
    write_changes(&changes);
}

static void assert_has(const char *path, const char *part)
{
    OWNED char *text = NULL;
    size_t length;
    assert_int_equal(files_read(scratch.data, path, 1 << 20, &text, &length, NULL, NULL), 1);
    if (!strstr(text, part))
        fail_msg("%s lacks \"%s\":\n%s", path, part, text);
}

static void assert_lacks(const char *path, const char *part)
{
    OWNED char *text = NULL;
    size_t length;
    if (files_read(scratch.data, path, 1 << 20, &text, &length, NULL, NULL) == 1 && strstr(text, part))
        fail_msg("%s has \"%s\":\n%s", path, part, text);
}

static void test_a_task_waits_for_its_audit_in_the_file_itself(void **state)
{
    struct audit_wanted wanted;
    assert_false(learning_audit_wanted(learning, &wanted));
    claim("first", "fetch", NOW);
    claim("second", "fetch", NOW + 60);
    assert_has(TREE_REWARDS, "## first\n- reward: +1\n- audit_score: pending\n");
    assert_true(learning_audit_wanted(learning, &wanted));
    assert_string_equal(wanted.task_id, "first");
    assert_string_equal(wanted.skill, "fetch");
    assert_int_equal(wanted.reward, 1);
    audit_wanted_free(&wanted);
    audit("first", 1, "");
    assert_true(learning_audit_wanted(learning, &wanted));
    assert_string_equal(wanted.task_id, "second");
    audit_wanted_free(&wanted);
}

static void test_agreement_leaves_everything_and_stands_beside_the_score(void **state)
{
    claim("first", "fetch", NOW);
    audit("first", 1, "looks right");
    assert_has(TREE_REWARDS, "- reward: +1\n- audit_score: +1\n");
    assert_has(TREE_REWARDS, "- audit_reasons: looks right\n");
    assert_lacks(TREE_REWARDS, "skill_before");
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n- last_success: 2026-04-29T10:00:00Z\n");
}

static void test_disputed_evidence_of_a_new_skill_is_taken_back(void **state)
{
    claim("first", "fetch", NOW);
    audit("first", -1, "the answer is empty");
    assert_has(TREE_REWARDS, "- reward: +1\n- audit_score: -1\n");
    assert_has(TREE_SKILLS, "- reward_evidence: 0\n- last_success: none\n");
    assert_non_null(strstr(note.data, "skill weakened: fetch (0; the audit disputes a reward)"));
}

static void test_a_doubt_is_a_dispute_too(void **state)
{
    claim("first", "fetch", NOW);
    audit("first", 0, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 0\n");
}

static void test_no_result_disputes_nothing(void **state)
{
    claim("first", "fetch", NOW);
    audit("first", AUDIT_NONE, "no result: it took longer than 10 s");
    assert_has(TREE_REWARDS, "- audit_score: none\n");
    assert_has(TREE_REWARDS, "- audit_reasons: no result: it took longer than 10 s\n");
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n");
}

static void test_only_the_disputed_success_goes_and_the_one_before_counts_again(void **state)
{
    claim("first", "fetch", NOW);
    claim("second", "fetch", NOW + 86400);
    audit("first", 1, NULL);
    audit("second", -1, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n- last_success: 2026-04-29T10:00:00Z\n");
}

static void test_a_later_success_stays_the_last(void **state)
{
    claim("first", "fetch", NOW);
    claim("second", "fetch", NOW + 86400);
    audit("first", -1, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n- last_success: 2026-04-30T10:00:00Z\n");
    audit("second", -1, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 0\n- last_success: none\n");
}

static void test_successes_of_one_second_are_kept_apart(void **state)
{
    claim("first", "fetch", NOW);
    claim("second", "fetch", NOW);
    audit("first", -1, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n- last_success: 2026-04-29T10:00:00Z\n");
    audit("second", 1, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n- last_success: 2026-04-29T10:00:00Z\n");
}

/* As `agentos rollback` leaves it: the skill as it was before the success that is disputed afterwards. */
static void test_what_was_rolled_back_is_not_taken_back_twice(void **state)
{
    OWNED char *skills = NULL;
    size_t length;
    claim("first", "fetch", NOW);
    audit("first", 1, NULL);
    assert_int_equal(files_read(scratch.data, TREE_SKILLS, 1 << 20, &skills, &length, NULL, NULL), 1);
    claim("second", "fetch", NOW + 60);
    assert_true(files_write(scratch.data, TREE_SKILLS, skills, length, false, NULL));
    audit("second", -1, NULL);
    assert_has(TREE_SKILLS, "- reward_evidence: 1\n- last_success: 2026-04-29T10:00:00Z\n");
}

static void test_disputed_skills_are_the_first_to_be_pruned(void **state)
{
    for (int i = 0; i < SKILLS_MAX; i++) {
        OWNED char *skill = memory_print("skill-%02d", i), *task = memory_print("task-%02d", i);
        claim(task, skill, NOW + i);
        audit(task, i == 13 ? -1 : 1, NULL);
    }
    claim("last", "newcomer", NOW + 100);
    assert_has(TREE_SKILLS, "### newcomer\n");
    assert_lacks(TREE_SKILLS, "### skill-13\n");
    assert_has(TREE_SKILLS, "### skill-00\n");
}

/* Twenty skills, agreed upon; the eldest of them has to go for a newcomer's sake. */
static void displace(void)
{
    for (int i = 0; i < SKILLS_MAX; i++) {
        OWNED char *skill = memory_print("skill-%02d", i), *task = memory_print("task-%02d", i);
        claim(task, skill, NOW + i);
        audit(task, 1, NULL);
    }
    OWNED char *text = NULL;
    size_t length;
    const char *body = "---\nname: skill-00\n---\nBody.\n";
    assert_int_equal(files_read(scratch.data, TREE_SKILLS, 1 << 20, &text, &length, NULL, NULL), 1);
    claim("last", "newcomer", NOW + 100);
    assert_lacks(TREE_SKILLS, "### skill-00\n");
    assert_int_equal(faccessat(scratch.data, "skills/skill-00/SKILL.md", F_OK, 0), -1);
    entries_parse(&displaced.list, 3, text, length);
    change_list_add(&displaced.files, CHANGE_WRITE, "skills/skill-00/SKILL.md", body, strlen(body));
    OWNED char *name = learning_displaced(learning, "last");
    assert_string_equal(name, "skill-00");
}

static void test_what_made_room_for_a_disputed_skill_comes_back_with_its_evidence(void **state)
{
    displace();
    audit("last", -1, NULL);
    assert_has(
        TREE_SKILLS,
        "### skill-00\n- description: d\n- reward_evidence: 1\n- last_success: 2026-04-29T10:00:00Z\n");
    assert_lacks(TREE_SKILLS, "### newcomer\n");
    assert_has("skills/skill-00/SKILL.md", "Body.");
    assert_int_equal(faccessat(scratch.data, "skills/newcomer/SKILL.md", F_OK, 0), -1);
    assert_int_equal(learning_skill_count(learning), SKILLS_MAX);
    assert_non_null(
        strstr(note.data, "skill brought back: skill-00 (evidence 1; it had made room for newcomer)\n"));
    assert_non_null(strstr(note.data, "skill pruned: newcomer (score 0.00"));
    assert_lacks(TREE_REWARDS, "skill_displaced");
}

static void test_an_agreed_skill_keeps_the_place_and_the_other_stays_away(void **state)
{
    displace();
    audit("last", 1, NULL);
    assert_has(TREE_SKILLS, "### newcomer\n");
    assert_lacks(TREE_SKILLS, "### skill-00\n");
    assert_lacks(TREE_REWARDS, "skill_displaced");
}

static void test_a_place_is_given_back_only_when_no_success_is_left_that_earned_it(void **state)
{
    displace();
    claim("later", "newcomer", NOW + 200);
    audit("last", -1, NULL);
    assert_has(TREE_SKILLS, "### newcomer\n");
    assert_lacks(TREE_SKILLS, "### skill-00\n");
    audit("later", -1, NULL);
    assert_lacks(TREE_SKILLS, "### newcomer\n");
    assert_has(TREE_SKILLS, "### skill-00\n");
}

static void test_what_was_earned_anew_meanwhile_is_left_as_it_is(void **state)
{
    displace();
    claim("again", "skill-00", NOW + 200);
    audit("last", -1, NULL);
    assert_has(TREE_SKILLS, "- last_success: 2026-04-29T10:03:20Z\n");
    assert_null(strstr(note.data, "brought back"));
}

static void test_with_room_for_both_both_stay(void **state)
{
    OWNED char *text = NULL;
    size_t length;
    displace();
    assert_int_equal(files_read(scratch.data, TREE_SKILLS, 1 << 20, &text, &length, NULL, NULL), 1);
    char *gone = strstr(text, "### skill-07"), *next = strstr(text, "### skill-08");
    memmove(gone, next, strlen(next) + 1);
    assert_true(files_write(scratch.data, TREE_SKILLS, text, strlen(text), false, NULL));
    audit("last", -1, NULL);
    assert_has(TREE_SKILLS, "### skill-00\n");
    assert_has(TREE_SKILLS, "### newcomer\n");
}

static void test_what_the_history_does_not_tell_is_said_and_harms_nothing(void **state)
{
    displace();
    displaced_free(&displaced);
    audit("last", -1, NULL);
    assert_has(TREE_SKILLS, "### newcomer\n");
    assert_non_null(
        strstr(note.data, "skill not brought back: skill-00 (it can't be read from the history)\n"));
}

/* The newcomer is itself displaced before its audit comes: the skill in its place owes the room of the skill that the
 * newcomer had displaced. */
static void test_a_debt_goes_on_to_whoever_has_the_place_now(void **state)
{
    displace();
    OWNED char *text = NULL;
    size_t length;
    assert_int_equal(files_read(scratch.data, TREE_SKILLS, 1 << 20, &text, &length, NULL, NULL), 1);
    for (char *at = text; (at = strstr(at, "- reward_evidence: 1")); at++)
        if (strstr(at, "### ")) /* all but the last, which is the newcomer */
            at[strlen("- reward_evidence: ")] = '2';
    assert_true(files_write(scratch.data, TREE_SKILLS, text, strlen(text), false, NULL));
    claim("third", "another", NOW + 300);
    assert_lacks(TREE_SKILLS, "### newcomer\n");
    audit("last", -1, NULL);
    OWNED char *name = learning_displaced(learning, "third");
    assert_string_equal(name, "skill-00");
    audit("third", -1, NULL);
    assert_has(TREE_SKILLS, "### skill-00\n");
    assert_lacks(TREE_SKILLS, "### another\n");
}

static void test_three_divergences_in_a_row_make_a_goal_however_late_they_come(void **state)
{
    static const char *const tasks[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        claim(tasks[i], "fetch", NOW + i);
    audit("a", -1, NULL);
    audit("b", 0, NULL);
    assert_lacks(TREE_GOALS, "Score my own work");
    audit("c", -1, NULL);
    assert_has(TREE_GOALS, "- [ ] Score my own work as the audit would\n");
    assert_non_null(strstr(note.data, "goal added"));
}

static void test_agreement_or_silence_between_breaks_or_keeps_the_run(void **state)
{
    static const char *const tasks[] = {"a", "b", "c", "d", "e"};
    static const int scores[] = {-1, -1, 1, -1, -1};
    for (int i = 0; i < 5; i++)
        claim(tasks[i], "fetch", NOW + i);
    for (int i = 0; i < 5; i++)
        audit(tasks[i], scores[i], NULL);
    assert_lacks(TREE_GOALS, "Score my own work");
    claim("f", "fetch", NOW + 6);
    audit("f", AUDIT_NONE, NULL);
    claim("g", "fetch", NOW + 7);
    audit("g", -1, NULL);
    assert_has(TREE_GOALS, "Score my own work");
}

static void test_a_result_that_nobody_waits_for_changes_nothing(void **state)
{
    struct change_list changes = {0};
    int reward;
    const struct audit_result result = {.task_id = "first", .score = -1};
    claim("first", "fetch", NOW);
    audit("first", 1, NULL);
    assert_false(learning_audited(learning, &result, &reward, &note));
    learning_propose(learning, &changes);
    assert_int_equal(changes.count, 0);
    change_list_free(&changes);
}

static void test_the_prompt_shows_both_scores_and_why(void **state)
{
    OWNED_BUFFER struct buffer prompt = {0};
    claim("first", "fetch", NOW);
    audit("first", -1, "the answer is empty");
    learning_prompt_rewards(learning, 10000, &prompt);
    assert_non_null(strstr(prompt.data, "first: +1 (audit -1: the answer is empty)"));
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_task_waits_for_its_audit_in_the_file_itself),
        T(test_agreement_leaves_everything_and_stands_beside_the_score),
        T(test_disputed_evidence_of_a_new_skill_is_taken_back),
        T(test_a_doubt_is_a_dispute_too),
        T(test_no_result_disputes_nothing),
        T(test_only_the_disputed_success_goes_and_the_one_before_counts_again),
        T(test_a_later_success_stays_the_last),
        T(test_successes_of_one_second_are_kept_apart),
        T(test_what_was_rolled_back_is_not_taken_back_twice),
        T(test_disputed_skills_are_the_first_to_be_pruned),
        T(test_what_made_room_for_a_disputed_skill_comes_back_with_its_evidence),
        T(test_an_agreed_skill_keeps_the_place_and_the_other_stays_away),
        T(test_a_place_is_given_back_only_when_no_success_is_left_that_earned_it),
        T(test_what_was_earned_anew_meanwhile_is_left_as_it_is),
        T(test_with_room_for_both_both_stay),
        T(test_what_the_history_does_not_tell_is_said_and_harms_nothing),
        T(test_a_debt_goes_on_to_whoever_has_the_place_now),
        T(test_three_divergences_in_a_row_make_a_goal_however_late_they_come),
        T(test_agreement_or_silence_between_breaks_or_keeps_the_run),
        T(test_a_result_that_nobody_waits_for_changes_nothing),
        T(test_the_prompt_shows_both_scores_and_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
