/* Packs become one: every object stays as it was, whoever made the packs, and a damaged pack harms no other. */
#include "tests/unit/history_fixture.h"
#include "worker/history/part.h"

/* Joining waits until the agent was idle for a moment; an agent that has just begun was idle. */
static void tidy_all(struct scratch *scratch)
{
    scratch_reopen(scratch);
    while (history_tidy(scratch->history, false))
        ;
}

/* A step of an agent that rests for a moment after each commit. */
static void tidy_at_rest(struct scratch *scratch)
{
    scratch->history->committed_ms -= 500;
    history_tidy(scratch->history, false);
}

static int objects_of_the_largest_pack(struct scratch *scratch)
{
    return atoi(
        shell(scratch,
              "for i in .git/objects/pack/*.idx; do git show-index < $i | wc -l; done | sort -n | tail -1"));
}

static void commit_many(struct scratch *scratch, int first, int count)
{
    OWNED_BUFFER struct buffer rewards = {0};
    for (int i = 0; i < 30; i++)
        buffer_print(&rewards, "## task-%d\nreward: +1, and why it was so in the time before\n", i);
    for (int i = first; i < first + count; i++) {
        char output[200], path[40], blob[256];
        buffer_drop(&rewards, 66);
        buffer_print(&rewards, "## task-%d\nreward: +1, and why it was so in the time after \n", i);
        snprintf(path, sizeof path, "outputs/task-%d.md", i);
        snprintf(output, sizeof output, "---\ntask: task-%d\nreward: +1\n---\nThe answer, number %d.\n", i,
                 i * i);
        for (size_t at = 0; at < sizeof blob; at++)
            blob[at] = (char)(at * (size_t)i);
        struct change changes[] = {{CHANGE_WRITE, "rewards.md", rewards.data, rewards.length},
                                   {CHANGE_WRITE, path, output, strlen(output)},
                                   {CHANGE_WRITE, "notes/bytes", blob, sizeof blob},
                                   {CHANGE_WRITE, "notes/same", i % 2 ? "odd" : "", i % 2 ? 3 : 0}};
        assert_true(commit_changes(scratch, "t", changes, 4, NULL));
    }
}

/* Everything that the repository holds, in the order of the ids. */
static char *contents(struct scratch *scratch)
{
    return memory_text(shell(scratch,
                             "git cat-file --batch-all-objects --batch-check='%(objectname)' | sort -u | "
                             "git cat-file --batch | sha1sum"));
}

static int packs(struct scratch *scratch)
{
    return atoi(shell(scratch, "ls .git/objects/pack/*.idx | wc -l"));
}

static long pack_bytes(struct scratch *scratch)
{
    return atol(shell(scratch, "cat .git/objects/pack/*.pack | wc -c"));
}

static void test_joined_packs_hold_every_object_and_are_small(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 40);
    OWNED char *before = contents(scratch);
    long many = pack_bytes(scratch);
    tidy_all(scratch);
    OWNED char *after = contents(scratch);
    assert_string_equal(after, before);
    assert_clean(scratch);
    long joined = atol(shell(scratch, "cat $(ls -t .git/objects/pack/*.pack | head -1) | wc -c"));
    assert_true(joined * 4 < many);
    commit_many(scratch, 40, 2);
    assert_clean(scratch);
}

static void test_packs_of_a_join_stay_for_those_who_listed_them(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 20);
    int before = packs(scratch);
    tidy_all(scratch);
    assert_int_equal(packs(scratch), before + 1);
    assert_clean(scratch);
    /* Whoever is killed before they go joins them again, and nothing comes of it. */
    tidy_all(scratch);
    assert_clean(scratch);
}

/* The packs that were joined until now have stayed for five minutes. */
static void minutes_pass(struct scratch *scratch)
{
    shell(scratch,
          "mkdir -p .agentos/retired; find .agentos/retired -type f | xargs -r touch -d '6 minutes ago'");
    scratch->history->retired.look_at = 0;
    for (int steps = 0; steps < 20; steps++)
        tidy_at_rest(scratch);
}

static void test_packs_of_a_join_go_after_five_minutes(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 60; i++) {
        commit_many(scratch, i, 1);
        tidy_at_rest(scratch);
    }
    assert_true(packs(scratch) > 60);
    scratch_reopen(scratch);
    minutes_pass(scratch);
    assert_true(packs(scratch) < 30);
    assert_clean(scratch);
}

static void test_many_packs_of_joins_go_earlier(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 20);
    tidy_all(scratch);
    shell(scratch, "touch -d '10 seconds ago' .agentos/retired/*");
    tidy_at_rest(scratch);
    assert_int_equal(packs(scratch), 21);
    scratch->history->retired.count = 501;
    scratch->history->retired.look_at = 0;
    tidy_at_rest(scratch);
    assert_int_equal(packs(scratch), 1);
    assert_clean(scratch);
}

/* As `git maintenance` makes it; git complains of each pack that it names and that isn't there. */
static void test_an_index_over_many_packs_names_none_that_went(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 60; i++) {
        commit_many(scratch, i, 1);
        if (i == 10)
            assert_string_equal(shell(scratch, "git multi-pack-index write --bitmap --no-progress"), "");
        tidy_at_rest(scratch);
    }
    OWNED char *before = contents(scratch);
    assert_clean(scratch);
    scratch_reopen(scratch);
    /* newer gits' chain of such indexes, and the times of a cruft pack's objects */
    shell(scratch, "mkdir .git/objects/pack/multi-pack-index.d && cd .git/objects/pack && "
                   "touch multi-pack-index.d/multi-pack-index-chain pack-$(ls ../../../.agentos/retired | "
                   "head -1).mtimes");
    minutes_pass(scratch);
    assert_true(packs(scratch) < 30);
    assert_clean(scratch);
    assert_string_equal(
        shell(scratch, "cd .git/objects/pack; ls . multi-pack-index.d | grep -v 'pack$\\|idx$'"),
        ".:\nmulti-pack-index.d\n\nmulti-pack-index.d:");
    OWNED char *after = contents(scratch);
    assert_string_equal(after, before);
    assert_string_equal(shell(scratch, "git multi-pack-index write && git fsck --strict && git gc -q"), "");
    commit_many(scratch, 60, 1);
    assert_clean(scratch);
}

/* Its heir is gone, so it has what nobody else has. */
static void test_a_pack_whose_heir_somebody_removed_stays(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 60; i++) {
        commit_many(scratch, i, 1);
        tidy_at_rest(scratch);
    }
    const char *heir = shell(scratch, "for i in .git/objects/pack/*.idx; do echo "
                                      "$(git show-index < $i | wc -l) $i; done | sort -n | tail -1");
    assert_true(atoi(heir) > 64);
    OWNED char *index = memory_print("%s/%s", scratch->path, strchr(heir, ' ') + 1);
    OWNED char *pack = memory_print("%.*s.pack", (int)strlen(index) - 4, index);
    assert_int_equal(unlink(index), 0);
    assert_int_equal(unlink(pack), 0);
    for (int i = 60; i < 130; i++) {
        commit_many(scratch, i, 1);
        tidy_at_rest(scratch);
    }
    minutes_pass(scratch);
    assert_clean(scratch);
}

static void test_a_busy_agent_has_a_sound_repository_all_the_time_and_few_packs_when_it_rests(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 300; i++) {
        commit_many(scratch, i, 1);
        history_tidy(scratch->history, true);
        if (i % 75 == 74)
            assert_clean(scratch);
    }
    assert_true(objects_of_the_largest_pack(scratch) > 64);
    assert_int_equal(atoi(shell(scratch, "git log --oneline | wc -l")), 300);
    minutes_pass(scratch);
    assert_clean(scratch);
    scratch_reopen(scratch);
    assert_int_equal(history_tasks_done(scratch->history), 300);
}

static void test_packs_that_git_made_are_joined_as_they_are(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 24; i++) {
        commit_many(scratch, i * 2, 2);
        if (i % 3 == 0)
            shell(scratch, "git repack -q -d");
        if (i == 12)
            shell(scratch, "git gc -q");
    }
    assert_true(packs(scratch) > 16);
    OWNED char *before = contents(scratch);
    tidy_all(scratch);
    OWNED char *after = contents(scratch);
    assert_string_equal(after, before);
    assert_clean(scratch);
    assert_int_equal(atoi(shell(scratch, "for p in .git/objects/pack/*.idx; do "
                                         "git verify-pack $p || echo bad; done | grep -c bad")),
                     0);
}

static void test_a_damaged_pack_is_left_and_the_others_are_joined(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 24);
    shell(scratch,
          "p=$(ls -tr .git/objects/pack/*.pack | head -3 | tail -1); echo $p > .agentos/bad; chmod u+w $p; "
          "printf 'XXXX' | dd of=$p bs=1 seek=60 conv=notrunc status=none");
    OWNED char *bad = memory_text(shell(scratch, "sha1sum $(cat .agentos/bad)"));
    int before = packs(scratch);
    tidy_all(scratch);
    while (history_tidy(scratch->history, false))
        ;
    history_tidy(scratch->history, false);
    assert_string_equal(shell(scratch, "sha1sum $(cat .agentos/bad)"), bad);
    assert_true(packs(scratch) == before + 1);
    commit_many(scratch, 30, 1);
}

/* One is large itself, one holds little but an object of 300 MB. */
static void test_packs_that_would_fill_the_memory_stay_and_the_others_are_joined(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 20);
    shell(
        scratch,
        "for from in urandom:17 zero:300; do dd if=/dev/${from%:*} bs=1M count=${from#*:} status=none | git "
        "hash-object -w --stdin | git -c pack.compression=1 pack-objects -q .git/objects/pack/pack >> "
        ".agentos/large; done; git prune-packed");
    int before = packs(scratch);
    tidy_all(scratch);
    assert_int_equal(packs(scratch), before + 1);
    assert_string_equal(shell(scratch,
                              "for i in $(cat .agentos/large); do test -e .git/objects/pack/pack-$i.idx && "
                              "! test -e .agentos/retired/$i || echo gone; done"),
                        "");
    assert_true(objects_of_the_largest_pack(scratch) > 64);
    assert_clean(scratch);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)

/* The agent has long been quiet: the journal is brought to its checkpoint. */
static void checkpoint(struct scratch *scratch)
{
    scratch->history->committed_ms = 1;
    assert_true(journal_size(scratch->history->journal) > 0);
    for (int steps = 0; journal_size(scratch->history->journal) > 0; steps++) {
        assert_true(steps < 100);
        history_tidy(scratch->history, false);
    }
}

/* A person's gc in a bad moment; the journal alone has the objects that the gc drops. */
static void assert_written_again(struct scratch *scratch, const char *drop)
{
    OWNED char *before = contents(scratch);
    shell(scratch, drop);
    checkpoint(scratch);
    OWNED char *after = contents(scratch);
    assert_string_equal(before, after);
    assert_clean(scratch);
}

static void test_what_somebody_dropped_before_a_checkpoint_is_written_again(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 5);
    checkpoint(scratch);
    commit_many(scratch, 5, 5);
    assert_written_again(scratch, "rm -f $(ls -t .git/objects/pack/*.pack | head -3 | tail -1)");
}

static void test_what_somebody_dropped_with_the_heir_of_joined_packs_is_written_again(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 60; i++) {
        commit_many(scratch, i, 1);
        tidy_at_rest(scratch);
    }
    assert_written_again(
        scratch, "rm -f $(ls -S .git/objects/pack/*.pack | head -1) .agentos/retired/*; "
                 "for i in $(ls -tr .git/objects/pack/*.idx | head -40); do rm -f $i ${i%idx}pack; done");
}

static void test_what_a_former_process_committed_is_looked_for_too(void **state)
{
    struct scratch *scratch = *state;
    commit_many(scratch, 0, 5);
    scratch_reopen(scratch);
    commit_many(scratch, 5, 5);
    assert_written_again(scratch, "rm -f $(ls -t .git/objects/pack/*.pack | tail -1)");
}

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_joined_packs_hold_every_object_and_are_small),
        PROMISE(test_packs_of_a_join_stay_for_those_who_listed_them),
        PROMISE(test_packs_of_a_join_go_after_five_minutes),
        PROMISE(test_many_packs_of_joins_go_earlier),
        PROMISE(test_an_index_over_many_packs_names_none_that_went),
        PROMISE(test_a_pack_whose_heir_somebody_removed_stays),
        PROMISE(test_a_busy_agent_has_a_sound_repository_all_the_time_and_few_packs_when_it_rests),
        PROMISE(test_packs_that_git_made_are_joined_as_they_are),
        PROMISE(test_a_damaged_pack_is_left_and_the_others_are_joined),
        PROMISE(test_packs_that_would_fill_the_memory_stay_and_the_others_are_joined),
        PROMISE(test_what_somebody_dropped_before_a_checkpoint_is_written_again),
        PROMISE(test_what_somebody_dropped_with_the_heir_of_joined_packs_is_written_again),
        PROMISE(test_what_a_former_process_committed_is_looked_for_too),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
