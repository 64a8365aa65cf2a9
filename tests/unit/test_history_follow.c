/* People remove or replace .git and .agentos while the agent works: its next commit is in the repository that lies there
 * then, and no restart is needed. Or they move HEAD. */
#include "common/journal.h"
#include "tests/unit/history_fixture.h"
#include "worker/history/part.h"

static bool is_finished(struct scratch *scratch, const char *task)
{
    char commit[COMMIT_TEXT];
    return history_finished(scratch->history, task, 7, commit);
}

static bool was_opened_anew(struct scratch *scratch)
{
    OWNED char *damage = NULL;
    bool anew = history_opened_anew(scratch->history, &damage);
    assert_null(damage);
    return anew;
}

/* Each record of the journal is redone, whatever the disk has of it. */
static void cut_the_power(struct scratch *scratch)
{
    static int boots;
    OWNED char *boot = memory_print("boot %d", ++boots);
    history_close(scratch->history);
    journal_boot_is(boot);
    scratch_open(scratch);
}

static void test_a_repository_that_was_put_back_from_a_copy_is_committed_to(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "cp -a .git .agentos/copy && rm -rf .git && mv .agentos/copy .git");
    commit_file(scratch, "two", "goals.md", "2\n");
    assert_string_equal(shell(scratch, "git log --format=%s"), "orion(task): two\norion(task): one");
    assert_clean(scratch);
}

static void test_a_task_that_the_former_repository_alone_knows_is_not_done_in_the_present_one(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "cp -a .git .agentos/copy");
    commit_file(scratch, "two", "goals.md", "2\n");
    assert_true(is_finished(scratch, "two"));
    shell(scratch, "rm -rf .git && mv .agentos/copy .git");
    assert_true(is_finished(scratch, "one"));
    assert_false(is_finished(scratch, "two"));
}

static void test_a_repository_that_somebody_began_anew_is_committed_to(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    assert_false(was_opened_anew(scratch));
    shell(scratch,
          "mv .git .agentos/aside && git init -q -b main . && git commit -q --allow-empty -m theirs");
    commit_file(scratch, "two", "notes.md", "2\n");
    assert_true(was_opened_anew(scratch));
    assert_false(was_opened_anew(scratch));
    assert_string_equal(shell(scratch, "git log --format=%s"), "orion(task): two\ntheirs");
    assert_string_equal(shell(scratch, "git --git-dir=.agentos/aside log --format=%s"), "orion(task): one");
}

static void test_a_repository_that_somebody_removed_is_made_anew(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "rm -rf .git");
    commit_file(scratch, "two", "goals.md", "2\n");
    assert_string_equal(shell(scratch, "git log --format=%s"), "orion(task): two");
    assert_string_equal(shell(scratch, "git fsck --strict"), "");
}

static void test_notes_that_somebody_removed_cost_no_commit(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "git clean -qfdx");
    commit_file(scratch, "two", "goals.md", "2\n");
    assert_true(is_finished(scratch, "one") && is_finished(scratch, "two"));
    scratch->history->committed_ms = 1; /* it rests */
    while (history_tidy(scratch->history, false))
        ;
    assert_int_equal(journal_size(scratch->history->journal), 0);
    scratch_reopen(scratch);
    assert_true(is_finished(scratch, "one") && is_finished(scratch, "two"));
    assert_clean(scratch);
}

/* The disk is full, say: the next call tries again, and no call in between needs what isn't there. */
static void test_a_repository_that_can_not_be_opened_now_is_opened_later(void **state)
{
    struct scratch *scratch = *state;
    struct fault fault = {0};
    struct change change = {CHANGE_WRITE, "goals.md", "2\n", 2};
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "mkdir aside; mv .git .agentos aside; ln -s /nowhere .agentos");
    for (int i = 0; i < 2; i++) {
        assert_false(commit_changes(scratch, "two", &change, 1, &fault));
        assert_false(is_finished(scratch, "one"));
        assert_false(history_tidy(scratch->history, false));
        history_ready(scratch->history);
        assert_false(history_tidy_at(scratch->history) != 0);
    }
    shell(scratch, "rm .agentos; mv aside/.git aside/.agentos .; rmdir aside");
    assert_true(commit_changes(scratch, "two", &change, 1, &fault));
    assert_true(is_finished(scratch, "one") && is_finished(scratch, "two"));
    assert_clean(scratch);
}

/* What the journal has is of the former repository: after a power cut it isn't redone over the present one. */
static void test_a_power_cut_redoes_nothing_over_a_repository_that_was_put_back(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "cp -a .git .agentos/copy");
    commit_file(scratch, "two", "goals.md", "2\n");
    shell(scratch, "rm -rf .git && mv .agentos/copy .git && git checkout -q -- goals.md");
    assert_false(is_finished(scratch, "two"));
    cut_the_power(scratch);
    assert_string_equal(shell(scratch, "git log --format=%s; cat goals.md"), "orion(task): one\n1");
}

static void assert_one_and_three(struct scratch *scratch)
{
    assert_string_equal(shell(scratch, "git log --format=%s; cat goals.md"),
                        "orion(task): three\norion(task): one\n3");
    assert_true(is_finished(scratch, "one") && is_finished(scratch, "three"));
    assert_false(is_finished(scratch, "two"));
    assert_clean(scratch);
}

static void test_a_power_cut_redoes_nothing_over_a_persons_reset_and_keeps_what_came_after_it(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    commit_file(scratch, "two", "goals.md", "2\n");
    shell(scratch, "git reset -q --hard HEAD~1");
    assert_false(is_finished(scratch, "two"));
    commit_file(scratch, "three", "goals.md", "3\n");
    cut_the_power(scratch);
    assert_one_and_three(scratch);
}

static void test_a_power_cut_redoes_nothing_over_a_reset_while_the_agent_was_stopped(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    commit_file(scratch, "two", "goals.md", "2\n");
    history_close(scratch->history);
    shell(scratch, "git reset -q --hard HEAD~1");
    scratch_open(scratch);
    commit_file(scratch, "three", "goals.md", "3\n");
    cut_the_power(scratch);
    assert_one_and_three(scratch);
}

static void test_a_broken_repository_that_somebody_put_there_is_set_aside_and_told(void **state)
{
    struct scratch *scratch = *state;
    OWNED char *damage = NULL;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "rm -rf .git && ln -s /nowhere .git");
    commit_file(scratch, "two", "goals.md", "2\n");
    assert_true(history_opened_anew(scratch->history, &damage));
    assert_non_null(damage);
    assert_non_null(strstr(damage, ".git.damaged-"));
    assert_false(was_opened_anew(scratch));
}

static void test_a_commit_is_looked_up_in_the_repository_that_lies_there_now(void **state)
{
    struct scratch *scratch = *state;
    struct fault fault = {0};
    char commit[COMMIT_TEXT];
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "cp -a .git .agentos/copy && rm -rf .git && mv .agentos/copy .git");
    assert_int_equal(history_past(scratch->history, "HEAD", commit, &fault), PAST_FOUND);
    assert_string_equal(shell(scratch, "git rev-parse HEAD"), commit);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_repository_that_was_put_back_from_a_copy_is_committed_to),
        PROMISE(test_a_task_that_the_former_repository_alone_knows_is_not_done_in_the_present_one),
        PROMISE(test_a_repository_that_somebody_began_anew_is_committed_to),
        PROMISE(test_a_repository_that_somebody_removed_is_made_anew),
        PROMISE(test_notes_that_somebody_removed_cost_no_commit),
        PROMISE(test_a_repository_that_can_not_be_opened_now_is_opened_later),
        PROMISE(test_a_power_cut_redoes_nothing_over_a_repository_that_was_put_back),
        PROMISE(test_a_power_cut_redoes_nothing_over_a_persons_reset_and_keeps_what_came_after_it),
        PROMISE(test_a_power_cut_redoes_nothing_over_a_reset_while_the_agent_was_stopped),
        PROMISE(test_a_broken_repository_that_somebody_put_there_is_set_aside_and_told),
        PROMISE(test_a_commit_is_looked_up_in_the_repository_that_lies_there_now),
    };
    journal_boot_is("a boot");
    return cmocka_run_group_tests(promises, NULL, NULL);
}
