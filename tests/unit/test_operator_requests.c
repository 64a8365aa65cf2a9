/* The post office: people's changes to the files while it runs, and their requests. */
#include <sysexits.h>

#include "post_office.h"

static void deliver(struct office *office, const char *id)
{
    struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
    OWNED char *line = memory_print("orion verdict %s delivered", id);
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, line));
    office_move(office, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, id);
}

static void test_a_file_that_a_person_puts_there_counts_and_expires_like_any_other(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("by-hand", KIND_HANDOFF, "operator", "iris");
    letter.created -= 10;
    letter.ttl_seconds = 12;
    office_put(office, "iris", FOLDER_HANDOFFS, &letter);
    post_changed(office->post, "iris");
    UNTIL(office, office_said(office, "iris look and wake"));
    assert_int_equal(post_room(office->post, "iris"), 0);
    UNTIL(office, office_said(office, "iris event expired by-hand: it was not read within 12 s"));
    assert_int_equal(post_room(office->post, "iris"), 1);
}

static void test_one_that_a_person_removes_frees_its_place_and_its_sender_is_told(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    struct envelope next = office_letter("h2", KIND_HANDOFF, "orion", "iris");
    office_send(office, &next, "orion");
    UNTIL(office, office_said(office, "orion verdict h2 deferred"));
    assert_true(mailbox_remove(office->data, "iris", FOLDER_HANDOFFS, "h1"));
    post_changed(office->post, "iris");
    UNTIL(office, office_said(office, "orion verdict h2 delivered"));
    assert_true(office_said(office, "iris event removed h1: removed by hand"));
    struct envelope bounce = office_read(office, "orion", FOLDER_INBOX, "h1-bounce");
    assert_string_equal(bounce.reason, "removed by hand");
    envelope_free(&bounce);
}

/* The sender still has the envelope in its outbox, for it archives its copies when it commits next. */
static void test_one_that_a_person_removes_does_not_come_back_out_of_its_senders_outbox(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    for (int told = 0; told < 3; told++) { /* just removed; when its sender was told; after a new start */
        if (told == 0)
            assert_true(mailbox_remove(office->data, "iris", FOLDER_HANDOFFS, "h1"));
        if (told == 1) {
            post_changed(office->post, "iris");
            UNTIL(office, office_said(office, "iris event removed h1: removed by hand"));
        }
        if (told == 2)
            office_again(office);
        office_forget(office);
        post_rings(office->post, "orion", "h1");
        UNTIL(office, office_said(office, "orion verdict h1 delivered"));
        assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "h1"));
    }
    letter.created = clock_now() + 1; /* somebody sends it anew */
    office_put(office, "orion", FOLDER_OUTBOX, &letter);
    post_rings(office->post, "orion", "h1");
    UNTIL(office, office_lies(office, "iris", FOLDER_HANDOFFS, "h1"));
}

static void test_an_editor_that_saves_by_renaming_removes_nothing(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    office_move(office, "iris", FOLDER_HANDOFFS, FOLDER_OUTBOX, "h1"); /* away for a moment */
    post_changed(office->post, "iris");
    office_settle(office);
    office_move(office, "iris", FOLDER_OUTBOX, FOLDER_HANDOFFS, "h1");
    post_changed(office->post, "iris");
    int64_t end = clock_monotonic_ms() + 1500;
    while (clock_monotonic_ms() < end)
        loop_turn(office->loop, 50);
    assert_null(strstr(office->said.data, "removed"));
    assert_int_equal(post_room(office->post, "iris"), 0);
}

static void test_one_that_a_person_moves_to_another_agent_is_that_ones_work(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    office_command("mv %s/agents/iris/iac/handoffs/h1.md %s/agents/nova/iac/handoffs/", office->folder,
                   office->folder);
    post_changed(office->post, "nova");
    post_changed(office->post, "iris");
    UNTIL(office, post_room(office->post, "iris") == 1 && post_room(office->post, "nova") == 15);
    assert_null(strstr(office->said.data, "removed h1"));
    assert_false(office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
}

static void test_an_edit_of_its_time_is_honoured(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    struct envelope edited = office_read(office, "iris", FOLDER_HANDOFFS, "h1");
    edited.created -= 100;
    edited.ttl_seconds = 101;
    office_put(office, "iris", FOLDER_HANDOFFS, &edited);
    envelope_free(&edited);
    post_changed(office->post, "iris");
    UNTIL(office, office_said(office, "iris event expired h1: it was not read within 101 s"));
}

static void test_an_edit_of_one_that_waits_is_what_goes(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    struct envelope next = office_letter("h2", KIND_HANDOFF, "orion", "iris");
    office_send(office, &next, "orion");
    UNTIL(office, office_said(office, "orion verdict h2 deferred"));
    next.body = "Do it otherwise.\n";
    office_put(office, "orion", FOLDER_OUTBOX, &next);
    office_move(office, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h1");
    post_settled(office->post, "iris", "h1", "finished", "");
    UNTIL(office, office_said(office, "orion verdict h2 delivered"));
    struct envelope there = office_read(office, "iris", FOLDER_HANDOFFS, "h2");
    assert_string_equal(there.body, "Do it otherwise.\n");
    envelope_free(&there);
}

static void test_one_that_is_moved_to_dead_letter_by_hand_has_failed_and_is_told(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    office_move(office, "iris", FOLDER_HANDOFFS, FOLDER_DEAD_LETTERS, "h1");
    post_changed(office->post, "iris");
    UNTIL(office, office_said(office, "iris event failed h1: it was made a dead letter by hand"));
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "failed");
    assert_true(office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
}

static void test_a_copy_of_a_dead_letter_never_makes_a_second_one(void **state)
{
    struct office *office = *state;
    struct envelope dead = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    dead.created -= 100;
    dead.ttl_seconds = 10;
    dead.status = "expired";
    dead.finished = clock_now();
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &dead);
    office_put(office, "iris", FOLDER_HANDOFFS, &dead);
    post_changed(office->post, "iris");
    UNTIL(office, !office_lies(office, "iris", FOLDER_HANDOFFS, "h1"));
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
}

static void test_folders_that_are_links_fifos_or_files_harm_nobody(void **state)
{
    struct office *office = *state;
    office_command("cd %s/agents/iris/iac && rm -r inbox handoffs dead-letter outbox && ln -s /etc inbox && "
                   "mkfifo handoffs && touch dead-letter && ln -s /nowhere outbox",
                   office->folder);
    office_again(office);
    post_changed(office->post, "iris");
    post_scan(office->post);
    post_rings(office->post, "iris", "");
    struct post_depths depths;
    assert_true(post_depths(office->post, "iris", &depths));
    assert_int_equal(depths.inbox + depths.handoffs + depths.outbox + depths.dead_letters, 0);
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "nova");
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    office_command("cd %s/agents && mv iris gone && ln -s nova iris", office->folder);
    letter = office_letter("h2", KIND_HANDOFF, "orion", "iris");
    office_send(office, &letter, "orion");
    UNTIL(office, strstr(office->said.data, "orion verdict h2 deferred: "));
    assert_false(office_lies(office, "nova", FOLDER_HANDOFFS, "h2"));
}

/* --- people's requests --- */

static int ask_send(struct office *office, char **id)
{
    struct fault fault;
    office_answer.ticket = 0;
    assert_int_equal(post_send(office->post, "iris", "Hello.", 0, PRIORITY_NORMAL, 7, &fault), EX_OK);
    assert_int_equal(office_answer.ticket, 0); /* never within the call */
    UNTIL(office, office_answer.ticket == 7);
    if (office_answer.exit == EX_OK)
        *id = memory_text(office_answer.id);
    return office_answer.exit;
}

static void test_the_operators_message_lies_there_when_it_is_accepted(void **state)
{
    struct office *office = *state;
    OWNED char *id = NULL;
    office_settle(office);
    assert_int_equal(ask_send(office, &id), EX_OK);
    struct envelope there = office_read(office, "iris", FOLDER_INBOX, id);
    assert_string_equal(there.from, "operator");
    assert_string_equal(there.body, "Hello.");
    envelope_free(&there);
    UNTIL(office, office_said(office, "iris look and wake"));
}

static void test_the_operator_is_deferred_then_refused_and_goes_in_turn(void **state)
{
    struct office *office = *state;
    OWNED char *first = NULL, *second = NULL, *third = NULL, *fourth = NULL;
    office_settle(office);
    assert_int_equal(ask_send(office, &first), EX_OK);
    assert_int_equal(ask_send(office, &second), EX_OK);
    assert_int_equal(ask_send(office, &third), EX_OK);
    assert_int_equal(ask_send(office, &fourth), EX_TEMPFAIL);
    assert_null(fourth);
    assert_true(office_lies(office, "operator", FOLDER_OUTBOX, second));
    office_again(office); /* a restart forgets none of them */
    office_settle(office);
    office_move(office, "iris", FOLDER_INBOX, FOLDER_ARCHIVE, first);
    post_settled(office->post, "iris", first, "read", "");
    UNTIL(office, office_lies(office, "iris", FOLDER_INBOX, second));
    UNTIL(office, !office_lies(office, "operator", FOLDER_OUTBOX, second));
    assert_true(office_lies(office, "operator", FOLDER_OUTBOX, third));
}

static void test_what_cannot_be_sent_is_said_and_leaves_nothing(void **state)
{
    struct office *office = *state;
    struct fault fault;
    OWNED char *huge = memory_new(ENVELOPE_MAX + 1, 1);
    memset(huge, 'x', ENVELOPE_MAX);
    assert_int_equal(post_send(office->post, "nobody", "x", 0, PRIORITY_LOW, 7, &fault), EX_NOINPUT);
    assert_int_equal(post_send(office->post, "operator", "x", 0, PRIORITY_LOW, 7, &fault), EX_NOINPUT);
    assert_int_equal(post_send(office->post, "iris", " \n", 0, PRIORITY_LOW, 7, &fault), EX_DATAERR);
    assert_int_equal(post_send(office->post, "iris", huge, 0, PRIORITY_LOW, 7, &fault), EX_DATAERR);
    assert_int_equal(post_send(office->post, "iris", "\xff", 0, PRIORITY_LOW, 7, &fault), EX_DATAERR);
    assert_int_equal(post_send(office->post, "iris", "x", -1, PRIORITY_LOW, 7, &fault), EX_DATAERR);
    office_command("test \"$(ls %s/agents/iris/iac/inbox)\" = ''", office->folder);
}

static void test_requeue_gives_a_fresh_life_and_a_second_end_is_told_again(void **state)
{
    struct office *office = *state;
    struct fault fault;
    const char *agent = NULL;
    struct envelope dead = office_letter("h1", KIND_HANDOFF, "orion", "iris"),
                    bounce = office_letter("h1-bounce", KIND_BOUNCE, "iris", "orion");
    dead.created = bounce.created = clock_now() - 100;
    dead.ttl_seconds = 1;
    dead.attempts = 2;
    dead.status = "expired";
    dead.reason = "it was not read";
    dead.finished = clock_now() - 50;
    office_put(office, "orion", FOLDER_ARCHIVE, &dead);
    office_put(office, "orion", FOLDER_ARCHIVE, &bounce);
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &dead);
    office_settle(office);
    assert_int_equal(post_requeue(office->post, "h1", &agent, &fault), EX_OK);
    assert_string_equal(agent, "iris");
    assert_int_equal(mailbox_lies(office->data, "iris", "h1"), 1u << FOLDER_HANDOFFS);
    struct envelope live = office_read(office, "iris", FOLDER_HANDOFFS, "h1");
    assert_int_equal(live.attempts, 0);
    assert_true(live.created > dead.created);
    assert_null(live.reason);
    OWNED char *again = memory_print("h1-bounce-%lld", (long long)live.created);
    envelope_free(&live);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
    UNTIL(office, office_lies(office, "orion", FOLDER_INBOX, again));
}

static void test_one_that_is_requeued_within_the_second_of_its_end_is_told_again(void **state)
{
    struct office *office = *state;
    struct fault fault;
    const char *agent = NULL;
    struct envelope sent = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    sent.created = clock_now() - 10;
    sent.ttl_seconds = 1;
    office_put(office, "orion", FOLDER_ARCHIVE, &sent);
    office_put(office, "iris", FOLDER_HANDOFFS, &sent);
    post_changed(office->post, "iris");
    UNTIL(office, office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
    UNTIL(office, office_said(office, "iris event expired h1: it was not read within 1 s"));
    assert_int_equal(post_requeue(office->post, "h1", &agent, &fault), EX_OK);
    struct envelope live = office_read(office, "iris", FOLDER_HANDOFFS, "h1");
    OWNED char *again = memory_print("h1-bounce-%lld", (long long)live.created);
    envelope_free(&live);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
    UNTIL(office, office_lies(office, "orion", FOLDER_INBOX, again));
}

static void test_a_refused_one_that_is_requeued_is_sent_again(void **state)
{
    struct office *office = *state;
    struct fault fault;
    const char *agent;
    struct envelope dead = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    dead.status = "refused";
    dead.reason = "backpressure";
    office_put(office, "orion", FOLDER_DEAD_LETTERS, &dead);
    assert_int_equal(post_requeue(office->post, "h1", &agent, &fault), EX_OK);
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    assert_true(office_lies(office, "iris", FOLDER_HANDOFFS, "h1"));
    assert_false(office_lies(office, "orion", FOLDER_DEAD_LETTERS, "h1"));
}

static void test_a_task_that_is_requeued_stands_in_queue_md_again(void **state)
{
    struct office *office = *state;
    struct fault fault;
    const char *agent;
    struct envelope dead = office_letter("t1", KIND_TASK, "operator", "iris");
    dead.status = "failed";
    dead.body = "Write it.";
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &dead);
    assert_int_equal(post_requeue(office->post, "t1", &agent, &fault), EX_OK);
    office_command("grep -q '^## t1$' %s/agents/iris/queue.md && grep -q 'Write it' %s/agents/iris/queue.md",
                   office->folder, office->folder);
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
}

static void test_purge_takes_a_dead_letter_out_also_an_unreadable_one(void **state)
{
    struct office *office = *state;
    struct fault fault;
    const char *agent;
    office_command("echo junk > %s/agents/iris/iac/dead-letter/d1.md", office->folder);
    assert_int_equal(post_requeue(office->post, "d1", &agent, &fault), EX_DATAERR);
    assert_int_equal(post_purge(office->post, "d1", &agent, &fault), EX_OK);
    assert_string_equal(agent, "iris");
    assert_int_equal(post_purge(office->post, "d1", &agent, &fault), EX_NOINPUT);
    assert_int_equal(post_purge(office->post, "../../queue", &agent, &fault), EX_NOINPUT);
    assert_int_equal(post_purge(office->post, "", &agent, &fault), EX_NOINPUT);
}

/* --- what workers say --- */

static void test_a_worker_that_lies_about_an_end_gains_nothing(void **state)
{
    struct office *office = *state;
    deliver(office, "h1");
    assert_true(post_settled(office->post, "iris", "h1", "finished", "")); /* the envelope lies there still */
    office_settle(office);
    assert_int_equal(post_room(office->post, "iris"), 0);
    assert_true(post_settled(office->post, "iris", "unknown", "finished", ""));
    assert_false(post_settled(office->post, "iris", "../h1", "finished", ""));
    assert_false(post_settled(office->post, "iris", "h1", "conquered", ""));
    assert_true(post_rings(office->post, "iris", "../../x\n\n.\nnothing-there\n"));
    office_settle(office);
}

static void put_many(struct office *office, const char *agent, enum folder folder, int count,
                     const char *status)
{
    OWNED char *path = memory_print("%s/agents/%s/%s", office->folder, agent, mailbox_folder_name(folder));
    OWNED_FD int there = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < count; i++) {
        OWNED char *id = memory_print("x%05d", i);
        OWNED char *file = memory_print("%s.md", id);
        OWNED_BUFFER struct buffer text = {0};
        struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
        letter.status = (char *)status;
        envelope_print(&letter, &text);
        OWNED_FD int fd = openat(there, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(files_write_all(fd, text.data, text.length));
    }
}

static void test_an_inbox_with_thousands_is_taken_in_bit_by_bit(void **state)
{
    struct office *office = *state;
    struct post_pressure pressure;
    put_many(office, "iris", FOLDER_HANDOFFS, 5000, "delivered");
    post_changed(office->post, "iris");
    for (pressure.unfinished = 0; pressure.unfinished == 0;) {
        loop_turn(office->loop, 20);
        post_pressure(office->post, "iris", &pressure);
    }
    assert_true(pressure.unfinished < 5000);
    UNTIL(office, post_pressure(office->post, "iris", &pressure) && pressure.unfinished == 5000);
}

static void test_hundreds_of_dead_letters_are_each_told_once(void **state)
{
    struct office *office = *state;
    struct mailbox_names names = {0};
    put_many(office, "iris", FOLDER_DEAD_LETTERS, 600, "failed");
    put_many(office, "orion", FOLDER_ARCHIVE, 600, "delivered");
    office_again(office);
    for (size_t read = 0; read < 600; read += names.count) {
        UNTIL(office, (mailbox_names_free(&names),
                       mailbox_list(office->data, "orion", FOLDER_INBOX, &names) && names.count > 0));
        for (size_t i = 0; i < names.count; i++) {
            office_move(office, "orion", FOLDER_INBOX, FOLDER_ARCHIVE, names.ids[i]);
            post_settled(office->post, "orion", names.ids[i], "read", "");
        }
    }
    mailbox_names_free(&names);
    assert_int_equal(post_count(office->post, KIND_HANDOFF, "bounced"), 600);
    office_settle(office);
    office_forget(office);
    post_scan(office->post);
    office_settle(office);
    assert_null(strstr(office->said.data ? office->said.data : "", "bounced"));
}

static size_t count_of(const struct office *office, const char *what)
{
    size_t count = 0;
    for (const char *at = office->said.data ? office->said.data : ""; (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* More than a sender may have refused in ten seconds: none of its envelopes is looked at before the next ten seconds,
 * and none is lost. */
static void test_a_worker_that_sends_rubbish_without_end_gets_a_share_of_the_work_and_of_the_log(void **state)
{
    struct office *office = *state;
    office_command("cd %s/agents/iris/iac/outbox && seq -f 'x%%05g.md' 1 300 | xargs touch", office->folder);
    post_rings(office->post, "iris", "");
    UNTIL(office, count_of(office, "verdict x00256 refused"));
    office_settle(office);
    assert_int_equal(count_of(office, "event set_aside"), 256);
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "iris", "orion");
    office_send(office, &letter, "iris");
    UNTIL(office, count_of(office, "verdict h1 delivered"));
    UNTIL(office, count_of(office, "verdict x00300 refused"));
    assert_int_equal(count_of(office, "event set_aside"), 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, office_setup, office_teardown)
        TEST(test_a_file_that_a_person_puts_there_counts_and_expires_like_any_other),
        TEST(test_one_that_a_person_removes_frees_its_place_and_its_sender_is_told),
        TEST(test_one_that_a_person_removes_does_not_come_back_out_of_its_senders_outbox),
        TEST(test_an_editor_that_saves_by_renaming_removes_nothing),
        TEST(test_one_that_a_person_moves_to_another_agent_is_that_ones_work),
        TEST(test_an_edit_of_its_time_is_honoured),
        TEST(test_an_edit_of_one_that_waits_is_what_goes),
        TEST(test_one_that_is_moved_to_dead_letter_by_hand_has_failed_and_is_told),
        TEST(test_a_copy_of_a_dead_letter_never_makes_a_second_one),
        TEST(test_folders_that_are_links_fifos_or_files_harm_nobody),
        TEST(test_the_operators_message_lies_there_when_it_is_accepted),
        TEST(test_the_operator_is_deferred_then_refused_and_goes_in_turn),
        TEST(test_what_cannot_be_sent_is_said_and_leaves_nothing),
        TEST(test_requeue_gives_a_fresh_life_and_a_second_end_is_told_again),
        TEST(test_one_that_is_requeued_within_the_second_of_its_end_is_told_again),
        TEST(test_a_refused_one_that_is_requeued_is_sent_again),
        TEST(test_a_task_that_is_requeued_stands_in_queue_md_again),
        TEST(test_purge_takes_a_dead_letter_out_also_an_unreadable_one),
        TEST(test_a_worker_that_lies_about_an_end_gains_nothing),
        TEST(test_an_inbox_with_thousands_is_taken_in_bit_by_bit),
        TEST(test_hundreds_of_dead_letters_are_each_told_once),
        TEST(test_a_worker_that_sends_rubbish_without_end_gets_a_share_of_the_work_and_of_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
