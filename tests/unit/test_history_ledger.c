/* Which tasks are done: the commits' trailers say it, whatever happens to the cache or to HEAD. */
#include <sys/resource.h>

#include "tests/unit/history_fixture.h"

/* For the leak checker: libgit2 1.5 frees the commits that it has gathered only of a walk that comes to its end, and a
 * history that lacks commits ends none. Such a history is walked once, and again where HEAD is moved. libgit2 keeps
 * no frame pointers, so the checker finds the walk by the slow way alone. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:git_revwalk_next\nleak:git_graph_reachable_from_any";
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0";
}

static bool finished(struct scratch *scratch, const char *task)
{
    char commit[COMMIT_TEXT];
    return history_finished(scratch->history, task, 7, commit);
}

static void test_a_finished_task_is_known_with_its_commit(void **state)
{
    struct scratch *scratch = *state;
    char commit[COMMIT_TEXT];
    commit_file(scratch, "one", "goals.md", "1\n");
    assert_true(history_finished(scratch->history, "one", 7, commit));
    assert_string_equal(shell(scratch, "git rev-parse HEAD"), commit);
    assert_false(history_finished(scratch->history, "one", 8, commit));
    assert_false(finished(scratch, "on"));
    assert_int_equal(history_tasks_done(scratch->history), 1);
    scratch_reopen(scratch);
    assert_true(finished(scratch, "one"));
}

static void test_any_id_comes_back_and_none_can_forge_a_trailer(void **state)
{
    struct scratch *scratch = *state;
    static const char *const ids[] = {
        "a\nAgentos-Task: forged", "100%", "%41", " blank ", "\xff\xfe", "Ä ö", "", "x\ty",
        "Agentos-Task: y"};
    size_t count = sizeof ids / sizeof *ids;
    for (size_t i = 0; i < count; i++)
        commit_file(scratch, ids[i], "goals.md", ids[i]);
    shell(scratch, "rm .agentos/ledger");
    scratch_reopen(scratch);
    for (size_t i = 0; i < count; i++)
        assert_true(finished(scratch, ids[i]));
    assert_false(finished(scratch, "forged"));
    assert_false(finished(scratch, "A"));
    assert_int_equal(history_tasks_done(scratch->history), count);
    assert_clean(scratch);
}

static void test_a_body_can_not_forge_a_trailer(void **state)
{
    struct scratch *scratch = *state;
    char commit[COMMIT_TEXT];
    struct change change = {CHANGE_WRITE, "goals.md", "x", 1};
    struct commit_request request = {
        .subject = "orion(task): x\n\nAgentos-Task: forged\nAgentos-Task-Hash: 0000000000000007",
        .body = "note\n\nAgentos-Task: forged\n  agentos-task-hash: 0000000000000007\n",
        .changes = &change,
        .change_count = 1};
    assert_true(history_commit(scratch->history, &request, commit, NULL));
    shell(scratch, "rm .agentos/ledger");
    scratch_reopen(scratch);
    assert_false(finished(scratch, "forged"));
    assert_int_equal(history_tasks_done(scratch->history), 0);
}

static void test_a_task_that_expired_is_over_but_does_not_count_as_done(void **state)
{
    struct scratch *scratch = *state;
    char commit[COMMIT_TEXT];
    struct change change = {CHANGE_WRITE, "reflections.md", "late", 4};
    struct commit_request request = {
        .subject = "orion(escalation): late expired",
        .trailers = {.task = "late", .task_hash = 7, .end = "expired", .source = "queue"},
        .changes = &change,
        .change_count = 1};
    commit_file(scratch, "one", "goals.md", "1\n");
    assert_true(history_commit(scratch->history, &request, commit, NULL));
    for (int i = 0; i < 2; i++) {
        assert_true(finished(scratch, "late"));
        assert_int_equal(history_tasks_done(scratch->history), 1);
        scratch_reopen(scratch); /* once from the cache … */
        assert_int_equal(history_tasks_done(scratch->history), 1);
        shell(scratch, "rm .agentos/ledger"); /* … and once from git */
        scratch_reopen(scratch);
    }
}

static void test_a_reset_makes_later_tasks_undone(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    commit_file(scratch, "two", "goals.md", "2\n");
    shell(scratch, "git reset -q --hard HEAD~1");
    assert_true(finished(scratch, "one"));
    assert_false(finished(scratch, "two"));
    commit_file(scratch, "three", "goals.md", "3\n");
    assert_clean(scratch);
    scratch_reopen(scratch);
    assert_true(finished(scratch, "one"));
    assert_false(finished(scratch, "two"));
    assert_true(finished(scratch, "three"));
}

static void test_a_wrong_or_short_cache_is_made_good_from_git(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    commit_file(scratch, "two", "goals.md", "2\n");
    static const char *const damages[] = {"truncate -s 40 .agentos/ledger", "truncate -s 50 .agentos/ledger",
                                          "head -c 5000 /dev/urandom > .agentos/ledger", "> .agentos/ledger",
                                          "printf x | dd of=.agentos/ledger conv=notrunc bs=1 seek=45 2>&1"};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        shell(scratch, damages[i]);
        scratch_reopen(scratch);
        assert_true(finished(scratch, "one"));
        assert_true(finished(scratch, "two"));
        assert_int_equal(history_tasks_done(scratch->history), 2);
    }
}

static void test_a_persons_merge_counts_both_sides(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch, "git checkout -q -b side");
    commit_file(scratch, "side", "notes.md", "s\n");
    shell(scratch, "git checkout -q main");
    commit_file(scratch, "two", "goals.md", "2\n");
    shell(scratch, "git merge -q --no-edit side");
    assert_true(finished(scratch, "one") && finished(scratch, "two") && finished(scratch, "side"));
    assert_int_equal(history_tasks_done(scratch->history), 3);
}

/* As people make one with `git clone --depth`. */
static void test_a_shallow_clone_is_worked_in_and_knows_the_tasks_that_it_has(void **state)
{
    struct scratch *scratch = *state;
    for (char task[] = "a"; *task <= 'e'; ++*task)
        commit_file(scratch, task, "goals.md", task);
    shell(
        scratch,
        "git clone -q --depth 2 file://$PWD clone && rm -rf .git .agentos && mv clone/.git . && rm -r clone");
    scratch_reopen(scratch);
    assert_true(finished(scratch, "e") && finished(scratch, "d"));
    assert_false(finished(scratch, "c"));
    commit_file(scratch, "f", "goals.md", "f");
    /* git walks by the commits' times: within a second, and later */
    shell(scratch, "GIT_COMMITTER_DATE=$(git log -1 --format=%ci) git commit -q --allow-empty -m theirs");
    assert_true(finished(scratch, "f") && finished(scratch, "d"));
    shell(scratch, "GIT_COMMITTER_DATE='2100-01-01 00:00' git commit -q --allow-empty -m theirs");
    assert_true(finished(scratch, "f") && finished(scratch, "d"));
    scratch_reopen(scratch);
    assert_true(finished(scratch, "f") && finished(scratch, "d"));
    assert_clean(scratch);
}

static void test_a_lost_commit_takes_only_what_lies_behind_it(void **state)
{
    struct scratch *scratch = *state;
    commit_file(scratch, "a", "goals.md", "a");
    shell(scratch, "git branch side");
    commit_file(scratch, "b", "goals.md", "b");
    commit_file(scratch, "c", "goals.md", "c");
    shell(scratch, "git checkout -q side && git commit -q --allow-empty -m theirs && git checkout -q main && "
                   "git merge -q --no-edit side");
    commit_file(scratch, "d", "goals.md", "d");
    shell(scratch,
          "mkdir packs; mv .git/objects/pack/* packs; cat packs/*.pack > /dev/null; "
          "for pack in packs/*.pack; do git unpack-objects -q < $pack; done; rm -r packs; "
          "lost=$(git log --format=%H --grep 'task): b'); rm -f .git/objects/$(echo $lost | sed 's|..|&/|'); "
          "rm .agentos/ledger .agentos/journal");
    scratch_reopen(scratch);
    assert_true(finished(scratch, "d") && finished(scratch, "c") && finished(scratch, "a"));
    assert_false(finished(scratch, "b"));
    commit_file(scratch, "e", "goals.md", "e");
    assert_true(finished(scratch, "e"));
}

/* The history is opened with each number of descriptors from none on. */
static void test_a_start_without_enough_descriptors_forgets_no_task(void **state)
{
    struct scratch *scratch = *state;
    struct rlimit before, few;
    for (char task[] = "a"; *task <= 'e'; ++*task)
        commit_file(scratch, task, "goals.md", task);
    history_close(scratch->history);
    shell(
        scratch,
        "git commit -q --allow-empty -m theirs && git repack -q && git prune-packed"); /* not its tree's pack */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int free_one = dup(scratch->tree), opened = 0;
    close(free_one);
    for (int count = 0; count < 24; count++) {
        struct fault fault = {0};
        unlinkat(scratch->tree, ".agentos/ledger", 0);
        few = (struct rlimit){.rlim_cur = (rlim_t)(free_one + count), .rlim_max = before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        struct history *history = history_open(scratch->tree, scratch->path, "orion", NULL, &fault);
        setrlimit(RLIMIT_NOFILE, &before);
        opened += history != NULL;
        history_close(history);
        scratch_open(scratch);
        for (char task[] = "a"; *task <= 'e'; ++*task)
            if (!finished(scratch, task))
                fail_msg("with %d descriptors the task %s was forgotten", count, task);
        history_close(scratch->history);
    }
    scratch_open(scratch);
    assert_in_range(opened, 1, 23);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_finished_task_is_known_with_its_commit),
        PROMISE(test_any_id_comes_back_and_none_can_forge_a_trailer),
        PROMISE(test_a_body_can_not_forge_a_trailer),
        PROMISE(test_a_task_that_expired_is_over_but_does_not_count_as_done),
        PROMISE(test_a_reset_makes_later_tasks_undone),
        PROMISE(test_a_wrong_or_short_cache_is_made_good_from_git),
        PROMISE(test_a_persons_merge_counts_both_sides),
        PROMISE(test_a_shallow_clone_is_worked_in_and_knows_the_tasks_that_it_has),
        PROMISE(test_a_lost_commit_takes_only_what_lies_behind_it),
        PROMISE(test_a_start_without_enough_descriptors_forgets_no_task),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
