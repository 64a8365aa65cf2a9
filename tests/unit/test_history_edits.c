/* People's changes are found, and no others. */
#include "common/buffer.h"
#include "tests/unit/history_fixture.h"
#include "worker/history/part.h"

static void collect(void *context, const struct change *change)
{
    buffer_print(context, "%s %s%s%.*s\n", change->kind == CHANGE_RECORD ? "+" : "-", change->path,
                 change->length ? " " : "", (int)change->length, change->length ? change->text : "");
}

static const char *edits(struct scratch *scratch, bool quick)
{
    static char text[4096];
    OWNED_BUFFER struct buffer found = {0};
    struct fault fault = {0};
    if (!history_edits(scratch->history, quick, collect, &found, &fault))
        fail_msg("%s", fault.text);
    snprintf(text, sizeof text, "%s", found.length ? found.data : "");
    return text;
}

static void begin(struct scratch *scratch)
{
    struct change changes[] = {
        {CHANGE_WRITE, "goals.md", "g", 1},
        {CHANGE_WRITE, "queue.md", "q", 1},
        {CHANGE_WRITE, ".agent", "a", 1},
        {CHANGE_WRITE, "skills/x/SKILL.md", "x", 1},
        {CHANGE_WRITE, "skills/y/SKILL.md", "y", 1},
        {CHANGE_WRITE, "outputs/o.md", "o", 1},
        {CHANGE_WRITE, "iac/outbox/i.md", "i", 1},
        {CHANGE_WRITE, "docs/deep/d.md", "d", 1},
    };
    assert_true(commit_changes(scratch, NULL, changes, sizeof changes / sizeof *changes, NULL));
    assert_string_equal(edits(scratch, true), "");
    assert_string_equal(edits(scratch, false), "");
}

static void test_changed_added_and_removed_files_are_found(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch, "printf G > goals.md");
    assert_string_equal(edits(scratch, true), "+ goals.md G\n");
    shell(scratch, "printf g > goals.md; touch goals.md");
    assert_string_equal(edits(scratch, true), "");
    shell(scratch, "printf n > notes.md");
    assert_string_equal(edits(scratch, true), "+ notes.md n\n");
    shell(scratch,
          "rm notes.md skills/y/SKILL.md; rmdir skills/y; mkdir skills/z; printf z > skills/z/SKILL.md");
    assert_string_equal(edits(scratch, true), "- skills/y/SKILL.md\n+ skills/z/SKILL.md z\n");
    shell(scratch, "printf more > skills/x/more.md");
    assert_string_equal(edits(scratch, true),
                        "- skills/y/SKILL.md\n+ skills/x/more.md more\n+ skills/z/SKILL.md z\n");
}

static void test_a_file_added_to_a_folder_that_was_quiet_is_found(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    usleep(30000); /* folders are settled now, so they are remembered */
    assert_string_equal(edits(scratch, true), "");
    assert_string_equal(edits(scratch, true), "");
    shell(scratch, "printf n > skills/x/new.md");
    assert_string_equal(edits(scratch, true), "+ skills/x/new.md n\n");
    shell(scratch, "rm skills/x/new.md; mkdir skills/w; printf w > skills/w/SKILL.md");
    assert_string_equal(edits(scratch, true), "+ skills/w/SKILL.md w\n");
    shell(scratch, "rm -r skills/w");
    usleep(30000);
    assert_string_equal(edits(scratch, true), "");
    shell(scratch, "printf X > skills/x/SKILL.md");
    assert_string_equal(edits(scratch, true), "+ skills/x/SKILL.md X\n");
}

static void test_a_folder_that_went_costs_no_look_any_more_and_is_found_when_it_comes_again(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch, "mkdir -p skills/w/deep; printf w > skills/w/deep/w.md");
    usleep(30000);
    edits(scratch, true);
    size_t with_it = scratch->history->looked.count;
    shell(scratch, "rm -r skills/w");
    usleep(30000);
    for (int i = 0; i < 3; i++)
        assert_string_equal(edits(scratch, true), "");
    assert_int_equal(scratch->history->looked.count, with_it - 2);
    shell(scratch, "mkdir -p skills/w/deep; printf v > skills/w/deep/w.md");
    assert_string_equal(edits(scratch, true), "+ skills/w/deep/w.md v\n");
}

static void test_quick_leaves_other_folders_for_the_whole_look(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch, "printf D > docs/deep/d.md; printf e > docs/e.md");
    assert_string_equal(edits(scratch, true), "");
    assert_string_equal(edits(scratch, false), "+ docs/deep/d.md D\n+ docs/e.md e\n");
}

static void test_what_programs_write_or_git_ignores_is_no_edit(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch, "printf Q >> queue.md; printf A > .agent; printf I > iac/outbox/i.md; mkdir iac/inbox; "
                   "printf b > iac/inbox/b.md; printf o > outputs/old.md; printf s > .goals.md.swp; "
                   "printf t > .agentos/t");
    assert_string_equal(edits(scratch, false), "");
    shell(scratch, "printf '*.log\\n' > .gitignore; printf l > a.log");
    assert_string_equal(edits(scratch, false), "+ .gitignore *.log\n\n");
}

static void test_what_is_no_plain_file_is_skipped_and_never_hangs(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch,
          "ln -s /etc/passwd link.md; mkfifo pipe.md; mkdir -p nested/.git && printf n > nested/f.md; "
          "rm goals.md; mkfifo goals.md; truncate -s 5M big.md; ln -s /etc docs/etc; ln -s /etc skills/z");
    assert_string_equal(edits(scratch, true), "");
    assert_string_equal(edits(scratch, false), "");
}

/* A history with such a file could never be imported or moved again. */
static void test_a_file_that_an_import_refuses_comes_into_no_history(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch,
          "printf m > .gitmodules; printf m > skills/x/.gitmodules; printf c > .g$(printf "
          "'\\342\\200\\214')it; "
          "printf b > 'a\\git~1'; mkdir skills/z; printf s > skills/z/.gitmodules; git add -f skills/z");
    assert_string_equal(edits(scratch, false), "");
    shell(scratch, "printf '* text\\n' > .gitattributes; git add .gitattributes; git commit -qm 'by hand'");
    assert_string_equal(edits(scratch, false), "");
    shell(scratch, "head -c 2048 /dev/zero | tr '\\0' x > .gitattributes; cp .gitattributes skills/x/");
    assert_string_equal(edits(scratch, false), "");
    shell(scratch,
          "printf m > .gitmodules; git add .gitmodules; git commit -qm 'by hand'; printf M > .gitmodules");
    assert_string_equal(edits(scratch, false), "+ .gitmodules M\n");
}

static void test_recorded_edits_are_a_persons_commit_and_then_gone(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    char commit[COMMIT_TEXT];
    shell(
        scratch,
        "printf G > goals.md; rm docs/deep/d.md; git config user.name 'Ann <x>'; git config user.email a@b");
    struct change changes[] = {{CHANGE_RECORD, "goals.md", "G", 1},
                               {CHANGE_RECORD_REMOVED, "docs/deep/d.md", NULL, 0}};
    struct commit_request request = {
        .author = AUTHOR_PEOPLE, .subject = "orion(edit): by hand", .changes = changes, .change_count = 2};
    assert_true(history_commit(scratch->history, &request, commit, NULL));
    assert_string_equal(edits(scratch, false), "");
    assert_clean(scratch);
    assert_string_equal(shell(scratch, "git log -1 --format='%an %ae %cn'"), "Ann x a@b orion");
}

static void test_what_a_person_staged_is_an_edit_too(void **state)
{
    struct scratch *scratch = *state;
    begin(scratch);
    shell(scratch, "printf G > goals.md; printf n > n.md; git add goals.md n.md");
    assert_string_equal(edits(scratch, true), "+ goals.md G\n+ n.md n\n");
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_changed_added_and_removed_files_are_found),
        PROMISE(test_a_file_added_to_a_folder_that_was_quiet_is_found),
        PROMISE(test_a_folder_that_went_costs_no_look_any_more_and_is_found_when_it_comes_again),
        PROMISE(test_quick_leaves_other_folders_for_the_whole_look),
        PROMISE(test_what_programs_write_or_git_ignores_is_no_edit),
        PROMISE(test_what_is_no_plain_file_is_skipped_and_never_hangs),
        PROMISE(test_a_file_that_an_import_refuses_comes_into_no_history),
        PROMISE(test_recorded_edits_are_a_persons_commit_and_then_gone),
        PROMISE(test_what_a_person_staged_is_an_edit_too),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
