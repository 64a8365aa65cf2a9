/* The post office: acceptance, windows, order, refusals. Promises 1 to 4, 6 and 7 of contract section 9. */
#include "post_office.h"

#include "common/journal.h"

static void test_an_envelope_is_on_disk_at_its_receiver_before_its_sender_is_told(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    struct envelope there = office_read(office, "iris", FOLDER_HANDOFFS, "h1");
    assert_string_equal(there.status, "delivered");
    assert_true(there.delivered >= letter.created);
    assert_string_equal(there.body, letter.body);
    envelope_free(&there);
    assert_true(office_said(office, "iris look and wake"));
    assert_true(office_lies(office, "orion", FOLDER_OUTBOX, "h1")); /* its sender's own to archive */
    assert_true(strstr(office->said.data, "verdict h1") < strstr(office->said.data, "iris look"));
}

static void test_from_is_who_sends_whatever_the_file_says(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("m1", KIND_MESSAGE, "nova", "iris");
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict m1 delivered"));
    struct envelope there = office_read(office, "iris", FOLDER_INBOX, "m1");
    assert_string_equal(there.from, "orion");
    envelope_free(&there);
}

static void send_many(struct office *office, const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        OWNED char *id = memory_print("%s%d", prefix, i);
        struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
        letter.created = clock_now() - 100 + i;
        office_put(office, "orion", FOLDER_OUTBOX, &letter);
    }
    post_rings(office->post, "orion", "");
}

static void test_past_the_window_they_are_deferred_and_past_the_backlog_refused(void **state)
{
    struct office *office = *state;
    send_many(office, "h", 5);
    UNTIL(office, office_said(office, "orion verdict h4 refused: backpressure"));
    assert_true(office_said(office, "orion verdict h0 delivered"));
    assert_true(office_said(office, "orion verdict h1 deferred"));
    assert_true(office_said(office, "orion verdict h2 deferred"));
    assert_true(office_said(office, "orion verdict h3 refused: backpressure"));
    struct post_pressure pressure;
    assert_true(post_pressure(office->post, "iris", &pressure));
    assert_int_equal(pressure.window, 1);
    assert_int_equal(pressure.unfinished, 1);
    assert_int_equal(pressure.backlog, 2);
    assert_int_equal(pressure.deferred, 2);
    assert_string_equal(post_pressure_word(&pressure), "full");
}

static void finish(struct office *office, const char *id)
{
    office_move(office, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, id);
    assert_true(post_settled(office->post, "iris", id, "finished", "0123abc"));
}

/* The sender's worker may be committing the refusal at that moment: an envelope let in now would end twice. */
static void test_what_was_refused_stays_so_whatever_room_there_is_when_it_is_asked_about_again(void **state)
{
    struct office *office = *state;
    send_many(office, "h", 4);
    UNTIL(office, office_said(office, "orion verdict h3 refused: backpressure"));
    for (int i = 0; i < 3; i++) {
        OWNED char *id = memory_print("h%d", i);
        UNTIL(office, office_lies(office, "iris", FOLDER_HANDOFFS, id));
        finish(office, id);
    }
    office_forget(office);
    post_rings(office->post, "orion", "");
    UNTIL(office, office_said(office, "orion verdict h3 refused: backpressure"));
    post_rings(office->post, "orion", "h3");
    office_settle(office);
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "h3"));

    struct envelope altered = office_letter("h3", KIND_HANDOFF, "orion", "iris");
    altered.body = "Do it another way.\n";
    office_put(office, "orion", FOLDER_OUTBOX, &altered);
    post_rings(office->post, "orion", "h3");
    UNTIL(office, office_said(office, "orion verdict h3 delivered"));
}

/* The envelope there may have been refused by that very commit. */
static void test_an_outbox_is_decided_on_when_its_agents_commits_are_at_their_end(void **state)
{
    struct office *office = *state;
    OWNED char *path = memory_print("agents/orion");
    OWNED_FD int tree = files_open(office->data, path, O_RDONLY | O_DIRECTORY, 0);
    assert_int_equal(mkdirat(tree, ".agentos", 0755), 0);
    struct journal *journal = journal_open(tree, NULL, NULL);
    assert_true(journal_append(journal, "a commit", 8, NULL));
    journal_close(journal);
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_put(office, "orion", FOLDER_OUTBOX, &letter);
    office_again(office);
    office_settle(office);
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "h1"));

    assert_int_equal(unlinkat(tree, ".agentos/journal", 0), 0);
    post_worker_ready(office->post, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
}

static void test_what_was_deferred_goes_in_its_order_as_soon_as_there_is_room(void **state)
{
    struct office *office = *state;
    send_many(office, "h", 3);
    UNTIL(office, office_said(office, "orion verdict h2 deferred"));
    office_forget(office);
    struct envelope urgent = office_letter("later", KIND_HANDOFF, "orion", "iris");
    urgent.priority = PRIORITY_HIGH;
    finish(office, "h0");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "h2"));
    office_send(office, &urgent, "orion"); /* a higher priority overtakes, the same one never */
    UNTIL(office, office_said(office, "orion verdict later deferred"));
    finish(office, "h1");
    UNTIL(office, office_said(office, "orion verdict later delivered"));
    finish(office, "later");
    UNTIL(office, office_said(office, "orion verdict h2 delivered"));
}

static void test_a_newcomer_never_overtakes_one_that_waits(void **state)
{
    struct office *office = *state;
    send_many(office, "h", 2);
    UNTIL(office, office_said(office, "orion verdict h1 deferred"));
    struct envelope newer = office_letter("newer", KIND_HANDOFF, "orion", "iris");
    office_move(office, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h0");
    office_send(office, &newer, "orion");
    post_settled(office->post, "iris", "h0", "finished", "");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    UNTIL(office, office_said(office, "orion verdict newer deferred"));
}

static void test_results_need_no_room_and_no_permission(void **state)
{
    struct office *office = *state;
    struct envelope asked = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_send(office, &asked, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    office_move(office, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "h1");
    for (int i = 0; i < 5; i++) { /* orion's window is medium: 4 */
        OWNED char *id = memory_print("m%d", i);
        struct envelope filler = office_letter(id, KIND_MESSAGE, "nova", "orion");
        office_send(office, &filler, "nova");
    }
    UNTIL(office, office_said(office, "nova verdict m4 deferred"));
    office->roster->agents[1].may_send_to_all = false;
    struct envelope answer = office_letter("r1", KIND_RESULT, "iris", "orion");
    answer.in_reply_to = "h1";
    answer.hops = 17;
    office_send(office, &answer, "iris");
    UNTIL(office, office_said(office, "iris verdict r1 delivered"));
    assert_true(office_said(office, "orion look")); /* and wakes nobody */
    struct envelope forged = office_letter("r2", KIND_RESULT, "iris", "orion");
    forged.in_reply_to = "never-sent";
    office_send(office, &forged, "iris");
    UNTIL(office,
          strstr(office->said.data, "iris verdict r2 refused: orion has not asked iris for never-sent"));
}

static void answer_with(struct office *office, const char *from, const char *id, const char *verdict)
{
    struct envelope answer = office_letter(id, KIND_RESULT, from, "orion");
    OWNED char *line = memory_print("%s verdict %s %s", from, id, verdict);
    answer.in_reply_to = "h1";
    answer.trace = "another";
    answer.hops = 9;
    office_send(office, &answer, from);
    UNTIL(office, strstr(office->said.data ? office->said.data : "", line));
}

static void test_a_request_is_answered_once_and_by_whom_it_went_to(void **state)
{
    struct office *office = *state;
    struct envelope asked = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_send(office, &asked, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    office_move(office, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "h1");
    answer_with(office, "nova", "r0", "refused: orion has not asked nova for h1");
    answer_with(office, "iris", "r1", "delivered");
    answer_with(office, "iris", "r2", "refused: h1 of orion is answered already");
    struct envelope result;
    assert_int_equal(mailbox_read(office->data, "orion", FOLDER_INBOX, "r1", &result, NULL, NULL),
                     MAILBOX_READ);
    assert_string_equal(result.trace, asked.trace);
    assert_int_equal(result.hops, asked.hops + 1);
    envelope_free(&result);
    office_move(office, "orion", FOLDER_INBOX, FOLDER_ARCHIVE, "r1");
    office_again(office); /* the next supervisor knows it, too */
    answer_with(office, "iris", "r3", "refused: h1 of orion is answered already");
    office_move(office, "orion", FOLDER_ARCHIVE, FOLDER_INBOX, "r1");
    answer_with(office, "iris", "r1", "delivered"); /* the same result again */
}

static void assert_route(struct office *office, const char *id, const char *trace, int64_t hops)
{
    UNTIL(office, office_lies(office, "nova", FOLDER_HANDOFFS, id));
    struct envelope there = office_read(office, "nova", FOLDER_HANDOFFS, id);
    assert_string_equal(there.trace, trace);
    assert_int_equal(there.hops, hops);
    assert_true(there.created >= clock_now() - 120 && there.created <= clock_now() + 1);
    envelope_free(&there);
}

static void claim(struct office *office, const char *id, const char *trace, int64_t hops, int64_t created)
{
    struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "nova");
    letter.trace = (char *)trace;
    letter.hops = hops;
    letter.created = created;
    office_send(office, &letter, "orion");
}

static void test_trace_hops_and_created_are_set_by_what_the_sender_works_at_whatever_it_writes(void **state)
{
    struct office *office = *state;
    struct envelope given = office_letter("h1", KIND_HANDOFF, "iris", "orion");
    given.trace = "root";
    given.hops = 3;
    office_send(office, &given, "iris");
    UNTIL(office, office_said(office, "iris verdict h1 delivered"));
    post_worker_starts(office->post, "orion");
    post_worker_ready(office->post, "orion");
    office_settle(office);
    claim(office, "f0", "mine", 0, 1); /* no work is in hand: the envelope is its own beginning */
    assert_route(office, "f0", "f0", 1);
    post_works_at(office->post, "orion", "h1");
    claim(office, "f1", "fresh", 0, 1);
    assert_route(office, "f1", "root", 4);
    claim(office, "f2", "root", 7, clock_now() + 1000); /* the agent has read a message that came far */
    assert_route(office, "f2", "root", 7);
    struct envelope forged = office_read(office, "orion", FOLDER_HANDOFFS, "h1");
    forged.hops = 0;
    office_put(office, "orion", FOLDER_HANDOFFS, &forged); /* in its own tree */
    envelope_free(&forged);
    post_changed(office->post, "orion");
    office_settle(office);
    office_move(office, "orion", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h1");
    assert_true(post_settled(office->post, "orion", "h1", "finished", "0123abc"));
    post_works_at(office->post, "orion", "task-1");
    claim(office, "f3", "root", 1, clock_now()); /* of the commit before, decided on now */
    assert_route(office, "f3", "root", 4);
    claim(office, "f4", "fresh", 0, 1);
    assert_route(office, "f4", "task-1", 1);
}

static void test_what_waits_keeps_its_hops_whatever_its_sender_writes_there_meanwhile(void **state)
{
    struct office *office = *state;
    post_worker_starts(office->post, "orion");
    post_worker_ready(office->post, "orion");
    post_works_at(office->post, "orion", "task-1");
    office_settle(office);
    send_many(office, "h", 2);
    UNTIL(office, office_said(office, "orion verdict h1 deferred"));
    struct envelope forged = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    forged.hops = 0;
    forged.created = 1;
    forged.trace = "forged";
    office_put(office, "orion", FOLDER_OUTBOX, &forged);
    finish(office, "h0");
    UNTIL(office, office_lies(office, "iris", FOLDER_HANDOFFS, "h1"));
    struct envelope there = office_read(office, "iris", FOLDER_HANDOFFS, "h1");
    assert_string_equal(there.trace, "task-1");
    assert_int_equal(there.hops, 1);
    assert_true(there.created > 1);
    envelope_free(&there);
}

/* As many files in a moment, which no test of a flush needs. */
static void lay(const struct office *office, const char *agent, const char *folder,
                const struct envelope *envelope)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = memory_print("agents/%s/iac/%s/%s.md", agent, folder, envelope->id);
    envelope_print(envelope, &text);
    assert_true(files_write(office->data, path, text.data, text.length, false, NULL));
}

static void test_of_a_flood_of_results_as_many_as_the_backlog_lie_unread_and_the_rest_waits(void **state)
{
    enum { FLOOD = 3000, BACKLOG = 32 };
    struct office *office = *state;
    for (int i = 0; i < FLOOD; i++) {
        OWNED char *id = memory_print("h%d", i), *name = memory_print("r%d", i);
        struct envelope asked = office_letter(id, KIND_HANDOFF, "orion", "iris");
        struct envelope answer = office_letter(name, KIND_RESULT, "iris", "orion");
        answer.in_reply_to = id;
        lay(office, "orion", "archive", &asked);
        lay(office, "iris", "outbox", &answer);
    }
    post_rings(office->post, "iris", "");
    size_t read = 0;
    while (read < FLOOD) {
        size_t due = FLOOD - read < BACKLOG ? FLOOD - read : BACKLOG;
        struct mailbox_names there = {0};
        UNTIL(office, (mailbox_names_free(&there),
                       mailbox_list(office->data, "orion", FOLDER_INBOX, &there) && there.count >= due));
        assert_int_equal(there.count, due);
        mailbox_names_free(&there);
        if (read == 0)
            UNTIL(office, office_said(office, "orion look and wake, full"));
        read += office_reads_all(office, "orion");
    }
    struct post_pressure pressure;
    assert_true(post_pressure(office->post, "orion", &pressure));
    assert_int_equal(pressure.unfinished, 0); /* the bounces took no place in the window */
}

static void refused(struct office *office, struct envelope letter, const char *reason)
{
    OWNED char *line = memory_print("orion verdict %s refused: %s", letter.id, reason);
    office_send(office, &letter, "orion");
    UNTIL(office, strstr(office->said.data ? office->said.data : "", line));
}

static void test_what_may_not_travel_is_refused_with_its_reason(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("a1", KIND_HANDOFF, "orion", "nobody");
    refused(office, letter, "there is no agent 'nobody'");
    letter = office_letter("a2", KIND_HANDOFF, "orion", "iris");
    letter.hops = 17;
    refused(office, letter, "it has gone through 17 hops; at most 16 are allowed");
    letter = office_letter("a3", KIND_BOUNCE, "orion", "iris");
    refused(office, letter, "a bounce is not sent by agents");
    letter = office_letter("a4", KIND_ITEM, "orion", "queue:nowhere");
    refused(office, letter, "there is no queue 'nowhere'");
    letter = office_letter("a5", KIND_SEGMENT, "orion", "segment:glossary");
    refused(office, letter, "there are no segments here");
    letter = office_letter("a6", KIND_HANDOFF, "orion", "queue:reviews");
    refused(office, letter, "queue:reviews takes no handoff");
    letter = office_letter("a7", KIND_MESSAGE, "orion", "operator");
    refused(office, letter, "there is no agent 'operator'");
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "a2"));
}

static void test_what_is_no_envelope_is_said_and_stops_nothing(void **state)
{
    struct office *office = *state;
    OWNED char *huge = memory_new(ENVELOPE_MAX + 1, 1);
    memset(huge, 'x', ENVELOPE_MAX);
    office_command("cd %s/agents/orion/iac/outbox && echo junk > junk.md && mkfifo fifo.md && "
                   "ln -s /etc/passwd link.md && mkdir folder.md && head -c 300000 /dev/zero > big.md && "
                   "printf 'x' > '..md' && printf 'x' > ' a b.md'",
                   office->folder);
    struct envelope wrong = office_letter("other", KIND_HANDOFF, "orion", "iris"),
                    good = office_letter("good", KIND_HANDOFF, "orion", "iris");
    office_put(office, "orion", FOLDER_OUTBOX, &wrong);
    office_command("mv %s/agents/orion/iac/outbox/other.md %s/agents/orion/iac/outbox/wrong.md",
                   office->folder, office->folder);
    office_put(office, "orion", FOLDER_OUTBOX, &good);
    post_rings(office->post, "orion", "");
    UNTIL(office, office_said(office, "orion verdict good delivered"));
    UNTIL(office, strstr(office->said.data, "verdict wrong refused"));
    assert_non_null(strstr(office->said.data, "verdict junk refused"));
    assert_non_null(strstr(office->said.data, "verdict fifo refused"));
    assert_non_null(strstr(office->said.data, "verdict link refused"));
    assert_non_null(strstr(office->said.data, "verdict folder refused"));
    assert_non_null(strstr(office->said.data, "300000 bytes, an envelope at most 262144"));
    assert_non_null(strstr(office->said.data, "its id is 'other' and not its file's name"));
}

static void test_a_repeated_ring_delivers_nothing_twice(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    static const enum folder folders[] = {FOLDER_HANDOFFS, FOLDER_ARCHIVE, FOLDER_DEAD_LETTERS};
    for (size_t i = 0; i < 3; i++) {
        if (i)
            office_move(office, "iris", folders[i - 1], folders[i], "h1");
        office_again(office); /* also when nothing is remembered */
        post_rings(office->post, "orion", "h1");
        UNTIL(office, office_said(office, "orion verdict h1 delivered"));
        assert_int_equal(mailbox_lies(office->data, "iris", "h1"), 1u << folders[i]);
    }
}

static void test_an_id_that_somebody_else_used_is_refused(void **state)
{
    struct office *office = *state;
    struct envelope mine = office_letter("same", KIND_HANDOFF, "orion", "iris"),
                    theirs = office_letter("same", KIND_HANDOFF, "nova", "iris");
    office_send(office, &mine, "orion");
    UNTIL(office, office_said(office, "orion verdict same delivered"));
    office_send(office, &theirs, "nova");
    UNTIL(office, office_said(office, "nova verdict same refused: another envelope has this id already"));
}

static void test_thousands_in_one_outbox_hold_up_nobody_else(void **state)
{
    struct office *office = *state;
    for (int i = 0; i < 3000; i++) {
        OWNED char *path = memory_print("%s/agents/orion/iac/outbox/x%04d.md", office->folder, i);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    }
    post_rings(office->post, "orion", "");
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "nova", "iris");
    office_send(office, &letter, "nova");
    int turns = 0;
    for (; !office_said(office, "nova verdict h1 delivered"); turns++)
        loop_turn(office->loop, 20);
    assert_true(turns <= 3);
    assert_null(strstr(office->said.data, "x1500"));
    UNTIL(office, strstr(office->said.data, "verdict x0255 refused"));
}

static void test_a_receiver_whose_folder_was_replaced_gets_nothing_and_stops_nothing(void **state)
{
    struct office *office = *state;
    office_command("cd %s/agents/iris/iac && rmdir handoffs && mkdir ../../../elsewhere && "
                   "ln -s ../../../elsewhere handoffs",
                   office->folder);
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris"),
                    other = office_letter("h2", KIND_HANDOFF, "orion", "nova");
    office_send(office, &letter, "orion");
    office_send(office, &other, "orion");
    UNTIL(office, office_said(office, "orion verdict h2 delivered"));
    UNTIL(office, strstr(office->said.data, "orion verdict h1 deferred: "));
    assert_true(office_lies(office, "orion", FOLDER_OUTBOX, "h1"));
    office_command("test -z \"$(ls %s/elsewhere)\"", office->folder);
    office_command("cd %s/agents/iris/iac && rm handoffs && mkdir handoffs", office->folder);
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
}

static void test_a_disk_that_is_full_delays_and_loses_nothing(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    office_put(office, "orion", FOLDER_OUTBOX, &letter);
    office_command("chmod 0555 %s/agents/iris/iac/handoffs", office->folder);
    if (geteuid() == 0) /* whom no mode stops: a file in the folder's place does */
        office_command("cd %s/agents/iris/iac && rmdir handoffs && touch handoffs", office->folder);
    post_rings(office->post, "orion", "h1");
    UNTIL(office, strstr(office->said.data ? office->said.data : "", "orion verdict h1 deferred: "));
    office_command("cd %s/agents/iris/iac && rm -rf handoffs",
                   office->folder); /* made anew when it is needed */
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
}

static void test_an_agent_that_leaves_gets_nothing_more_and_its_senders_are_told(void **state)
{
    struct office *office = *state;
    send_many(office, "h", 2);
    UNTIL(office, office_said(office, "orion verdict h1 deferred"));
    post_agent_leaves(office->post, "iris");
    assert_true(office_said(office, "orion verdict h1 refused: there is no agent 'iris' any more"));
    struct envelope letter = office_letter("h9", KIND_HANDOFF, "orion", "iris");
    office_send(office, &letter, "orion");
    UNTIL(office, strstr(office->said.data, "orion verdict h9 refused"));
    post_agent_gone(office->post, "iris");
    struct post_depths depths;
    assert_false(post_depths(office->post, "iris", &depths));
    post_agent(office->post, "iris", "iris", &office->roster->agents[1]);
    UNTIL(office, post_pressure(office->post, "iris", &(struct post_pressure){0}) &&
                      post_lies(office->post, "iris", "h0") == POST_HANDOFFS);
    office_settle(office);
    assert_int_equal(post_room(office->post, "iris"), 0); /* h0 lies there still, and counts again */
}

static void test_what_waits_in_an_outbox_goes_with_its_agent(void **state)
{
    struct office *office = *state;
    struct post_pressure pressure;
    send_many(office, "h", 2);
    UNTIL(office, office_said(office, "orion verdict h1 deferred"));
    post_agent_gone(office->post, "orion");
    assert_true(post_pressure(office->post, "iris", &pressure));
    assert_int_equal(pressure.deferred, 0);
    assert_true(office_lies(office, "orion", FOLDER_OUTBOX, "h1"));
}

static void test_depths_are_what_lies_in_the_folders_now(void **state)
{
    struct office *office = *state;
    struct post_depths depths;
    struct envelope letter = office_letter("d", KIND_HANDOFF, "orion", "iris");
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &letter);
    office_put(office, "iris", FOLDER_OUTBOX, &letter);
    office_put(office, "iris", FOLDER_INBOX, &letter);
    assert_true(post_depths(office->post, "iris", &depths));
    assert_int_equal(depths.inbox + depths.outbox + depths.dead_letters, 3);
    assert_int_equal(depths.handoffs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, office_setup, office_teardown)
        TEST(test_an_envelope_is_on_disk_at_its_receiver_before_its_sender_is_told),
        TEST(test_from_is_who_sends_whatever_the_file_says),
        TEST(test_past_the_window_they_are_deferred_and_past_the_backlog_refused),
        TEST(test_what_was_refused_stays_so_whatever_room_there_is_when_it_is_asked_about_again),
        TEST(test_an_outbox_is_decided_on_when_its_agents_commits_are_at_their_end),
        TEST(test_what_was_deferred_goes_in_its_order_as_soon_as_there_is_room),
        TEST(test_a_newcomer_never_overtakes_one_that_waits),
        TEST(test_results_need_no_room_and_no_permission),
        TEST(test_a_request_is_answered_once_and_by_whom_it_went_to),
        TEST(test_trace_hops_and_created_are_set_by_what_the_sender_works_at_whatever_it_writes),
        TEST(test_what_waits_keeps_its_hops_whatever_its_sender_writes_there_meanwhile),
        TEST(test_of_a_flood_of_results_as_many_as_the_backlog_lie_unread_and_the_rest_waits),
        TEST(test_what_may_not_travel_is_refused_with_its_reason),
        TEST(test_what_is_no_envelope_is_said_and_stops_nothing),
        TEST(test_a_repeated_ring_delivers_nothing_twice),
        TEST(test_an_id_that_somebody_else_used_is_refused),
        TEST(test_thousands_in_one_outbox_hold_up_nobody_else),
        TEST(test_a_receiver_whose_folder_was_replaced_gets_nothing_and_stops_nothing),
        TEST(test_a_disk_that_is_full_delays_and_loses_nothing),
        TEST(test_an_agent_that_leaves_gets_nothing_more_and_its_senders_are_told),
        TEST(test_what_waits_in_an_outbox_goes_with_its_agent),
        TEST(test_depths_are_what_lies_in_the_folders_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
