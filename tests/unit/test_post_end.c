/* The post office: time to live, dead letters, bounces, and the start's way with the traces of a crash. Promise 5 of
 * contract section 9, and the table of supervisor/post/start.c row by row. */
#include <inttypes.h>

#include "common/format/block.h"
#include "common/names.h"
#include "common/test_clock.h"
#include "post_office.h"

/* Expires within two seconds. */
static struct envelope brief(const char *id, enum envelope_kind kind)
{
    struct envelope letter = office_letter(id, kind, "orion", "iris");
    letter.created = clock_now() - 100;
    letter.ttl_seconds = 102;
    letter.status = "delivered";
    return letter;
}

/* The envelope lies with iris, and orion's archive knows it. */
static void give(struct office *office, const struct envelope *letter, enum folder folder)
{
    office_put(office, "iris", folder, letter);
    office_put(office, "orion", FOLDER_ARCHIVE, letter);
}

static void assert_bounced(struct office *office, const char *id, const char *reason)
{
    OWNED char *name = memory_print("%s-bounce", id);
    struct envelope bounce = office_read(office, "orion", FOLDER_INBOX, name);
    assert_int_equal(bounce.kind, KIND_BOUNCE);
    assert_string_equal(bounce.from, "iris");
    assert_string_equal(bounce.in_reply_to, id);
    assert_int_equal(bounce.ttl_seconds, 0);
    assert_non_null(strstr(bounce.reason, reason));
    envelope_free(&bounce);
}

static void assert_on_time(const struct envelope *letter)
{
    int64_t late_ms = clock_now_ms() - (letter->created + letter->ttl_seconds) * 1000;
    assert_in_range(late_ms, 0, 1000);
}

static void test_an_unread_envelope_is_a_dead_letter_within_a_second_of_its_time(void **state)
{
    struct office *office = *state;
    struct envelope letter = brief("h1", KIND_HANDOFF), message = brief("m1", KIND_MESSAGE);
    give(office, &letter, FOLDER_HANDOFFS);
    give(office, &message, FOLDER_INBOX);
    office_again(office);
    UNTIL(office, office_said(office, "iris event expired h1: it was not read within 102 s"));
    assert_on_time(&letter);
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
    assert_int_equal(mailbox_lies(office->data, "iris", "h1"), 1u << FOLDER_DEAD_LETTERS);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "m1"));
    assert_bounced(office, "h1", "not read within 102 s");
    UNTIL(office, office_said(office, "iris look and wake"));
    assert_true(office_said(office, "orion look"));
    assert_int_equal(post_room(office->post, "iris"), 1);
}

static void test_one_that_is_being_read_expires_no_more(void **state)
{
    struct office *office = *state;
    struct envelope letter = brief("h1", KIND_HANDOFF), other = brief("h2", KIND_HANDOFF);
    give(office, &letter, FOLDER_HANDOFFS);
    give(office, &other, FOLDER_HANDOFFS);
    office_again(office);
    letter.status = "reading";
    letter.attempts = 1;
    office_put(office, "iris", FOLDER_HANDOFFS, &letter); /* its file alone says so */
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h2"));
    office_settle(office);
    assert_status(office, "iris", FOLDER_HANDOFFS, "h1", "reading");
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
}

static void test_a_deferred_one_expires_at_its_sender_too(void **state)
{
    struct office *office = *state;
    struct envelope first = office_letter("h0", KIND_HANDOFF, "orion", "iris"),
                    letter = brief("h1", KIND_HANDOFF);
    office_send(office, &first, "orion");
    UNTIL(office, office_said(office, "orion verdict h0 delivered"));
    letter.status = "pending";
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 expired: it was not read within 102 s") ||
                      office_said(office, "orion verdict h1 delivered"));
    assert_false(office_said(office, "orion verdict h1 delivered"));
    assert_on_time(&letter);
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
    assert_bounced(office, "h1", "not read within");
    office_again(office); /* the verdict was lost with everything else */
    UNTIL(office, office_said(office, "orion verdict h1 expired"));
}

static void test_one_that_is_over_when_it_comes_is_never_delivered(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    letter.created -= 1000;
    letter.ttl_seconds = 10;
    office_send(office, &letter, "orion");
    UNTIL(office, office_said(office, "orion verdict h1 expired: it was not read within 10 s"));
    assert_false(office_said(office, "orion verdict h1 deferred"));
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
}

/* So many lie with iris, and expire 105 s after they were created. */
static void give_many(struct office *office, int count, int64_t created)
{
    for (int i = 0; i < count; i++) {
        OWNED char *id = memory_print("h%04d", i);
        struct envelope letter = brief(id, KIND_HANDOFF);
        OWNED char *there = memory_print("%s/agents/iris/iac/handoffs", office->folder);
        OWNED char *archive = memory_print("%s/agents/orion/iac/archive", office->folder);
        OWNED char *file = memory_print("%s.md", id);
        OWNED_FD int at = open(there, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        OWNED_FD int known = open(archive, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        OWNED_BUFFER struct buffer text = {0};
        letter.created = created;
        letter.ttl_seconds = 105;
        envelope_print(&letter, &text);
        assert_true(files_write(at, file, text.data, text.length, false, NULL));
        assert_true(files_write(known, file, text.data, text.length, false, NULL));
    }
}

static void test_a_thousand_that_expire_together_are_dead_within_a_second(void **state)
{
    struct office *office = *state;
    int64_t created = clock_now() - 100;
    give_many(office, 1000, created);
    office_again(office);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h0000"));
    struct mailbox_names names;
    UNTIL(office, (mailbox_list(office->data, "iris", FOLDER_DEAD_LETTERS, &names),
                   post_depths(office->post, "iris", &(struct post_depths){0}),
                   names.count == 1000 || (mailbox_names_free(&names), false)));
    UNTIL(office, post_count(office->post, KIND_HANDOFF, "expired") == 1000);
    int64_t late_ms = clock_now_ms() - (created + 105) * 1000;
    mailbox_names_free(&names);
    print_message("a thousand expired together: the last one %lld ms late\n", (long long)late_ms);
    assert_true(mailbox_list(office->data, "iris", FOLDER_HANDOFFS, &names));
    assert_int_equal(names.count, 0);
    mailbox_names_free(&names);
}

static size_t unread(struct office *office)
{
    struct mailbox_names names = {0};
    mailbox_list(office->data, "orion", FOLDER_INBOX, &names);
    size_t count = names.count;
    mailbox_names_free(&names);
    return count;
}

static void
test_of_bounces_as_many_as_the_backlog_lie_unread_and_the_rest_waits_with_the_dead_letters(void **state)
{
    enum { DEAD = 100, BACKLOG = 32 };
    struct office *office = *state;
    give_many(office, DEAD, clock_now() - 200);
    office_again(office);
    UNTIL(office, post_count(office->post, KIND_HANDOFF, "expired") == DEAD);
    office_settle(office);
    assert_int_equal(unread(office), BACKLOG);
    assert_true(office_said(office, "orion look and wake, full"));
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h0099", "expired");
    for (size_t told = 0; told < DEAD;) {
        size_t due = DEAD - told < BACKLOG ? DEAD - told : BACKLOG;
        UNTIL(office, unread(office) == due);
        office_settle(office);
        assert_int_equal(unread(office), due);
        if (told == BACKLOG)
            office_again(office); /* the files say which news is owed */
        office_settle(office);
        assert_int_equal(unread(office), due);
        told += office_reads_all(office, "orion");
    }
    office_settle(office);
    assert_int_equal(unread(office), 0);
    for (int i = 0; i < DEAD; i++) {
        OWNED char *id = memory_print("h%04d-bounce", i);
        assert_true(office_lies(office, "orion", FOLDER_ARCHIVE, id));
    }
}

/* A letter more than senders may be told of at once, found by the post office at its start. */
enum { EXPIRED = 33 };
static void expire_at_a_start(struct office *office)
{
    give_many(office, EXPIRED, clock_now() - 200);
    office_again(office);
    UNTIL(office, post_count(office->post, KIND_HANDOFF, "expired") == EXPIRED);
}

static void test_a_dead_letter_whose_sender_is_to_be_told_is_not_purged(void **state)
{
    struct office *office = *state;
    const char *agent;
    struct fault fault;
    expire_at_a_start(office);
    int purged = 0;
    for (int i = 0; i < EXPIRED; i++) {
        OWNED char *id = memory_print("h%04d", i);
        int exit = post_purge(office->post, id, &agent, &fault);
        assert_true(exit == 0 || exit == 75);
        purged += exit == 0;
    }
    assert_int_equal(purged, EXPIRED - 1);
    assert_non_null(strstr(fault.text, "has not been told"));
    office_reads_all(office, "orion");
    UNTIL(office, unread(office) == 1);
}

/* No look at the dead letters has found out yet whose senders wait. */
static void test_right_after_a_start_a_dead_letter_whose_sender_is_to_be_told_is_not_purged(void **state)
{
    struct office *office = *state;
    const char *agent;
    struct fault fault;
    expire_at_a_start(office);
    UNTIL(office, unread(office) == EXPIRED - 1);
    office_again(office);
    for (int i = 0; i < EXPIRED; i++) {
        OWNED char *id = memory_print("h%04d", i), *bounce = memory_print("h%04d-bounce", i);
        int exit = post_purge(office->post, id, &agent, &fault);
        assert_int_equal(exit == 0, office_lies(office, "orion", FOLDER_INBOX, bounce));
    }
}

/* The wall clock was two hours ahead when the dead letters were looked at, and is right again. told: the kernel has
 * told of that. */
static void owe_across_a_clock_that_was_set_back(struct office *office, bool told)
{
    enum { HOURS = 2 * 3600 * 1000 };
    test_clock_move(HOURS, 0);
    office_again(office);
    office_settle(office);
    test_clock_move(-HOURS, 0);
    if (told)
        post_clock_was_set(office->post);
    for (int i = 0; i < EXPIRED; i++) {
        OWNED char *id = memory_print("h%04d", i);
        struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
        letter.created -= 1000;
        letter.ttl_seconds = 10;
        office_send(office, &letter, "orion");
    }
    UNTIL(office, post_count(office->post, KIND_HANDOFF, "expired") == EXPIRED);
    office_settle(office);
    assert_int_equal(unread(office), EXPIRED - 1);
}

static void test_a_bounce_that_waits_is_told_though_the_clock_was_set_back(void **state)
{
    struct office *office = *state;
    owe_across_a_clock_that_was_set_back(office, false);
    office_reads_all(office, "orion");
    UNTIL(office, unread(office) == 1);
}

/* The clock has passed the time of the former look again when the sender has read. */
static void test_a_bounce_that_waits_is_told_though_the_clock_was_set_back_and_on_again(void **state)
{
    struct office *office = *state;
    owe_across_a_clock_that_was_set_back(office, true);
    test_clock_move(3 * 3600 * 1000, 0);
    office_reads_all(office, "orion");
    UNTIL(office, unread(office) == 1);
    test_clock_move(-3 * 3600 * 1000, 0);
}

static void test_nobody_gets_a_bounce_for_what_it_never_sent(void **state)
{
    struct office *office = *state;
    struct envelope forged = brief("h1", KIND_HANDOFF);
    office_put(office, "iris", FOLDER_HANDOFFS, &forged); /* iris's worker wrote it itself */
    office_again(office);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
    office_settle(office);
    assert_false(office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
}

static void test_results_and_bounces_never_expire(void **state)
{
    struct office *office = *state;
    struct envelope bounce = office_letter("b1", KIND_BOUNCE, "orion", "iris"),
                    letter = brief("h1", KIND_HANDOFF);
    give(office, &bounce, FOLDER_INBOX);
    give(office, &letter, FOLDER_HANDOFFS);
    office_again(office);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
    assert_true(office_lies(office, "iris", FOLDER_INBOX, "b1"));
}

static void test_what_failed_at_its_receiver_is_told_to_its_sender_once(void **state)
{
    struct office *office = *state;
    struct envelope letter = brief("h1", KIND_HANDOFF);
    letter.ttl_seconds = 0;
    give(office, &letter, FOLDER_HANDOFFS);
    office_again(office);
    letter.status = "failed";
    letter.reason = "poison";
    letter.finished = clock_now();
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &letter);
    assert_true(mailbox_remove(office->data, "iris", FOLDER_HANDOFFS, "h1"));
    post_settled(office->post, "iris", "h1", "failed", "0123abc");
    UNTIL(office, office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
    assert_bounced(office, "h1", "poison");
    /* the receiver has read the envelope */
    office_move(office, "orion", FOLDER_INBOX, FOLDER_ARCHIVE, "h1-bounce");
    office_again(office);
    office_settle(office);
    assert_false(office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
}

/* --- the table of supervisor/post/start.c --- */

static void test_start_goes_on_with_one_that_was_taken_away(void **state)
{
    struct office *office = *state;
    struct envelope letter = brief("h1", KIND_HANDOFF);
    letter.ttl_seconds = 10;
    give(office, &letter, FOLDER_DEAD_LETTERS); /* after (a) */
    office_again(office);
    UNTIL(office, office_said(office, "iris event expired h1: it was not read within 10 s"));
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
    assert_bounced(office, "h1", "not read within 10 s");
}

static void test_start_after_the_bounce_makes_no_second_one(void **state)
{
    struct office *office = *state;
    struct envelope letter = brief("h1", KIND_HANDOFF),
                    bounce = office_letter("h1-bounce", KIND_BOUNCE, "iris", "orion");
    letter.ttl_seconds = 10;
    give(office, &letter, FOLDER_DEAD_LETTERS);
    office_put(office, "orion", FOLDER_ARCHIVE, &bounce); /* after (c), and it was read */
    office_again(office);
    UNTIL(office, office_said(office, "iris event expired h1: it was not read within 10 s"));
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "h1", "expired");
    assert_false(office_lies(office, "orion", FOLDER_INBOX, "h1-bounce"));
}

static void test_start_puts_back_what_its_worker_had_begun(void **state)
{
    struct office *office = *state;
    struct envelope letter = brief("h1", KIND_HANDOFF), message = brief("m1", KIND_MESSAGE);
    letter.status = message.status = "reading";
    give(office, &letter, FOLDER_DEAD_LETTERS);
    give(office, &message, FOLDER_DEAD_LETTERS);
    office_again(office);
    UNTIL(office, office_lies(office, "iris", FOLDER_HANDOFFS, "h1") &&
                      office_lies(office, "iris", FOLDER_INBOX, "m1"));
    assert_status(office, "iris", FOLDER_HANDOFFS, "h1", "reading");
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
}

static void test_start_says_delivered_again_and_fills_the_window_with_what_lies_there(void **state)
{
    struct office *office = *state;
    struct envelope there = office_letter("h1", KIND_HANDOFF, "orion", "iris"),
                    next = office_letter("h2", KIND_HANDOFF, "orion", "iris");
    office_put(office, "orion", FOLDER_OUTBOX, &there);
    office_put(office, "iris", FOLDER_HANDOFFS, &there);
    next.status = "deferred";
    office_put(office, "orion", FOLDER_OUTBOX, &next);
    office_again(office);
    UNTIL(office, office_said(office, "orion verdict h1 delivered"));
    office_settle(office);
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "h2"));
    office_move(office, "iris", FOLDER_HANDOFFS, FOLDER_ARCHIVE, "h1");
    post_settled(office->post, "iris", "h1", "finished", "");
    UNTIL(office, office_said(office, "orion verdict h2 delivered"));
}

static void test_what_was_deferred_keeps_its_place_over_a_restart(void **state)
{
    struct office *office = *state;
    struct envelope full = office_letter("h0", KIND_HANDOFF, "orion", "iris");
    office_put(office, "iris", FOLDER_HANDOFFS, &full);
    for (int i = 1; i <= 5; i++) { /* more than the backlog of 2, as it was when they came */
        OWNED char *id = memory_print("h%d", i);
        struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
        letter.status = i < 5 ? "deferred" : "pending";
        office_put(office, "orion", FOLDER_OUTBOX, &letter);
    }
    office_again(office);
    UNTIL(office, office_said(office, "orion verdict h5 refused: backpressure"));
    struct post_pressure pressure;
    post_pressure(office->post, "iris", &pressure);
    assert_int_equal(pressure.deferred, 4);
}

static void test_a_cut_requeue_leaves_the_living_one(void **state)
{
    struct office *office = *state;
    struct envelope dead = brief("h1", KIND_HANDOFF),
                    live = office_letter("h1", KIND_HANDOFF, "orion", "iris");
    dead.status = "expired";
    dead.finished = clock_now() - 50;
    live.status = "delivered";
    give(office, &dead, FOLDER_DEAD_LETTERS);
    office_put(office, "iris", FOLDER_HANDOFFS, &live);
    office_again(office);
    UNTIL(office, !office_lies(office, "iris", FOLDER_DEAD_LETTERS, "h1"));
    assert_status(office, "iris", FOLDER_HANDOFFS, "h1", "delivered");
}

static void test_unfinished_files_of_a_crash_are_removed(void **state)
{
    struct office *office = *state;
    office_command("cd %s/agents/iris/iac && echo torn > inbox/.m1.md.post-1-1 && echo torn > "
                   "dead-letter/.h1.md.post-1-2 && echo mine > inbox/.hidden.md",
                   office->folder);
    office_again(office);
    office_settle(office);
    office_command("cd %s/agents/iris/iac && test \"$(ls -A inbox dead-letter | grep post)\" = '' && "
                   "test -e inbox/.hidden.md",
                   office->folder);
}

static void test_a_task_expires_in_queue_md_while_its_agent_has_no_process(void **state)
{
    struct office *office = *state;
    char created[CLOCK_TEXT];
    clock_format(clock_now() - 10, created);
    office_command("printf '## t1\\ntask: late\\ncreated: %s\\nttl_seconds: 12\\n\\n## t2\\ntask: never\\n' "
                   "> %s/agents/iris/queue.md",
                   created, office->folder);
    post_worker_down(office->post, "iris");
    int64_t due = clock_now() + 2;
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
    assert_in_range(clock_now_ms() - (due - 1) * 1000, 0, 3000); /* due was said up to a second late */
    assert_status(office, "iris", FOLDER_DEAD_LETTERS, "t1", "expired");
    office_command("grep -q t1 %s/agents/iris/queue.md", office->folder); /* its worker takes it out */
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t2"));
    office_command("rm %s/agents/iris/iac/dead-letter/t1.md", office->folder);
    post_worker_starts(office->post, "iris"); /* from now on it is its worker's */
    post_queue_changed(office->post, "iris");
    office_settle(office);
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
}

/* A full disk cut the worker's note of the first block short, and the next note stands behind the piece
 * (worker/queue/first_seen.c). The second block has expired. */
static void test_a_note_that_was_cut_short_ends_no_task_before_its_time(void **state)
{
    struct office *office = *state;
    static const char text[] = "## t1\ntask: in time\nttl_seconds: 5000\n\n"
                               "## t2\ntask: late\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 5\n";
    struct block_list blocks;
    block_parse(&blocks, text, strlen(text));
    OWNED char *torn = memory_print("%016" PRIx64 " %016" PRIx64 " 1764", (uint64_t)names_hash("t1", 2),
                                    (uint64_t)blocks.items[0].hash);
    block_list_free(&blocks);
    for (int cut = 0; cut < 2; cut++) {
        office_command(
            "cd %s/agents/iris && rm -f iac/dead-letter/* && mkdir -p .agentos && printf '%s' > queue.md && "
            "echo '%s%s' > .agentos/seen",
            office->folder, text, torn, cut ? "0f00000000000000 0000000000000001 1764000000" : "");
        post_worker_down(office->post, "iris");
        UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t2"));
        assert_int_equal(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"), !cut);
        post_worker_starts(office->post, "iris");
    }
}

/* The agent's own watch, and its scan, wake it for what people put there. */
static void test_the_queue_md_of_an_agent_that_hibernates_is_looked_at_once_it_is_woken(void **state)
{
    struct office *office = *state;
    office_sleeps = true;
    post_worker_down(office->post, "iris");
    post_scan(office->post);
    office_settle(office);
    office_command("printf '## t1\\ntask: late\\ncreated: 2026-04-29T10:05:00Z\\nttl_seconds: 5\\n' "
                   "> %s/agents/iris/queue.md",
                   office->folder);
    post_scan(office->post);
    office_settle(office);
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
    office_sleeps = false;
    post_scan(office->post);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, office_setup, office_teardown)
        TEST(test_an_unread_envelope_is_a_dead_letter_within_a_second_of_its_time),
        TEST(test_one_that_is_being_read_expires_no_more),
        TEST(test_a_deferred_one_expires_at_its_sender_too),
        TEST(test_one_that_is_over_when_it_comes_is_never_delivered),
        TEST(test_a_thousand_that_expire_together_are_dead_within_a_second),
        TEST(test_of_bounces_as_many_as_the_backlog_lie_unread_and_the_rest_waits_with_the_dead_letters),
        TEST(test_a_dead_letter_whose_sender_is_to_be_told_is_not_purged),
        TEST(test_right_after_a_start_a_dead_letter_whose_sender_is_to_be_told_is_not_purged),
        TEST(test_a_bounce_that_waits_is_told_though_the_clock_was_set_back),
        TEST(test_a_bounce_that_waits_is_told_though_the_clock_was_set_back_and_on_again),
        TEST(test_nobody_gets_a_bounce_for_what_it_never_sent),
        TEST(test_results_and_bounces_never_expire),
        TEST(test_what_failed_at_its_receiver_is_told_to_its_sender_once),
        TEST(test_start_goes_on_with_one_that_was_taken_away),
        TEST(test_start_after_the_bounce_makes_no_second_one),
        TEST(test_start_puts_back_what_its_worker_had_begun),
        TEST(test_start_says_delivered_again_and_fills_the_window_with_what_lies_there),
        TEST(test_what_was_deferred_keeps_its_place_over_a_restart),
        TEST(test_a_cut_requeue_leaves_the_living_one),
        TEST(test_unfinished_files_of_a_crash_are_removed),
        TEST(test_a_task_expires_in_queue_md_while_its_agent_has_no_process),
        TEST(test_a_note_that_was_cut_short_ends_no_task_before_its_time),
        TEST(test_the_queue_md_of_an_agent_that_hibernates_is_looked_at_once_it_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
