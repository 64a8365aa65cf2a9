/* Files that are made ahead, while the model thinks, become part of the next commit, and are in no one's way. */
#include "tests/unit/history_fixture.h"
#include "worker/history/part.h"

static void earn(struct scratch *scratch, const char *path)
{
    struct change change = {CHANGE_WRITE, path, "skill\n", 6};
    assert_true(commit_changes(scratch, "t", &change, 1, NULL));
    history_ready(scratch->history);
}

static void assert_ahead(struct scratch *scratch, const char *there)
{
    assert_string_equal(shell(scratch, "test -d .agentos/spare/folder && echo yes || echo no"), there);
}

static void test_the_folder_of_the_next_skill_is_made_ahead_and_used(void **state)
{
    struct scratch *scratch = *state;
    earn(scratch, "skills/a/SKILL.md");
    assert_ahead(scratch, "yes");
    OWNED char *ahead = memory_text(shell(scratch, "stat -c %i .agentos/spare/folder"));
    earn(scratch, "skills/b/SKILL.md");
    assert_string_equal(shell(scratch, "stat -c %i skills/b"), ahead);
    assert_ahead(scratch, "yes");
    assert_clean(scratch);
}

static void test_a_folder_that_a_killed_process_made_ahead_goes_at_the_next_start(void **state)
{
    struct scratch *scratch = *state;
    earn(scratch, "skills/a/SKILL.md");
    assert_ahead(scratch, "yes");
    scratch_reopen(scratch);
    assert_ahead(scratch, "no");
    earn(scratch, "skills/b/SKILL.md");
    assert_clean(scratch);
}

/* A person put another file there, or took the file away. */
static void test_what_people_do_to_the_folder_made_ahead_harms_no_commit(void **state)
{
    static const char *const deeds[] = {
        "rmdir .agentos/spare/folder",
        "rmdir .agentos/spare/folder; echo x > .agentos/spare/folder",
        "rm -rf .agentos/spare",
    };
    struct scratch *scratch = *state;
    earn(scratch, "skills/first/SKILL.md");
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        OWNED char *path = memory_print("skills/s%zu/SKILL.md", i);
        OWNED char *look = memory_print("cat %s", path);
        shell(scratch, deeds[i]);
        earn(scratch, path);
        assert_string_equal(shell(scratch, look), "skill");
        assert_clean(scratch);
        scratch_reopen(scratch);
        shell(scratch, "rm -f .agentos/spare/folder");
        OWNED char *again = memory_print("skills/t%zu/SKILL.md", i);
        earn(scratch, again);
    }
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_the_folder_of_the_next_skill_is_made_ahead_and_used),
        PROMISE(test_a_folder_that_a_killed_process_made_ahead_goes_at_the_next_start),
        PROMISE(test_what_people_do_to_the_folder_made_ahead_harms_no_commit),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
