/* Repositories that are broken, full disks, and housekeeping: a sentence, and nothing lost. */
#include <sys/mount.h>

#include "tests/unit/history_fixture.h"

static char *reopen_damaged(struct scratch *scratch)
{
    struct fault fault = {0};
    char *damage = NULL;
    history_close(scratch->history);
    scratch->history = history_open(scratch->tree, scratch->path, "orion", &damage, &fault);
    if (!scratch->history)
        fail_msg("%s", fault.text);
    return damage;
}

static void test_a_repository_that_can_not_be_opened_is_set_aside_whole(void **state)
{
    struct scratch *scratch = *state;
    static const char *const damages[] = {
        "rm -rf .git/objects/?? .git/objects/pack/*",
        "rm -rf .git && echo no > .git",
        "rm -rf .git && ln -s /tmp .git",
        "rm -rf .git/refs && echo x > .git/refs",
        "for f in $(find .git/objects -type f); do chmod u+w $f; echo > $f; done",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        commit_file(scratch, "one", "goals.md", "1\n");
        while (history_tidy(scratch->history, false))
            ;
        usleep(1000);
        history_close(scratch->history);
        scratch_open(scratch);
        while (history_tidy(scratch->history, false))
            ;
        shell(scratch, damages[i]);
        OWNED char *damage = reopen_damaged(scratch);
        assert_non_null(damage);
        assert_non_null(strstr(damage, ".git.damaged-"));
        assert_true(history_empty(scratch->history));
        commit_file(scratch, "two", "notes.md", "n\n");
        assert_string_equal(
            shell(scratch, "git fsck --strict; git log --format=%s; cat goals.md; rm -r .git.damaged-*"),
            "orion(task): two\n1");
        shell(scratch, "rm -rf .git goals.md notes.md");
        scratch_reopen(scratch);
    }
}

static void test_small_damage_is_mended_in_place(void **state)
{
    struct scratch *scratch = *state;
    static const char *const damages[] = {
        "echo garbage > .git/HEAD",
        "> .git/HEAD",
        "rm .git/HEAD",
        "echo garbage > .git/index",
        "rm .git/index",
        "> .git/refs/heads/main",
        "echo zzz > .git/refs/heads/main",
        "rm -r .git/info .git/refs/tags",
        "> .git/config",
        "head -c 4096 /dev/urandom > .agentos/journal",
        "rm -r .agentos",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        char task[16], text[16];
        snprintf(task, sizeof task, "task-%zu", i);
        snprintf(text, sizeof text, "%zu\n", i);
        commit_file(scratch, task, "goals.md", text);
        shell(scratch, damages[i]);
        free(reopen_damaged(scratch));
        char commit[COMMIT_TEXT];
        if (!history_finished(scratch->history, task, 7, commit))
            fail_msg("lost after: %s", damages[i]);
        commit_file(scratch, NULL, "notes.md", text);
        assert_clean(scratch);
    }
}

static void test_a_full_disk_is_a_sentence_and_changes_nothing(void **state)
{
    struct scratch *scratch = *state;
    history_close(scratch->history);
    close(scratch->tree);
    if (mount("tmpfs", scratch->path, "tmpfs", 0, "size=1m") != 0) {
        scratch->tree = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        scratch_open(scratch);
        skip();
    }
    scratch->tree = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scratch_open(scratch);
    commit_file(scratch, "one", "goals.md", "1\n");
    OWNED char *large = memory_new(200000, 1);
    memset(large, 'x', 199999);
    int failures = 0;
    for (int i = 0; i < 12; i++) {
        struct fault fault = {0};
        large[0] = (char)('a' + i);
        struct change changes[] = {{CHANGE_WRITE, "goals.md", large, 199999},
                                   {CHANGE_WRITE, "n.md", large, 10}};
        if (!commit_changes(scratch, "more", changes, 2, &fault)) {
            failures++;
            assert_true(fault.text[0] != '\0');
            assert_clean(scratch);
        }
    }
    assert_true(failures > 0);
    assert_clean(scratch);
    scratch_reopen(scratch);
    assert_clean(scratch);
    history_close(scratch->history);
    scratch->history = NULL;
    close(scratch->tree);
    umount2(scratch->path, MNT_DETACH);
    scratch->tree = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_packing_keeps_every_object_and_leaves_few_files(void **state)
{
    struct scratch *scratch = *state;
    for (int i = 0; i < 420; i++) {
        char text[600];
        memset(text, '.', sizeof text);
        snprintf(text, sizeof text, "text %d", i);
        struct change changes[] = {{CHANGE_WRITE, "goals.md", text, sizeof text},
                                   {CHANGE_WRITE, "skills/a/SKILL.md", text, 8}};
        assert_true(commit_changes(scratch, "t", changes, 2, NULL));
    }
    shell(scratch, "echo kept | git hash-object -w --stdin > .agentos/loose-one");
    scratch_reopen(scratch);
    while (history_tidy(scratch->history, false))
        ;
    assert_clean(scratch);
    assert_string_equal(
        shell(scratch, "git log --oneline | wc -l; git cat-file -p $(cat .agentos/loose-one)"), "420\nkept");
    assert_true(atoi(shell(scratch, "find .git/objects -type f | wc -l")) < 1600);
    commit_file(scratch, "last", "goals.md", "end");
    assert_clean(scratch);
    scratch_reopen(scratch);
    assert_int_equal(history_tasks_done(scratch->history), 421);
}

/* As newer gits make one. Its HEAD is not mended, for a history would begin beside the one that git shows. */
static void test_a_repository_with_a_reftable_is_left_and_told(void **state)
{
    struct scratch *scratch = *state;
    struct fault fault = {0};
    struct change change = {CHANGE_WRITE, "goals.md", "2\n", 2};
    commit_file(scratch, "one", "goals.md", "1\n");
    shell(scratch,
          "cd .git && cp config config.before && mv refs/heads heads.before && mkdir reftable && "
          "echo 'ref: refs/heads/.invalid' > HEAD && "
          "echo 'this repository uses the reftable format' > refs/heads && "
          "printf '[core]\nrepositoryformatversion = 1\n[extensions]\nrefStorage = reftable\n' >> config");
    assert_false(commit_changes(scratch, "two", &change, 1, &fault));
    assert_non_null(strstr(fault.text, "git refs migrate"));
    history_close(scratch->history);
    char *damage = NULL;
    scratch->history = history_open(scratch->tree, scratch->path, "orion", &damage, &fault);
    assert_null(scratch->history);
    assert_null(damage);
    assert_non_null(strstr(fault.text, "git refs migrate"));
    assert_string_equal(shell(scratch, "cat .git/HEAD"), "ref: refs/heads/.invalid");
    shell(scratch, "cd .git && mv config.before config && rm refs/heads && mv heads.before refs/heads && "
                   "rmdir reftable && echo 'ref: refs/heads/main' > HEAD");
    scratch_open(scratch);
    assert_true(commit_changes(scratch, "two", &change, 1, &fault));
    assert_clean(scratch);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_repository_that_can_not_be_opened_is_set_aside_whole),
        PROMISE(test_a_repository_with_a_reftable_is_left_and_told),
        PROMISE(test_small_damage_is_mended_in_place),
        PROMISE(test_a_full_disk_is_a_sentence_and_changes_nothing),
        PROMISE(test_packing_keeps_every_object_and_leaves_few_files),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
