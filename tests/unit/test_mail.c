/* Envelopes in iac/inbox and iac/handoffs: taken in hand, put back, ended; people and the supervisor interfere. */
#include "tests/unit/mail_fixture.h"

static bool skips(void *context, const struct letter *letter)
{
    return context && *(const uint64_t *)context == letter->hash;
}

static const char *next(struct desk *desk, int64_t now)
{
    const struct letter *letter = mail_next(desk->mail, now, skips, NULL);
    return letter ? letter->head.id : "";
}

static struct opened_envelope take(struct desk *desk, const char *id)
{
    struct opened_envelope opened;
    const struct letter *letter = mail_find(desk->mail, id);
    assert_non_null(letter);
    assert_int_equal(mail_begin(desk->mail, letter, then + 5, true, &opened, NULL), 1);
    return opened;
}

/* --- choosing --- */

static void test_priority_comes_before_age_and_age_before_the_id(void **state)
{
    struct desk *desk = *state;
    struct envelope a = sample("a", KIND_HANDOFF), b = sample("b", KIND_MESSAGE), c = sample("c", KIND_ITEM);
    struct envelope d = sample("d", KIND_RESULT), e = sample("e", KIND_HANDOFF);
    a.created += 10;
    c.priority = PRIORITY_HIGH;
    d.priority = PRIORITY_HIGH;
    e.priority = PRIORITY_LOW;
    e.created -= 100;
    put(desk, &a), put(desk, &b), put(desk, &c), put(desk, &d), put(desk, &e);
    static const char *const order[] = {"c", "b", "a", "e", ""};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        look(desk);
        assert_string_equal(next(desk, then), order[i]);
        OWNED char *command = memory_print("rm -f iac/*/%s.md", *order[i] ? order[i] : "none");
        shell(desk->scratch, command);
    }
    assert_int_equal(letters_in(desk, MAIL_INBOX), 1);
}

static void test_what_has_expired_is_left_alone_but_what_was_begun_in_time_is_done(void **state)
{
    struct desk *desk = *state;
    struct envelope late = sample("late", KIND_HANDOFF), begun = sample("begun", KIND_HANDOFF);
    late.ttl_seconds = begun.ttl_seconds = 10;
    begun.status = "reading";
    put(desk, &late), put(desk, &begun);
    look(desk);
    assert_string_equal(next(desk, then + 9), "begun");
    assert_string_equal(next(desk, then + 10), "begun");
    uint64_t skipped = mail_find(desk->mail, "begun")->hash;
    assert_null(mail_next(desk->mail, then + 10, skips, &skipped));
    assert_non_null(mail_next(desk->mail, then + 9, skips, &skipped));
    struct opened_envelope opened;
    assert_int_equal(mail_begin(desk->mail, mail_find(desk->mail, "late"), then + 10, true, &opened, NULL),
                     0);
}

/* --- what is no envelope --- */

static void test_what_is_no_envelope_is_set_aside_said_and_stops_nothing(void **state)
{
    struct desk *desk = *state;
    struct envelope good = sample("good", KIND_HANDOFF), other = sample("other", KIND_HANDOFF);
    put(desk, &good), put(desk, &other);
    shell(desk->scratch, "cd iac/handoffs; mv other.md renamed.md; printf -- '---\\nid: torn\\nkind: "
                         "handoff\\n---\\nx' > torn.md; mkfifo pipe.md; "
                         "ln -s /etc/passwd link.md; mkdir folder.md; truncate -s 300K large.md; "
                         "printf '\\377\\376' > binary.md; touch .hidden.md note.txt draft.md~");
    look(desk);
    assert_string_equal(next(desk, then), "good");
    assert_int_equal(letters_in(desk, MAIL_HANDOFFS), 1);
    assert_string_equal(
        shell(desk->scratch, "cd iac/handoffs; ls -A | sed 's/unreadable-.*/unreadable/' | sort"),
        ".hidden.md\nbinary.md.unreadable\ndraft.md~\nfolder.md.unreadable\ngood.md\nlarge.md."
        "unreadable\nlink.md.unreadable\nnote.txt\npipe.md.unreadable\nrenamed.md.unreadable\ntorn."
        "md.unreadable");
    OWNED char *first = memory_text(desk->problems.data);
    assert_non_null(strstr(first, "iac/handoffs/torn.md.unreadable-"));
    assert_non_null(strstr(first, " was set aside because it is no envelope ("));
    assert_non_null(strstr(first, "iac/handoffs/note.txt is no envelope"));
    look(desk); /* still said while they lie there */
    assert_non_null(strstr(desk->problems.data, "iac/handoffs/pipe.md.unreadable-"));
    shell(desk->scratch, "rm -r iac/handoffs/*.unreadable-* iac/handoffs/note.txt");
    look(desk);
    assert_int_equal(desk->problems.length, 0);
}

/* The same words at every look, so that status says them once. */
static void test_a_text_that_is_too_large_or_blank_is_told_so_at_each_look(void **state)
{
    struct desk *desk = *state;
    static const char *const says[] = {"(it has 262145 bytes, an envelope at most 262144)",
                                       "(it has 300000 bytes, an envelope at most 262144)",
                                       "(it has no text)", "(iac/handoffs/kind.md:3:7: 'kind' must be",
                                       "(iac/handoffs/other.md has the id another, which is not its name)"};
    shell(desk->scratch,
          "cd iac/handoffs; head -c 262145 /dev/zero | tr '\\0' x >over.md; head -c 300000 /dev/zero | "
          "tr '\\0' x >far-over.md; printf ' \\n\\n' >blank.md; "
          "printf -- '---\\nid: kind\\nkind: letter\\n---\\nx\\n' >kind.md; "
          "printf -- '---\\nid: another\\nkind: handoff\\nfrom: iris\\nto: orion\\n"
          "created: 2026-04-29T10:05:00Z\\n---\\nx\\n' >other.md");
    for (int looks = 0; looks < 2; looks++) {
        look(desk);
        for (size_t i = 0; i < sizeof says / sizeof *says; i++)
            if (!strstr(desk->problems.data, says[i]))
                fail_msg("look %d, without %s: %s", looks, says[i], desk->problems.data);
    }
    assert_int_equal(desk->mail->count, 0);
}

static void test_a_persons_plain_text_is_work_from_the_operator_done_once(void **state)
{
    struct desk *desk = *state;
    shell(desk->scratch, "printf 'Look at this' > iac/handoffs/note.md; touch iac/handoffs/empty.md;"
                         "printf -- '---\npriority: high\n---\nAnd this\n' > 'iac/handoffs/with blanks.md'; "
                         "echo tmp > iac/handoffs/x.md.tmp; echo a > iac/handoffs/x.sync-conflict-1.md");
    look(desk);
    assert_int_equal(letters_in(desk, MAIL_HANDOFFS), 2);
    OWNED char *note = memory_text(shell(desk->scratch, "cat iac/handoffs/note.md"));
    assert_non_null(strstr(note, "id: note\nkind: handoff\nfrom: operator\n"));
    assert_non_null(strstr(note, "\n---\nLook at this"));
    assert_string_equal(
        shell(desk->scratch, "grep -l 'priority: high' iac/handoffs/with-blanks-*.md | wc -l"), "1");
    assert_string_equal(shell(desk->scratch, "ls iac/handoffs | grep -c unreadable || true"), "0");
    assert_non_null(strstr(desk->problems.data, "x.sync-conflict-1.md"));
    look(desk);
    assert_int_equal(letters_in(desk, MAIL_HANDOFFS), 2);
}

static void test_a_file_that_somebody_still_writes_is_waited_for(void **state)
{
    struct desk *desk = *state;
    struct envelope letter = sample("a", KIND_HANDOFF);
    put(desk, &letter);
    int writer = openat(desk->scratch->tree, "iac/handoffs/a.md", O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(writer, "no", 2), 2);
    look(desk);
    assert_true(mail_unsettled(desk->mail));
    assert_string_equal(next(desk, then), "");
    assert_int_equal(pwrite(writer, "--", 2, 0), 2);
    close(writer);
    look(desk);
    assert_false(mail_unsettled(desk->mail));
    assert_string_equal(next(desk, then), "a");
}

static void test_folders_that_are_gone_or_links_are_no_way_out(void **state)
{
    struct desk *desk = *state;
    shell(desk->scratch, "rmdir iac/inbox iac/handoffs; ln -s /tmp iac/handoffs");
    look(desk);
    assert_string_equal(next(desk, then), "");
    assert_non_null(strstr(desk->problems.data, "iac/handoffs"));
    assert_string_equal(shell(desk->scratch, "test -d iac/inbox && echo made"), "made");
}

/* --- in hand --- */

static void test_the_attempt_stands_in_the_file_before_it_begins_and_is_taken_back(void **state)
{
    struct desk *desk = *state;
    struct envelope letter = sample("a", KIND_HANDOFF);
    put(desk, &letter);
    look(desk);
    struct opened_envelope opened = take(desk, "a");
    assert_string_equal(
        shell(desk->scratch, "grep -E '^(status|attempts|read):' iac/handoffs/a.md | tr '\\n' ' '"),
        "status: reading attempts: 1 read: 2027-01-15T08:00:05Z ");
    mail_put_back(desk->mail, &opened);
    assert_string_equal(
        shell(desk->scratch, "grep -E '^(status|attempts|read):' iac/handoffs/a.md | tr '\\n' ' '"),
        "status: delivered attempts: 0 ");
    assert_string_equal(shell(desk->scratch, "ls .agentos | grep reading"), "");
    opened_envelope_free(&opened);
}

static void test_what_the_supervisor_took_away_first_is_not_our_work(void **state)
{
    struct desk *desk = *state;
    struct envelope letter = sample("a", KIND_HANDOFF);
    struct opened_envelope opened;
    put(desk, &letter);
    look(desk);
    shell(desk->scratch, "mv iac/handoffs/a.md iac/dead-letter/");
    assert_int_equal(mail_begin(desk->mail, mail_find(desk->mail, "a"), then, true, &opened, NULL), 0);
    assert_string_equal(shell(desk->scratch, "ls iac/handoffs .agentos | grep -E 'a.md|reading'"), "");
}

static void test_an_edit_before_reading_is_honoured(void **state)
{
    struct desk *desk = *state;
    struct envelope letter = sample("a", KIND_HANDOFF);
    put(desk, &letter);
    look(desk);
    shell(desk->scratch, "sed -i 's/Do it/Do it well/' iac/handoffs/a.md");
    struct opened_envelope opened = take(desk, "a");
    assert_string_equal(opened.envelope.body, "Do it well.\n");
    assert_true(mail_is_there(desk->mail, &opened));
    shell(desk->scratch, "rm iac/handoffs/a.md");
    assert_false(mail_is_there(desk->mail, &opened));
    mail_put_back(desk->mail, &opened); /* no envelope to put back, no file made */
    assert_string_equal(shell(desk->scratch, "ls iac/handoffs"), "");
    opened_envelope_free(&opened);
}

/* --- ends --- */

static void test_the_archive_tells_the_whole_story_and_the_file_is_gone(void **state)
{
    struct desk *desk = *state;
    struct envelope letter = sample("a", KIND_HANDOFF);
    struct change_list changes = {0};
    put(desk, &letter);
    look(desk);
    struct opened_envelope opened = take(desk, "a");
    mail_archive(desk->mail, &opened, "finished", then + 9, "\n# Answer\n\nDone.\n", &changes);
    commit_all(desk, "a", opened.hash, &changes);
    assert_string_equal(
        shell(desk->scratch, "cat iac/archive/a.md; ls iac/handoffs"),
        "---\nid: a\nkind: handoff\nfrom: iris\nto: orion\ncreated: 2027-01-15T08:00:00Z\nttl_seconds: "
        "0\npriority: normal\nstatus: finished\nattempts: 1\nhops: 1\ntrace: t\nread: "
        "2027-01-15T08:00:05Z\nfinished: 2027-01-15T08:00:09Z\n---\nDo it.\n\n# Answer\n\nDone.");
    assert_string_equal(shell(desk->scratch, "git status --porcelain; git ls-files"), "iac/archive/a.md");
    opened_envelope_free(&opened);
}

static void test_a_second_delivery_of_what_is_done_is_removed_and_said(void **state)
{
    struct desk *desk = *state;
    struct envelope work = sample("a", KIND_HANDOFF), message = sample("m", KIND_MESSAGE);
    struct change_list changes = {0};
    put(desk, &work), put(desk, &message);
    look(desk);
    struct opened_envelope opened = take(desk, "a"), other;
    assert_int_equal(mail_read(desk->mail, mail_find(desk->mail, "m"), &other, NULL), 1);
    mail_archive(desk->mail, &opened, "finished", then, "", &changes);
    mail_archive(desk->mail, &other, "read", then, "", &changes);
    commit_all(desk, "a", opened.hash, &changes);
    put(desk, &work), put(desk, &message);
    shell(desk->scratch, "rm iac/archive/a.md"); /* the ledger alone knows it then */
    look(desk);
    assert_string_equal(next(desk, then), "");
    assert_string_equal(desk->over.data, "m read;a finished in a commit;");
    assert_string_equal(shell(desk->scratch, "ls iac/handoffs iac/inbox"), "iac/handoffs:\n\niac/inbox:");
    work.created++; /* put on its way again: another life */
    put(desk, &work);
    look(desk);
    assert_string_equal(next(desk, then + 1), "a");
    opened_envelope_free(&opened);
    opened_envelope_free(&other);
}

static void test_a_story_too_long_for_an_envelope_is_cut_and_says_so(void **state)
{
    struct desk *desk = *state;
    struct envelope letter = sample("a", KIND_HANDOFF);
    struct change_list changes = {0};
    struct envelope back;
    OWNED char *large = memory_new(ENVELOPE_MAX, 1);
    memset(large, 'x', 200 * 1024);
    letter.body = large;
    put(desk, &letter);
    look(desk);
    struct opened_envelope opened = take(desk, "a");
    mail_archive(desk->mail, &opened, "finished", then, large, &changes);
    assert_in_range(changes.items[0].length, ENVELOPE_MAX - 64, ENVELOPE_MAX);
    assert_true(envelope_parse(&back, changes.items[0].text, changes.items[0].length, "a", NULL));
    assert_non_null(strstr(back.body, "cut here"));
    assert_int_equal(back.body[200 * 1024], '\n');
    envelope_free(&back);
    change_list_free(&changes);
    opened_envelope_free(&opened);
}

/* --- dead letters of the supervisor's --- */

static void test_a_dead_letter_is_told_of_once_and_only_when_it_is_final(void **state)
{
    struct desk *desk = *state;
    struct envelope expired = sample("a", KIND_HANDOFF), half = sample("b", KIND_HANDOFF);
    struct envelope task = sample("c", KIND_TASK), refused = sample("d", KIND_MESSAGE);
    expired.status = task.status = "expired";
    refused.status = "refused";
    put_in(desk, TREE_DEAD_LETTERS, &expired), put_in(desk, TREE_DEAD_LETTERS, &half);
    put_in(desk, TREE_DEAD_LETTERS, &task), put_in(desk, TREE_DEAD_LETTERS, &refused);
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    assert_string_equal(desk->over.data, "a;");
    half.status = "failed";
    put_in(desk, TREE_DEAD_LETTERS, &half);
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    assert_string_equal(desk->over.data, "a;b;");
    mail_close(desk->mail); /* and not again at the next start */
    desk->mail = mail_open(desk->scratch->tree, "orion", desk->scratch->history);
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    assert_string_equal(desk->over.data, "a;b;");
    expired.created++; /* the envelope expires in its second life */
    put_in(desk, TREE_DEAD_LETTERS, &expired);
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    assert_string_equal(desk->over.data, "a;b;a;");
}

static void test_a_dead_letter_that_people_took_away_leaves_git_too(void **state)
{
    struct desk *desk = *state;
    struct envelope expired = sample("a", KIND_HANDOFF);
    struct change_list changes = {0};
    expired.status = "expired";
    put_in(desk, TREE_DEAD_LETTERS, &expired);
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    shell(desk->scratch, "rm iac/dead-letter/a.md");
    assert_true(mail_escalations(desk->mail, note_letter, desk));
    mail_gone_letters(desk->mail, &changes);
    assert_int_equal(changes.count, 1);
    commit_all(desk, NULL, 0, &changes);
    assert_string_equal(shell(desk->scratch, "git status --porcelain; git ls-files"), "");
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, desk_begin, desk_end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_priority_comes_before_age_and_age_before_the_id),
        PROMISE(test_what_has_expired_is_left_alone_but_what_was_begun_in_time_is_done),
        PROMISE(test_what_is_no_envelope_is_set_aside_said_and_stops_nothing),
        PROMISE(test_a_text_that_is_too_large_or_blank_is_told_so_at_each_look),
        PROMISE(test_a_persons_plain_text_is_work_from_the_operator_done_once),
        PROMISE(test_a_file_that_somebody_still_writes_is_waited_for),
        PROMISE(test_folders_that_are_gone_or_links_are_no_way_out),
        PROMISE(test_the_attempt_stands_in_the_file_before_it_begins_and_is_taken_back),
        PROMISE(test_what_the_supervisor_took_away_first_is_not_our_work),
        PROMISE(test_an_edit_before_reading_is_honoured),
        PROMISE(test_the_archive_tells_the_whole_story_and_the_file_is_gone),
        PROMISE(test_a_second_delivery_of_what_is_done_is_removed_and_said),
        PROMISE(test_a_story_too_long_for_an_envelope_is_cut_and_says_so),
        PROMISE(test_a_dead_letter_is_told_of_once_and_only_when_it_is_final),
        PROMISE(test_a_dead_letter_that_people_took_away_leaves_git_too),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
