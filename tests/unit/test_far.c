/* Envelopes between agents of two nodes: section 9 across the bus, and the table of supervisor/post/far.c row by row. */
#include <inttypes.h>

#include "common/test_clock.h"
#include "two_nodes.h"

static struct office *a, *b;

static int setup_of(const char *yaml)
{
    int result = two_setup_of(yaml);
    a = &two.nodes[0].office;
    b = &two.nodes[1].office;
    return result;
}

static int setup(void **state)
{
    return setup_of(ORION_AND_IRIS);
}

static int orion_is_slow(void **state)
{
    return setup_of("agents:\n  - {name: orion, persona: p, throughput_class: slow}\n"
                    "  - {name: iris, persona: p}\n  - {name: nova, persona: p}\n"
                    "throughput_classes: {slow: {window: 1, backlog: 8}}\n");
}

static void send(struct office *office, const char *id, enum envelope_kind kind, const char *from,
                 const char *to)
{
    struct envelope letter = office_letter(id, kind, from, to);
    office_send(office, &letter, from);
}

static void test_it_is_on_disk_at_its_receiver_before_its_sender_is_told(void **state)
{
    send(a, "h1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(two_said("orion h1 delivered"));
    assert_status(b, "iris", FOLDER_HANDOFFS, "h1", "delivered");
    struct envelope there = office_read(b, "iris", FOLDER_HANDOFFS, "h1");
    assert_string_equal(there.from, "orion");
    assert_string_equal(there.body, "Do it.\n");
    envelope_free(&there);
    assert_true(office_said(b, "iris event delivered h1"));
    assert_false(office_lies(a, "iris", FOLDER_HANDOFFS, "h1"));
    assert_true(office_lies(a, "orion", FOLDER_OUTBOX, "h1")); /* its sender's own to archive */
}

static void test_the_copy_goes_when_its_sender_has_acted_on_the_verdict(void **state)
{
    send(a, "h1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(two_said("orion h1 delivered"));
    assert_status(a, "orion", FOLDER_SENT, "h1", "pending");
    office_move(a, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "h1");
    post_scan(a->post);
    two_settle();
    struct envelope gone;
    assert_int_equal(mailbox_read(a->data, "orion", FOLDER_SENT, "h1", &gone, NULL, NULL), MAILBOX_GONE);
}

static void test_a_result_comes_back_on_the_trace_of_its_request_and_once(void **state)
{
    send(a, "h1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(two_said("orion h1 delivered"));
    office_move(b, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h1");
    for (int i = 1; i <= 2; i++) {
        OWNED char *id = memory_print("r%d", i);
        struct envelope result = office_letter(id, KIND_RESULT, "iris", "orion");
        result.in_reply_to = (char[]){"h1"};
        office_send(b, &result, "iris");
    }
    UNTIL_TWO(two_said("iris r1 delivered") && two_said("iris r2 refused"));
    struct envelope there = office_read(a, "orion", FOLDER_INBOX, "r1");
    assert_string_equal(there.trace, "h1");
    assert_int_equal(there.hops, 2);
    envelope_free(&there);
    assert_false(office_lies(a, "orion", FOLDER_INBOX, "r2"));
}

static void test_a_result_that_nobody_asked_for_is_refused(void **state)
{
    struct envelope result = office_letter("r1", KIND_RESULT, "iris", "orion");
    result.in_reply_to = (char[]){"h1"};
    office_send(b, &result, "iris");
    UNTIL_TWO(two_said("iris r1 refused"));
}

static void finish(struct office *office, const char *agent, const char *id)
{
    office_move(office, agent, FOLDER_HANDOFFS, FOLDER_ARCHIVE, id);
    post_settled(office->post, agent, id, "finished", "");
    two_settle();
}

static void test_past_the_window_they_wait_with_their_sender_and_past_the_backlog_are_refused(void **state)
{
    for (int i = 0; i < 5; i++) {
        OWNED char *id = memory_print("h%d", i);
        struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
        letter.created = clock_now() - 100 + i;
        office_put(a, "orion", FOLDER_OUTBOX, &letter);
    }
    post_rings(a->post, "orion", "");
    UNTIL_TWO(two_said("orion h4 refused"));
    UNTIL_TWO(two_said("orion h0 delivered") && two_said("orion h1 deferred") &&
              two_said("orion h2 deferred"));
    assert_true(two_said("orion h3 refused"));
    size_t sent = two.published;
    two_settle();
    assert_int_equal(two.published, sent); /* waiting envelopes do not travel */
    finish(b, "iris", "h0");
    UNTIL_TWO(two_said("orion h1 delivered"));
    assert_false(office_lies(b, "iris", FOLDER_HANDOFFS, "h2"));
}

static void test_what_waits_elsewhere_finds_room_though_others_wait_here_all_the_time(void **state)
{
    int next = 0, done = 0;
    while (!two_said("iris f1 delivered")) {
        for (; next < done + 3; next++) { /* one is done, two wait */
            OWNED char *id = memory_print("n%02d", next);
            send(a, id, KIND_HANDOFF, "nova", "orion");
            two_settle();
        }
        if (done == 0)
            send(b, "f1", KIND_HANDOFF, "iris", "orion");
        OWNED char *first = memory_print("n%02d", done++), *line = memory_print("nova %s delivered", first);
        assert_true(done < 20);
        UNTIL_TWO(two_said(line) || two_said("iris f1 delivered"));
        if (two_said(line))
            finish(a, "orion", first);
    }
}

static void a_request_is_done(int number)
{
    OWNED char *id = memory_print("h%d", number), *line = memory_print("iris h%d delivered", number);
    send(b, id, KIND_HANDOFF, "iris", "orion");
    UNTIL_TWO(two_said(line));
    office_move(b, "iris", FOLDER_OUTBOX, FOLDER_ARCHIVE, id);
    finish(a, "orion", id);
}

static void is_answered(int number)
{
    OWNED char *id = memory_print("h%d", number), *answer = memory_print("r%d", number);
    struct envelope result = office_letter(answer, KIND_RESULT, "orion", "iris");
    result.in_reply_to = id;
    office_put(a, "orion", FOLDER_OUTBOX, &result);
}

static void test_results_that_find_a_full_shelf_wait_and_the_bus_rests(void **state)
{
    for (int i = 0; i < 4; i++) {
        a_request_is_done(i);
        is_answered(i);
        post_rings(a->post, "orion", "");
        two_settle();
    }
    UNTIL_TWO(two_said("orion r2 deferred")); /* two are the most that lie there unread */
    two_settle();                             /* which ends */
    assert_int_equal(office_reads_all(b, "iris"), 2);
    UNTIL_TWO(two_said("orion r3 delivered"));
    assert_true(strstr(two.verdicts.data, "r2 delivered") < strstr(two.verdicts.data, "r3 delivered"));
}

/* Three results have come back together, the first of them was offered again, and the others are due since. */
static void several_results_wait_for_a_full_shelf(void)
{
    for (int i = 0; i < 5; i++)
        a_request_is_done(i);
    is_answered(0);
    is_answered(1);
    post_rings(a->post, "orion", "");
    UNTIL_TWO(two_said("orion r0 delivered") &&
              two_said("orion r1 delivered")); /* so three may travel at once */
    office_move(a, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "r0");
    office_move(a, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "r1");
    for (int i = 2; i < 5; i++)
        is_answered(i);
    post_rings(a->post, "orion", "");
    UNTIL_TWO(two_said("orion r2 deferred") && two_said("orion r3 deferred") &&
              two_said("orion r4 deferred"));
    size_t sent = two.published;
    UNTIL_TWO(two.published > sent);
    two_settle();
}

static void test_the_supervisor_rests_between_offers_to_a_full_shelf(void **state)
{
    several_results_wait_for_a_full_shelf();
    size_t sent = two.published, turns = 0;
    while (two.published == sent) { /* two seconds, in which a spinning supervisor makes thousands of turns */
        for (size_t i = 0; i < MESSAGES_MAX; i++)
            bus_hands_over(&two.messages[i]);
        loop_turn(a->loop, 50);
        loop_turn(b->loop, 1);
        assert_true(++turns < 300);
    }
}

static void test_work_passes_results_that_wait_for_a_full_shelf(void **state)
{
    several_results_wait_for_a_full_shelf();
    send(a, "w1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(two_said("orion w1 delivered"));
    assert_false(two_said("orion r2 delivered"));
}

static void test_order_is_kept_though_the_bus_turns_it_round(void **state)
{
    for (int i = 0; i < 6; i++) {
        OWNED char *id = memory_print("m%d", i);
        struct envelope letter = office_letter(id, KIND_MESSAGE, "iris", "nova");
        letter.created = clock_now() - 100 + i;
        office_put(b, "iris", FOLDER_OUTBOX, &letter);
    }
    post_rings(b->post, "iris", "");
    int64_t until_ms = clock_monotonic_ms() + 30000;
    while (!two_said("iris m5 delivered") && clock_monotonic_ms() < until_ms) {
        for (size_t i = MESSAGES_MAX; i-- > 0;)
            if (bus_hands_over(&two.messages[i]))
                office_settle(a);
        office_settle(b);
    }
    const char *last = a->said.data;
    for (int i = 0; i < 6; i++) {
        OWNED char *line = memory_print("nova event delivered m%d\n", i);
        last = strstr(last, line);
        assert_non_null(last);
    }
}

static void test_a_lost_verdict_is_said_again_and_nothing_is_delivered_twice(void **state)
{
    send(a, "h1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(office_lies(b, "iris", FOLDER_HANDOFFS, "h1"));
    office_move(b, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h1"); /* and finished meanwhile */
    post_settled(b->post, "iris", "h1", "finished", "");
    buffer_drop(&two.verdicts, two.verdicts.length);
    node_again(&two.nodes[0]);
    UNTIL_TWO(two_said("orion h1 delivered"));
    assert_int_equal(mailbox_lies(b->data, "iris", "h1"), 1u << FOLDER_ARCHIVE);
}

static void test_a_bus_that_lost_everything_costs_time_and_no_envelope(void **state)
{
    node_connects(&two.nodes[1], false);
    send(a, "h1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(two.published > 0);
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        if (two.messages[i].text.length)
            bus_drop(&two.messages[i]);
    node_connects(&two.nodes[1], true);
    node_connects(&two.nodes[0], false);
    node_connects(&two.nodes[0], true);
    UNTIL_TWO(two_said("orion h1 delivered"));
    assert_true(office_lies(b, "iris", FOLDER_HANDOFFS, "h1"));
}

static size_t in_hand(void)
{
    size_t count = 0;
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        count += *two.messages[i].agent && two.messages[i].in_hand;
    return count;
}

static void test_an_envelope_in_hand_goes_back_to_the_bus_when_its_sender_leaves(void **state)
{
    send(b, "h1", KIND_HANDOFF, "iris", "orion");
    UNTIL(b, two.published > 0);
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        bus_hands_over(&two.messages[i]);
    assert_int_equal(in_hand(), 1);
    post_agent_gone(a->post, "iris");
    assert_int_equal(in_hand(), 0);
    node_connects(&two.nodes[0], false);
    assert_false(office_lies(a, "orion", FOLDER_HANDOFFS, "h1"));
}

/* A node that says so again and again gets no flood of it. */
static void test_an_envelope_that_named_none_is_not_sent_at_once_though_it_came_too_early(void **state)
{
    static const char word[] = "about: m1\nfrom: orion\nagent: iris\nstatus: deferred\n"
                               "reason: the one ahead of it has not come\n";
    node_connects(&two.nodes[1], false);
    send(a, "m1", KIND_MESSAGE, "orion", "iris");
    UNTIL(a, two.published > 0);
    assert_true(post_node_says(a->post, word, sizeof word - 1));
    UNTIL(a, two_said("orion m1 deferred"));
    office_settle(a);
    assert_int_equal(two.published, 1);
}

static struct envelope brief(const char *id, const char *from, const char *to)
{
    struct envelope letter = office_letter(id, KIND_HANDOFF, from, to);
    letter.created = clock_now() - 100;
    letter.ttl_seconds = 102;
    return letter;
}

static void test_what_never_left_expires_with_its_sender_on_time(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris");
    post_lives(a->post, "iris", "b", false);
    office_send(a, &letter, "orion");
    UNTIL_TWO(two_said("orion h1 deferred"));
    UNTIL_TWO(two_said("orion h1 expired"));
    assert_in_range(clock_now_ms() - (letter.created + letter.ttl_seconds) * 1000, 0, 1000);
    assert_status(a, "orion", FOLDER_DEAD_LETTERS, "h1", "expired");
    struct envelope bounce = office_read(a, "orion", FOLDER_INBOX, "h1-bounce");
    assert_string_equal(bounce.from, "iris");
    envelope_free(&bounce);
    assert_int_equal(two.published, 0);
    office_move(a, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "h1");
    struct fault fault;
    const char *agent;
    assert_int_equal(post_requeue(a->post, "h1", &agent, &fault), 0); /* the envelope is sent anew */
    post_lives(a->post, "iris", "b", true);
    UNTIL_TWO(office_lies(b, "iris", FOLDER_HANDOFFS, "h1"));
}

static void test_what_was_sent_ends_as_its_receivers_node_says_though_its_time_is_over(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris");
    node_connects(&two.nodes[1], false);
    office_send(a, &letter, "orion");
    UNTIL_TWO(two.published > 0);
    node_again(&two.nodes[0]); /* the copy remembers it */
    post_lives(a->post, "iris", "b", false);
    UNTIL_TWO(clock_now() > letter.created + letter.ttl_seconds);
    two_settle();
    assert_false(two_said("orion h1 expired"));
    post_lives(a->post, "iris", "b", true);
    node_connects(&two.nodes[1], true);
    UNTIL_TWO(two_said("orion h1 expired"));
    assert_status(b, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
    assert_false(office_lies(a, "orion", FOLDER_DEAD_LETTERS, "h1"));
    UNTIL_TWO(mailbox_stamp(b->data, "iris", FOLDER_SENT).inode != 0);
    struct mailbox_names names = {0};
    UNTIL_TWO(
        (mailbox_names_free(&names), mailbox_list(a->data, "orion", FOLDER_INBOX, &names), names.count == 1));
    assert_non_null(strstr(names.ids[0], "h1-bounce"));
    mailbox_names_free(&names);
}

/* The node slept past the lease in the middle of a turn: another node may have the agent, and not this file. */
static void test_what_came_into_a_tree_whose_lease_was_over_is_told_nobody(void **state)
{
    two.lease_over = "iris";
    two.owned = 1; /* as the envelope came */
    send(a, "h1", KIND_HANDOFF, "orion", "iris");
    UNTIL_TWO(office_lies(b, "iris", FOLDER_HANDOFFS, "h1"));
    for (int times = 0; times < 3; times++) { /* the bus brings the envelope again and again */
        two_settle();
        assert_false(two_said("orion h1 delivered"));
        test_clock_move(2000, 2000);
    }
    two.lease_over = NULL;
    UNTIL_TWO(two_said("orion h1 delivered"));
}

static void test_what_is_over_in_a_tree_whose_lease_is_over_has_no_end_there(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris");
    office_send(a, &letter, "orion");
    UNTIL_TWO(two_said("orion h1 delivered"));
    two.lease_over = "iris";
    UNTIL_TWO(clock_now() > letter.created + letter.ttl_seconds);
    two_settle();
    assert_true(office_lies(b, "iris", FOLDER_HANDOFFS, "h1"));
    two.lease_over = NULL;
    UNTIL_TWO(office_lies(b, "iris", FOLDER_DEAD_LETTERS, "h1"));
}

static void comes_from_b(const struct envelope *letter)
{
    OWNED_BUFFER struct buffer text = {0};
    envelope_print(letter, &text);
    bus_add(letter->to, "", "b", &text);
    two_settle();
}

static size_t lie_in(const struct office *office, const char *agent, enum folder folder)
{
    struct mailbox_names names = {0};
    assert_true(mailbox_list(office->data, agent, folder, &names));
    size_t count = names.count;
    mailbox_names_free(&names);
    return count;
}

/* Such as that of a node that comes back when another has taken the agent over, and has done the task. */
static void test_a_task_in_a_directory_that_the_agent_has_left_does_not_expire(void **state)
{
    office_command("mkdir -p %s/agents/iris && printf '## t1\\ntask: late\\ncreated: 2026-04-29T10:05:00Z\\n"
                   "ttl_seconds: 5\\n' > %s/agents/iris/queue.md",
                   a->folder, a->folder);
    post_worker_down(a->post, "iris");
    post_queue_changed(a->post, "iris");
    two_settle();
    assert_false(office_lies(a, "iris", FOLDER_DEAD_LETTERS, "t1"));
    assert_false(office_said(a, "iris event expired t1: its time to live was over"));
    two.lease_over = "iris";
    post_lives(a->post, "iris", NULL, true);
    two_settle();
    assert_false(office_lies(a, "iris", FOLDER_DEAD_LETTERS, "t1"));
    two.lease_over = NULL;
    UNTIL_TWO(office_lies(a, "iris", FOLDER_DEAD_LETTERS, "t1"));
}

static void test_of_very_many_tasks_none_expires_behind_the_end_of_the_lease(void **state)
{
    enum { COUNT = 600 };
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = memory_print("%s/agents/iris/queue.md", b->folder);
    for (int i = 0; i < COUNT; i++)
        buffer_print(&text, "## t%d\ntask: late\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 5\n\n", i);
    post_worker_down(b->post, "iris");
    two_settle();
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text.data, file);
    fclose(file);
    post_queue_changed(b->post, "iris");
    size_t before = lie_in(b, "iris", FOLDER_DEAD_LETTERS);
    assert_in_range(before, 1, COUNT - 1);
    two.lease_over = "iris";
    two_settle();
    assert_int_equal(lie_in(b, "iris", FOLDER_DEAD_LETTERS), before);
    two.lease_over = NULL;
    UNTIL_TWO(lie_in(b, "iris", FOLDER_DEAD_LETTERS) == COUNT);
}

/* iris moves with her dead letters, and each node tells of them under a name of its own. */
static void test_of_a_dead_letter_that_moves_its_sender_is_told_once(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris"), second = brief("h2", "orion", "iris");
    post_lives(a->post, "iris", "b", false);
    office_send(a, &letter, "orion");
    UNTIL_TWO(office_lies(a, "orion", FOLDER_INBOX, "h1-bounce"));
    OWNED char *id = memory_print("h1-bounce-%" PRId64, letter.created);
    struct envelope bounce = office_letter(id, KIND_BOUNCE, "iris", "orion");
    bounce.in_reply_to = (char[]){"h1"};
    comes_from_b(&bounce);
    assert_int_equal(lie_in(a, "orion", FOLDER_INBOX), 1);

    second.created = clock_now();
    second.ttl_seconds = 2;
    office_send(a, &second, "orion");
    bounce.id = memory_print("h2-bounce-%" PRId64, second.created);
    bounce.in_reply_to = (char[]){"h2"};
    comes_from_b(&bounce);
    assert_int_equal(lie_in(a, "orion", FOLDER_INBOX), 2);
    UNTIL_TWO(two_said("orion h2 expired"));
    two_settle();
    assert_int_equal(lie_in(a, "orion", FOLDER_INBOX), 2);
    free(bounce.id);
}

/* orion's handoff h1 to iris is done on the other node, and lies in orion's outbox. */
static void is_done(const struct envelope *letter)
{
    office_send(a, letter, "orion");
    UNTIL_TWO(office_lies(b, "iris", FOLDER_HANDOFFS, "h1"));
    office_move(b, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h1");
    post_settled(b->post, "iris", "h1", "finished", "");
}

/* The handoff's time is over when orion comes to this node, and its receiver's node says the end. */
static void assert_ends_as_done_once_here(const struct envelope *letter)
{
    buffer_drop(&two.verdicts, two.verdicts.length);
    UNTIL_TWO(clock_now() > letter->created + letter->ttl_seconds);
    post_lives(a->post, "orion", NULL, true);
    UNTIL_TWO(two_said("orion h1 delivered"));
    assert_false(two_said("orion h1 expired"));
    assert_false(office_lies(a, "orion", FOLDER_DEAD_LETTERS, "h1"));
}

/* A supervisor that starts has no lease yet: the sender's outbox is here, and its agent is not. */
static void test_what_was_sent_ends_once_though_its_sender_lives_here_only_later(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris");
    is_done(&letter);
    two.not_yet = "orion";
    node_again(&two.nodes[0]);
    two.not_yet = NULL;
    assert_ends_as_done_once_here(&letter);
}

/* Its former node slept past the lease: that node's copies are not here, and its envelope is done. */
static void test_what_a_former_node_may_have_sent_ends_as_its_receivers_node_says(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris");
    is_done(&letter);
    post_lives(a->post, "orion", "c", true);
    assert_true(mailbox_remove(a->data, "orion", FOLDER_SENT, "h1"));
    assert_ends_as_done_once_here(&letter);
}

static void test_what_expires_at_its_receiver_is_told_to_its_sender_also_after_a_crash(void **state)
{
    struct envelope letter = brief("h1", "orion", "iris");
    office_send(a, &letter, "orion");
    UNTIL_TWO(two_said("orion h1 delivered"));
    office_move(a, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, "h1");
    node_connects(&two.nodes[1], false);
    UNTIL_TWO(office_said(b, "iris event expired h1: it was not read within 102 s"));
    node_again(&two.nodes[1]);
    struct mailbox_names names = {0};
    UNTIL_TWO(
        (mailbox_names_free(&names), mailbox_list(a->data, "orion", FOLDER_INBOX, &names), names.count == 1));
    assert_non_null(strstr(names.ids[0], "h1-bounce"));
    mailbox_names_free(&names);
    node_again(&two.nodes[1]);
    node_again(&two.nodes[0]);
    two_settle();
    assert_true(mailbox_list(a->data, "orion", FOLDER_INBOX, &names));
    assert_int_equal(names.count, 1);
    mailbox_names_free(&names);
}

static void test_the_operators_message_waits_on_disk_and_goes_once(void **state)
{
    struct fault fault;
    assert_int_equal(post_send(a->post, "iris", "Hello.\n", 0, PRIORITY_NORMAL, 7, &fault), 0);
    UNTIL_TWO(office_answer.ticket == 7);
    assert_int_equal(office_answer.exit, 0);
    UNTIL_TWO(office_lies(b, "iris", FOLDER_INBOX, office_answer.id));
    UNTIL_TWO(!mailbox_lies_in(a->data, POST_OPERATOR, office_answer.id, 1u << FOLDER_OUTBOX));
}

int main(void)
{
#define ROW_OF(how, test) cmocka_unit_test_setup_teardown(test, how, two_teardown)
#define ROW(test)         ROW_OF(setup, test)
    const struct CMUnitTest tests[] = {
        ROW(test_it_is_on_disk_at_its_receiver_before_its_sender_is_told),
        ROW(test_the_copy_goes_when_its_sender_has_acted_on_the_verdict),
        ROW(test_a_result_comes_back_on_the_trace_of_its_request_and_once),
        ROW(test_a_result_that_nobody_asked_for_is_refused),
        ROW(test_past_the_window_they_wait_with_their_sender_and_past_the_backlog_are_refused),
        ROW_OF(orion_is_slow, test_what_waits_elsewhere_finds_room_though_others_wait_here_all_the_time),
        ROW(test_results_that_find_a_full_shelf_wait_and_the_bus_rests),
        ROW(test_the_supervisor_rests_between_offers_to_a_full_shelf),
        ROW(test_work_passes_results_that_wait_for_a_full_shelf),
        ROW(test_order_is_kept_though_the_bus_turns_it_round),
        ROW(test_a_lost_verdict_is_said_again_and_nothing_is_delivered_twice),
        ROW(test_a_bus_that_lost_everything_costs_time_and_no_envelope),
        ROW(test_an_envelope_in_hand_goes_back_to_the_bus_when_its_sender_leaves),
        ROW(test_an_envelope_that_named_none_is_not_sent_at_once_though_it_came_too_early),
        ROW(test_what_never_left_expires_with_its_sender_on_time),
        ROW(test_what_was_sent_ends_as_its_receivers_node_says_though_its_time_is_over),
        ROW(test_what_came_into_a_tree_whose_lease_was_over_is_told_nobody),
        ROW(test_what_is_over_in_a_tree_whose_lease_is_over_has_no_end_there),
        ROW(test_a_task_in_a_directory_that_the_agent_has_left_does_not_expire),
        ROW(test_of_very_many_tasks_none_expires_behind_the_end_of_the_lease),
        ROW(test_of_a_dead_letter_that_moves_its_sender_is_told_once),
        ROW(test_what_was_sent_ends_once_though_its_sender_lives_here_only_later),
        ROW(test_what_a_former_node_may_have_sent_ends_as_its_receivers_node_says),
        ROW(test_what_expires_at_its_receiver_is_told_to_its_sender_also_after_a_crash),
        ROW(test_the_operators_message_waits_on_disk_and_goes_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
