/* The promises of a commit, looked at with the real git. */
#include "tests/unit/history_fixture.h"

#include "common/journal.h"

static void test_a_commit_leaves_a_repository_that_git_finds_clean(void **state)
{
    struct scratch *scratch = *state;
    assert_true(history_empty(scratch->history));
    struct change changes[] = {
        {CHANGE_WRITE, "goals.md", "# Goals\n", 8},
        {CHANGE_WRITE, "skills/fetch/SKILL.md", "fetch\n", 6},
        {CHANGE_WRITE, "skills/fetch-more/SKILL.md", "more\n", 5},
        {CHANGE_WRITE, "skills.md", "# Skills\n", 9},
        {CHANGE_WRITE, "outputs/a.md", "answer\n", 7},
        {CHANGE_WRITE, "empty.md", "", 0},
    };
    assert_true(commit_changes(scratch, "first", changes, 6, NULL));
    assert_false(history_empty(scratch->history));
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git log --format=%s%n%an/%ae main"),
                        "orion(task): first\norion/orion@agentos");
    assert_string_equal(shell(scratch, "cat goals.md skills/fetch/SKILL.md outputs/a.md"),
                        "# Goals\nfetch\nanswer");
    commit_file(scratch, "second", "goals.md", "# Goals\n- [ ] one\n");
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git log --oneline | wc -l; git diff HEAD~1 --name-only"),
                        "2\ngoals.md");
}

static void test_removing_and_untracking_differ_in_the_work_tree(void **state)
{
    struct scratch *scratch = *state;
    struct change first[] = {{CHANGE_WRITE, "skills/x/SKILL.md", "x\n", 2},
                             {CHANGE_WRITE, "outputs/a.md", "a\n", 2},
                             {CHANGE_WRITE, "goals.md", "g\n", 2}};
    assert_true(commit_changes(scratch, NULL, first, 3, NULL));
    struct change second[] = {{CHANGE_REMOVE, "skills/x/SKILL.md", NULL, 0},
                              {CHANGE_UNTRACK, "outputs/a.md", NULL, 0}};
    assert_true(commit_changes(scratch, NULL, second, 2, NULL));
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git ls-files; ls outputs; ls -d skills/x"),
                        "goals.md\na.md\nls: cannot access 'skills/x': No such file or directory");
}

static void test_of_several_changes_of_one_path_the_last_counts(void **state)
{
    struct scratch *scratch = *state;
    enum { PATHS = 40, BYTES = 32 };
    char paths[PATHS][BYTES];
    struct change changes[2 * PATHS + 1];
    for (size_t i = 0; i < PATHS; i++) {
        snprintf(paths[i], BYTES, "notes/%zu.md", i);
        changes[i] = (struct change){CHANGE_WRITE, paths[i], "first\n", 6};
        changes[2 * PATHS - 1 - i] = (struct change){CHANGE_WRITE, paths[i], "last\n", 5};
    }
    changes[2 * PATHS] = (struct change){CHANGE_REMOVE, paths[7], NULL, 0};
    assert_true(commit_changes(scratch, NULL, changes, 2 * PATHS + 1, NULL));
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git ls-files notes | wc -l; cat notes/* | sort | uniq -c | xargs; "
                                       "ls notes/7.md 2>&1 | grep -c cannot"),
                        "39\n39 last\n1");
}

static void test_without_a_change_there_is_a_commit_only_for_a_task(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, NULL, "goals.md", "g\n");
    commit_file(scratch, NULL, "goals.md", "g\n");
    assert_string_equal(shell(scratch, "git log --oneline | wc -l"), "1");
    commit_file(scratch, "t", "goals.md", "g\n");
    assert_string_equal(shell(scratch, "git log --oneline | wc -l"), "2");
    assert_clean(scratch);
}

static void test_a_file_that_somebody_deleted_is_written_again(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, NULL, "goals.md", "g\n");
    shell(scratch, "rm goals.md");
    commit_file(scratch, NULL, "goals.md", "g\n");
    assert_clean(scratch);
}

static void test_a_persons_unrecorded_edit_is_not_overwritten(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, NULL, "goals.md", "g\n");
    shell(scratch, "echo mine > goals.md");
    commit_file(scratch, "t", "goals.md", "the agent's\n");
    assert_string_equal(shell(scratch, "cat goals.md; git show HEAD:goals.md"), "mine\nthe agent's");
}

static void test_a_persons_commit_in_between_is_kept(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "g\n");
    assert_string_equal(shell(scratch, "echo n > notes.md && git add notes.md && git commit -qm mine"), "");
    commit_file(scratch, "two", "goals.md", "h\n");
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git log --format=%s; cat notes.md"),
                        "orion(task): two\nmine\norion(task): one\nn");
}

static void test_what_a_person_staged_stays_staged(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "g\n");
    shell(scratch, "echo n > notes.md && git add notes.md");
    commit_file(scratch, "two", "goals.md", "h\n");
    assert_string_equal(shell(scratch, "git status --porcelain"), "A  notes.md");
}

static void commit_two(struct scratch *scratch, const char *task, const char *path)
{
    struct fault fault = {0};
    const struct change changes[] = {{CHANGE_WRITE, "rewards.md", task, strlen(task)},
                                     {CHANGE_WRITE, path, task, strlen(task)}};
    if (!commit_changes(scratch, task, changes, 2, &fault))
        fail_msg("%s", fault.text);
}

static void ignore_edit(void *context, const struct change *change)
{
}

static void look_for_edits(struct scratch *scratch)
{
    struct fault fault = {0};
    if (!history_edits(scratch->history, EDITS_ALL, ignore_edit, NULL, &fault))
        fail_msg("%s", fault.text);
}

/* git reads the index, we commit, git locks the index and writes the entries that it read. */
static void test_an_index_that_git_wrote_back_over_our_commits_is_entered_again(void **state)
{
    struct scratch *scratch = *state;
    commit_two(scratch, "one", "outputs/one.md");
    for (int commits = 1; commits <= 4; commits++) {
        shell(scratch, "cp .git/index .git/read");
        for (int i = 0; i < commits; i++) {
            OWNED char *task = memory_print("t%d%d", commits, i);
            OWNED char *path = memory_print("outputs/%s.md", task);
            commit_two(scratch, task, path);
        }
        assert_string_not_equal(shell(scratch, "mv .git/read .git/index; git status --porcelain"), "");
        if (commits % 2)
            commit_two(scratch, "next", "outputs/next.md");
        else
            look_for_edits(scratch);
        assert_clean(scratch);
    }
}

static void test_one_file_that_a_person_took_out_of_the_index_stays_out(void **state)
{
    struct scratch *scratch = *state;
    commit_two(scratch, "one", "outputs/one.md");
    shell(scratch, "git rm -q --cached outputs/one.md");
    look_for_edits(scratch);
    assert_string_equal(shell(scratch, "git status --porcelain"), "D  outputs/one.md");
}

static void test_gc_checkout_and_packed_refs_are_coped_with(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "g%d\n", i);
        commit_file(scratch, "t", "goals.md", text);
        shell(scratch, "git gc -q --prune=now");
    }
    assert_clean(scratch);
    shell(scratch, "git checkout -q -b other HEAD~2");
    commit_file(scratch, "t", "goals.md", "on the other branch\n");
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git log --oneline other | wc -l; git log --oneline main | wc -l"),
                        "4\n5");
    shell(scratch, "git checkout -q --detach");
    commit_file(scratch, "t", "goals.md", "detached\n");
    assert_clean(scratch);
}

static void test_a_foreign_lock_that_is_old_is_broken_and_a_young_one_is_waited_for(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "t", "goals.md", "1\n");
    shell(scratch, "touch -d '1 minute ago' .git/index.lock .git/refs/heads/main.lock");
    commit_file(scratch, "t", "goals.md", "2\n");
    assert_clean(scratch);
    shell(scratch, "(touch .git/index.lock; sleep 0.3; rm .git/index.lock) >/dev/null 2>&1 & "
                   "while [ ! -e .git/index.lock ]; do :; done");
    commit_file(scratch, "t", "goals.md", "3\n");
    assert_clean(scratch);
    struct fault fault = {0};
    struct change change = {CHANGE_WRITE, "goals.md", "4\n", 2};
    shell(scratch, "touch .git/index.lock");
    assert_false(commit_changes(scratch, "t", &change, 1, &fault));
    assert_non_null(strstr(fault.text, "index.lock"));
    shell(scratch, "rm .git/index.lock");
    assert_clean(scratch);
    history_tidy(scratch->history, false);
    assert_string_equal(shell(scratch, "cat goals.md; ls .git/refs/heads .agentos/new"),
                        "3\n.agentos/new:\n\n.git/refs/heads:\nmain");
}

static void test_paths_that_lead_elsewhere_are_refused(void **state)
{
    struct scratch *scratch = *state;
    static const char *const paths[] = {"../x", "/x",   "a/../x", ".git/config",      "a/.GIT/x",
                                        "",     "a//b", "./a",    ".agentos/journal", "a/"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct fault fault = {0};
        struct change change = {CHANGE_WRITE, paths[i], "x", 1};
        assert_false(commit_changes(scratch, "t", &change, 1, &fault));
        assert_non_null(strstr(fault.text, "path"));
    }
}

static void test_a_planted_link_is_never_written_through(void **state)
{
    struct scratch *scratch = *state;
    struct fault fault = {0};
    commit_file(scratch, "t", "goals.md", "1\n");
    shell(scratch, "mkdir ../history-out-$$; ln -s /tmp skills; ln -sf /etc/hostname notes.md");
    struct change change = {CHANGE_WRITE, "skills/x/SKILL.md", "x", 1};
    assert_false(commit_changes(scratch, "t", &change, 1, &fault));
    commit_file(scratch, "t", "notes.md", "n\n");
    assert_string_equal(shell(scratch, "readlink notes.md; ls /tmp/x 2>&1; rmdir ../history-out-*"),
                        "/etc/hostname\nls: cannot access '/tmp/x': No such file or directory");
}

static void test_reading_gives_what_head_has(void **state)
{
    struct scratch *scratch = *state;
    char *text;
    size_t length;
    assert_int_equal(history_read(scratch->history, "goals.md", &text, &length, NULL), 0);
    commit_file(scratch, "t", "skills/a/SKILL.md", "abc");
    assert_int_equal(history_read(scratch->history, "skills/a/SKILL.md", &text, &length, NULL), 1);
    assert_string_equal(text, "abc");
    assert_int_equal(length, 3);
    free(text);
    assert_int_equal(history_read(scratch->history, "skills/a", &text, &length, NULL), 0);
    assert_int_equal(history_read(scratch->history, "skills/b", &text, &length, NULL), 0);
}

static void test_a_folder_becomes_a_file_and_back(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "t", "a/b/c.md", "1");
    struct change change[] = {{CHANGE_REMOVE, "a/b/c.md", NULL, 0},
                              {CHANGE_WRITE, "a.md", "2", 1},
                              {CHANGE_WRITE, "a-b", "3", 1},
                              {CHANGE_WRITE, "a0", "4", 1}};
    assert_true(commit_changes(scratch, "t", change, 4, NULL));
    assert_clean(scratch);
    commit_file(scratch, "t", "a/x", "5");
    assert_clean(scratch);
}

static const struct change delivered_is_done[] = {{CHANGE_WRITE, "iac/archive/a.md", "done\n", 5},
                                                  {CHANGE_REMOVE, "iac/handoffs/a.md", "work\n", 5}};

static void test_a_delivered_file_goes_with_the_commit_and_never_shows_in_git(void **state)
{
    struct scratch *scratch = *state;
    shell(scratch, "mkdir -p iac/handoffs; echo work > iac/handoffs/a.md; echo other > iac/handoffs/b.md");
    assert_true(commit_changes(scratch, "a", delivered_is_done, 2, NULL));
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git ls-files; ls iac/handoffs"), "iac/archive/a.md\nb.md");
}

static void test_a_delivered_file_that_somebody_changed_stays(void **state)
{
    struct scratch *scratch = *state;
    shell(scratch, "mkdir -p iac/handoffs; echo edited > iac/handoffs/a.md");
    assert_true(commit_changes(scratch, "a", delivered_is_done, 2, NULL));
    assert_string_equal(shell(scratch, "cat iac/handoffs/a.md iac/archive/a.md"), "edited\ndone");
}

static void test_a_redo_after_a_power_cut_takes_no_file_that_came_later_under_the_same_name(void **state)
{
    struct scratch *scratch = *state;
    shell(scratch, "mkdir -p iac/handoffs; echo work > iac/handoffs/a.md");
    assert_true(commit_changes(scratch, "a", delivered_is_done, 2, NULL));
    shell(scratch, "echo again > iac/handoffs/a.md; rm iac/archive/a.md");
    journal_boot_is("");
    scratch_reopen(scratch);
    assert_string_equal(shell(scratch, "cat iac/handoffs/a.md iac/archive/a.md"), "again\ndone");
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_commit_leaves_a_repository_that_git_finds_clean),
        PROMISE(test_removing_and_untracking_differ_in_the_work_tree),
        PROMISE(test_of_several_changes_of_one_path_the_last_counts),
        PROMISE(test_without_a_change_there_is_a_commit_only_for_a_task),
        PROMISE(test_a_file_that_somebody_deleted_is_written_again),
        PROMISE(test_a_persons_unrecorded_edit_is_not_overwritten),
        PROMISE(test_a_persons_commit_in_between_is_kept),
        PROMISE(test_what_a_person_staged_stays_staged),
        PROMISE(test_an_index_that_git_wrote_back_over_our_commits_is_entered_again),
        PROMISE(test_one_file_that_a_person_took_out_of_the_index_stays_out),
        PROMISE(test_gc_checkout_and_packed_refs_are_coped_with),
        PROMISE(test_a_foreign_lock_that_is_old_is_broken_and_a_young_one_is_waited_for),
        PROMISE(test_paths_that_lead_elsewhere_are_refused),
        PROMISE(test_a_planted_link_is_never_written_through),
        PROMISE(test_reading_gives_what_head_has),
        PROMISE(test_a_folder_becomes_a_file_and_back),
        PROMISE(test_a_delivered_file_goes_with_the_commit_and_never_shows_in_git),
        PROMISE(test_a_delivered_file_that_somebody_changed_stays),
        PROMISE(test_a_redo_after_a_power_cut_takes_no_file_that_came_later_under_the_same_name),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
