/* The post in an agent's tree when its storage fails while it is read. No envelope that can't be seen is taken for
 * gone, and no new one is done before one that may be older. */
#include <linux/capability.h>

#include "common/test_clock.h"
#include "tests/unit/failing.h"
#include "tests/unit/mail_fixture.h"

static int begin(void **state)
{
    names_left = reads_left = -1;
    for_long = false;
    return desk_begin(state);
}

static bool skips(void *context, const struct letter *letter)
{
    return false;
}

static const char *next(struct desk *desk)
{
    const struct letter *letter = mail_next(desk->mail, then, skips, NULL);
    return letter ? letter->head.id : "";
}

/* A look in which the nth name, or read, fails. False: the look did not reach it. */
static bool look_failing(struct desk *desk, int *left, int nth)
{
    *left = nth;
    look(desk);
    bool failed = *left == -1 || for_long;
    *left = -1;
    return failed;
}

static void put_one(struct desk *desk, const char *id, enum envelope_kind kind, int64_t created)
{
    struct envelope envelope = sample(id, kind);
    envelope.created = created;
    put(desk, &envelope);
}

static void test_a_listing_that_fails_is_no_empty_folder_and_is_looked_at_again(void **state)
{
    struct desk *desk = *state;
    put_one(desk, "a", KIND_HANDOFF, then);
    int nth = 0, unsettled = 0;
    for (; look_failing(desk, &names_left, nth); nth++) {
        assert_non_null(strstr(desk->problems.data, "cannot list the folder iac/"));
        assert_int_equal(mail_changed(desk->mail), mail_unsettled(desk->mail));
        assert_int_equal(mail_again_ms(desk->mail) > 0, mail_unsettled(desk->mail));
        assert_string_equal(next(desk), mail_unsettled(desk->mail) ? "" : "a");
        unsettled += mail_unsettled(desk->mail);
        mail_close(desk->mail);
        desk->mail = mail_open(desk->scratch->tree, "orion", desk->scratch->history);
    }
    assert_int_equal(unsettled, 2 * 3 + 1); /* two folders' two dots and their ends, and one name */
    assert_int_equal(nth, 3 * 3 + 1);       /* a file that could not be sent is only reported */
    assert_false(mail_unsettled(desk->mail));
    assert_int_equal(mail_again_ms(desk->mail), 0);
    assert_false(mail_changed(desk->mail));
    assert_int_equal(desk->problems.length, 0);
    assert_string_equal(next(desk), "a");
}

static void test_what_was_known_stays_and_goes_only_when_it_is_seen_to_have_gone(void **state)
{
    struct desk *desk = *state;
    put_one(desk, "a", KIND_HANDOFF, then);
    put_one(desk, "b", KIND_HANDOFF, then + 1);
    put_one(desk, "m", KIND_MESSAGE, then + 2);
    look(desk);
    for (int nth = 0; look_failing(desk, &names_left, nth); nth++) {
        assert_int_equal(desk->mail->count, 3);
        assert_string_equal(next(desk), "a");
    }
    shell(desk->scratch, "rm iac/handoffs/a.md");
    for (int nth = 0; look_failing(desk, &names_left, nth); nth++)
        assert_string_equal(next(desk), "b");
}

static void test_nothing_new_is_done_while_something_older_may_be_unseen(void **state)
{
    struct desk *desk = *state;
    put_one(desk, "known", KIND_HANDOFF, then + 5);
    look(desk);
    for (int i = 0; i < 6; i++) {
        OWNED char *id = memory_print("old-%d", i);
        put_one(desk, id, i % 2 ? KIND_HANDOFF : KIND_MESSAGE, then + i - 20);
    }
    int *const faults[] = {&names_left, &reads_left};
    for (size_t kind = 0; kind < 2; kind++)
        for (int nth = 0; look_failing(desk, faults[kind], nth); nth++) {
            if (mail_unsettled(desk->mail))
                assert_string_equal(next(desk), "known");
            else
                assert_string_equal(next(desk), "old-0"); /* only iac/outbox was not seen */
            mail_close(desk->mail);
            desk->mail = mail_open(desk->scratch->tree, "orion", desk->scratch->history);
            shell(desk->scratch, "mkdir -p aside; mv iac/*/old-* aside");
            look(desk);
            shell(desk->scratch, "mv aside/old-[024].md iac/inbox; mv aside/old-* iac/handoffs");
        }
    look(desk);
    assert_string_equal(next(desk), "old-0");
}

static void test_a_folder_that_can_never_be_read_stops_the_others_for_a_while_only(void **state)
{
    struct desk *desk = *state;
    put_one(desk, "a", KIND_HANDOFF, then);
    for_long = true;
    look_failing(desk, &reads_left, 0);
    assert_string_equal(next(desk), "");
    for_long = false;
    put_one(desk, "b", KIND_HANDOFF, then + 1);
    look_failing(desk, &reads_left, 0);
    assert_string_equal(next(desk), "");
    test_clock_move(0, 9 * 1000);
    look_failing(desk, &reads_left, 0);
    assert_string_equal(next(desk), "");
    int64_t soon = mail_again_ms(desk->mail);
    test_clock_move(0, 2 * 1000);
    look_failing(desk, &names_left, 0);
    assert_string_equal(next(desk), "a");
    assert_true(mail_again_ms(desk->mail) > soon); /* still, but not as often */
    look(desk);
    assert_int_equal(mail_again_ms(desk->mail), 0);
}

/* Root reads what it likes until its capabilities are gone. */
static void set_capabilities(struct __user_cap_data_struct *data)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static void test_a_file_that_nobody_may_read_is_told_and_stops_no_other(void **state)
{
    struct desk *desk = *state;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3], none[_LINUX_CAPABILITY_U32S_3];
    assert_int_equal(syscall(SYS_capget, &header, had), 0);
    memcpy(none, had, sizeof none);
    none[0].effective = none[1].effective = 0;
    put_one(desk, "a", KIND_HANDOFF, then);
    put_one(desk, "b", KIND_HANDOFF, then + 1);
    shell(desk->scratch, "chmod 0 iac/handoffs/a.md");
    set_capabilities(none);
    look(desk);
    const char *first = next(desk);
    int64_t again = mail_again_ms(desk->mail);
    bool unsettled = mail_unsettled(desk->mail);
    set_capabilities(had);
    assert_string_equal(first, "b");
    assert_non_null(strstr(desk->problems.data, "iac/handoffs/a.md is tried again"));
    assert_true(again > 0);
    assert_false(unsettled); /* else its worker would stay awake for good */
    shell(desk->scratch, "chmod 644 iac/handoffs/a.md");
    look(desk);
    assert_string_equal(next(desk), "a");
    assert_int_equal(mail_again_ms(desk->mail), 0);
}

static void test_what_can_not_be_told_to_be_over_is_not_done(void **state)
{
    struct desk *desk = *state;
    struct envelope done = sample("a", KIND_HANDOFF);
    put(desk, &done);
    done.status = "finished";
    put_in(desk, TREE_ARCHIVE, &done);
    int nth = 0;
    for (; look_failing(desk, &reads_left, nth); nth++) {
        assert_string_equal(next(desk), "");
        if (mail_unsettled(desk->mail))
            assert_string_equal(shell(desk->scratch, "ls iac/handoffs"), "a.md");
        else
            put(desk, &done);
    }
    assert_true(nth >= 2);
    assert_string_equal(desk->over.data, "a finished;");
    assert_string_equal(shell(desk->scratch, "ls iac/handoffs"), "");
}

static void test_a_dead_letter_that_can_not_be_read_is_told_of_later(void **state)
{
    struct desk *desk = *state;
    int *const faults[] = {&names_left, &reads_left};
    for (int i = 0; i < 2; i++) {
        OWNED char *id = memory_print("dead-%d", i);
        OWNED char *told = memory_print("%s;", id);
        struct envelope dead = sample(id, KIND_HANDOFF);
        dead.status = "expired";
        put_in(desk, TREE_DEAD_LETTERS, &dead);
        buffer_drop(&desk->over, desk->over.length);
        buffer_text(&desk->over, "");
        *faults[i] = 0;
        assert_true(mail_escalations(desk->mail, note_letter, desk));
        assert_true(mail_unsettled(desk->mail));
        assert_true(mail_again_ms(desk->mail) > 0);
        *faults[i] = -1;
        assert_true(mail_escalations(desk->mail, note_letter, desk));
        assert_false(mail_unsettled(desk->mail));
        assert_non_null(strstr(desk->over.data, told));
    }
}

static void test_a_verdict_about_what_can_not_be_read_waits_for_the_next_commit(void **state)
{
    struct desk *desk = *state;
    struct envelope sent = sample("mine", KIND_HANDOFF);
    sent.from = "orion";
    sent.to = "iris";
    sent.status = "pending";
    put_in(desk, TREE_OUTBOX, &sent);
    mail_verdict(desk->mail, "mine", "refused", "backpressure", then + 9);
    for (int nth = 0; mail_verdicts(desk->mail) > 0; nth++) {
        OWNED_BUFFER struct buffer refused = {0}, note = {0};
        struct change_list changes = {0};
        reads_left = nth == 0 ? 0 : -1;
        mail_verdict_changes(desk->mail, then + 50, &changes, &refused, &note);
        assert_int_equal(changes.count, nth == 0 ? 0 : 2);
        commit_all(desk, nth == 0 ? "first" : "second", 1, &changes);
        mail_verdicts_kept(desk->mail);
        assert_int_equal(mail_verdicts(desk->mail), nth == 0);
    }
    assert_string_equal(shell(desk->scratch, "ls iac/outbox iac/dead-letter"),
                        "iac/dead-letter:\nmine.md\n\niac/outbox:");
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, begin, desk_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_a_listing_that_fails_is_no_empty_folder_and_is_looked_at_again),
        PROMISE(test_what_was_known_stays_and_goes_only_when_it_is_seen_to_have_gone),
        PROMISE(test_nothing_new_is_done_while_something_older_may_be_unseen),
        PROMISE(test_a_folder_that_can_never_be_read_stops_the_others_for_a_while_only),
        PROMISE(test_a_file_that_nobody_may_read_is_told_and_stops_no_other),
        PROMISE(test_what_can_not_be_told_to_be_over_is_not_done),
        PROMISE(test_a_dead_letter_that_can_not_be_read_is_told_of_later),
        PROMISE(test_a_verdict_about_what_can_not_be_read_waits_for_the_next_commit),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
