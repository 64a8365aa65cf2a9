/* Envelopes that a turn has accepted outlive the loss of power, by their record in the journal; and envelopes that have
 * ended since don't come back. Each supervisor that is killed here is a process of its own; the test does the loss of
 * power to the files by hand, and then says that the machine was started anew. */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

#include "common/journal.h"
#include "post_office.h"

enum { COUNT = 4 };

static int names_left = -1; /* the next one kills; -1: none does */
static bool syncfs_fails, links_are_refused;
static struct timespec
    stands; /* the clock, where it isn't zero: a turn decides on all that is there, however slow it is */

static void give_name(void)
{
    if (names_left == 0)
        _exit(0);
    names_left -= names_left > 0;
}

/* In place of the C library's: the linker takes these first. */
int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    give_name();
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    give_name();
    errno = ENOENT;
    return links_are_refused ? -1 : (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int syncfs(int fd)
{
    errno = EIO;
    return syncfs_fails ? -1 : (int)syscall(SYS_syncfs, fd);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC || stands.tv_sec == 0)
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = stands;
    return 0;
}

static int rewritten; /* whole envelopes, over themselves */

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    rewritten += length > 100 && length < 4096;
    return syscall(SYS_pwrite64, fd, bytes, length, at);
}

static enum post_verdict take_item(void *context, const struct envelope *envelope,
                                   struct post_place_of_item *place, struct fault *why)
{
    struct envelope item = *envelope;
    item.status = "pending";
    envelope_print(&item, place->text);
    place->folder = "shared/queues/jobs";
    return POST_GOES;
}

static enum post_verdict has_item(void *context, const struct envelope *envelope, enum write_result result,
                                  struct fault *why)
{
    return result == WRITE_DONE ? POST_DONE : POST_LATER;
}

static const char *const ids[COUNT] = {"m0", "m1", "m2", "m3"};

static void send_messages(struct office *office)
{
    for (int i = 0; i < COUNT; i++) {
        struct envelope message = office_letter(ids[i], KIND_MESSAGE, "orion", "nova");
        office_put(office, "orion", FOLDER_OUTBOX, &message);
    }
    post_rings(office->post, "orion", "");
    UNTIL(office, office_said(office, "orion verdict m3 delivered"));
    for (int i = 0; i < COUNT; i++)
        office_move(office, "orion", FOLDER_OUTBOX, FOLDER_ARCHIVE, ids[i]);
}

static void send_letters(struct office *office)
{
    for (uint64_t ticket = 1; ticket <= COUNT; ticket++)
        assert_int_equal(post_send(office->post, "nova", "Do it.", 0, PRIORITY_NORMAL, ticket, NULL), 0);
    UNTIL(office, office_answer.ticket == COUNT);
    assert_int_equal(office_answer.exit, 0);
}

static void send_letters_in_vain(struct office *office)
{
    for (uint64_t ticket = 1; ticket <= COUNT; ticket++)
        assert_int_equal(post_send(office->post, "nova", "Do it.", 0, PRIORITY_NORMAL, ticket, NULL), 0);
    UNTIL(office, office_answer.ticket == COUNT);
    assert_int_equal(office_answer.exit, EX_IOERR);
}

static void send_items(struct office *office)
{
    post_hooks(office->post, &(struct post_hooks){.item = take_item, .item_written = has_item});
    for (uint64_t ticket = 1; ticket <= COUNT; ticket++)
        post_enqueue(office->post, "jobs", NULL, "Do it.", 0, PRIORITY_NORMAL, ticket);
    UNTIL(office, office_answer.ticket == COUNT);
    assert_int_equal(office_answer.exit, 0);
}

/* A supervisor that is killed behind this, or in the midst of it: after so many names were given; -1: not before. */
static void killed(struct office *office, void (*deed)(struct office *), int names)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        office->loop = loop_new();
        office_open(office);
        post_start(office->post);
        syncfs_fails =
            deed != send_letters_in_vain; /* however slow it is, no checkpoint overtakes the kill */
        names_left = names;
        clock_gettime(CLOCK_MONOTONIC, &stands);
        deed(office);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void start_again(struct office *office, const char *boot)
{
    journal_boot_is(boot);
    post_start(office->post);
    office_settle(office);
}

static int begin_apart(void **state)
{
    static struct office office;
    journal_boot_is("first");
    syncfs_fails = links_are_refused = false;
    office_answer = (struct office_sent){0};
    office_begin(&office, ORION_AND_IRIS);
    *state = &office;
    return 0;
}

static int lie_in(const struct office *office, const char *folder)
{
    OWNED char *path = memory_print("%s/%s", office->folder, folder);
    return count_below(path, "*.md", 101) == COUNT;
}

static void test_what_was_accepted_and_lost_with_the_power_is_written_from_the_journal(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    assert_true(lie_in(office, "agents/nova/iac/inbox"));
    office_command("cd %s/agents/nova/iac/inbox && rm m0.md && : > m1.md && truncate -s 20 m2.md && "
                   "printf '\\0\\0\\0' | dd of=m3.md conv=notrunc status=none",
                   office->folder);
    start_again(office, "second");
    for (int i = 0; i < COUNT; i++) {
        struct envelope message = office_read(office, "nova", FOLDER_INBOX, ids[i]);
        assert_string_equal(message.body, "Do it.\n");
        assert_string_equal(message.status, "delivered");
        envelope_free(&message);
    }
}

static void test_what_a_client_was_told_of_is_written_from_the_journal(void **state)
{
    struct office *office = *state;
    killed(office, send_letters, -1);
    assert_true(lie_in(office, "agents/nova/iac/inbox"));
    office_command("rm %s/agents/nova/iac/inbox/*", office->folder);
    start_again(office, "second");
    assert_true(lie_in(office, "agents/nova/iac/inbox"));
}

static void test_what_was_put_into_a_queue_is_written_from_the_journal(void **state)
{
    struct office *office = *state;
    killed(office, send_items, -1);
    assert_true(lie_in(office, "shared/queues/jobs"));
    office_command("rm -r %s/shared/queues", office->folder);
    start_again(office, "second");
    assert_true(lie_in(office, "shared/queues/jobs"));
}

static void test_an_item_that_a_consumer_has_or_has_ended_does_not_come_back(void **state)
{
    struct office *office = *state;
    killed(office, send_items, -1);
    office_command("cd %s && set -- shared/queues/jobs/* && mv $1 agents/iris/iac/handoffs/ && "
                   "mv $2 agents/iris/iac/archive/ && mv $3 agents/orion/iac/dead-letter/ && "
                   "mv $4 agents/nova/iac/inbox/",
                   office->folder);
    start_again(office, "second");
    office_command("test -z \"$(ls %s/shared/queues/jobs)\"", office->folder);
}

static void test_what_people_removed_after_a_kill_stays_removed(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    office_command("rm %s/agents/nova/iac/inbox/*", office->folder);
    start_again(office, "first");
    assert_false(mailbox_lies(office->data, "nova", "m0"));
}

static void test_a_kill_between_the_record_and_the_names_leaves_nothing_half_done(void **state)
{
    struct office *office = *state;
    killed(office, send_letters, 1);
    assert_false(lie_in(office, "agents/nova/iac/inbox"));
    start_again(office, "first");
    assert_true(lie_in(office, "agents/nova/iac/inbox"));
    office_command("test -z \"$(find %s -name '.*post-*')\"", office->folder);
}

static void test_where_nothing_can_be_linked_a_kill_does_no_more_harm(void **state)
{
    links_are_refused = true;
    test_a_kill_between_the_record_and_the_names_leaves_nothing_half_done(state);
}

static void test_what_lies_there_already_is_not_written_over(void **state)
{
    struct office *office = *state;
    struct envelope other = office_letter("m1", KIND_MESSAGE, "orion", "nova");
    other.body = "It was here before.\n";
    office_put(office, "nova", FOLDER_INBOX, &other);
    killed(office, send_messages, -1);
    start_again(office, "second");
    struct envelope found = office_read(office, "nova", FOLDER_INBOX, "m1");
    assert_string_equal(found.body, other.body);
    envelope_free(&found);
}

static void test_what_has_ended_does_not_come_back_with_the_power(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    office_move(office, "nova", FOLDER_INBOX, FOLDER_ARCHIVE, "m0");
    office_move(office, "nova", FOLDER_INBOX, FOLDER_DEAD_LETTERS, "m1");
    office_move(office, "nova", FOLDER_INBOX, FOLDER_HANDOFFS, "m2");
    office_command("rm %s/agents/nova/iac/inbox/m3.md", office->folder);
    struct envelope bounce = office_letter("m3-bounce", KIND_BOUNCE, "nova", "orion");
    bounce.in_reply_to = "m3";
    bounce.reason = "removed by hand";
    office_put(office, "orion", FOLDER_INBOX, &bounce);
    start_again(office, "second");
    office_command("test -z \"$(ls %s/agents/nova/iac/inbox)\"", office->folder);
}

static void test_what_was_torn_behind_a_move_is_mended_where_it_lies(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    office_move(office, "nova", FOLDER_INBOX, FOLDER_HANDOFFS, "m0");
    office_command(": > %s/agents/nova/iac/handoffs/m0.md", office->folder);
    start_again(office, "second");
    assert_false(office_lies(office, "nova", FOLDER_INBOX, "m0"));
    assert_status(office, "nova", FOLDER_HANDOFFS, "m0", "delivered");
}

static void test_a_workers_archive_is_for_its_own_journal_to_mend(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    office_move(office, "nova", FOLDER_INBOX, FOLDER_ARCHIVE, "m0");
    office_command(": > %s/agents/nova/iac/archive/m0.md", office->folder);
    start_again(office, "second");
    assert_false(office_lies(office, "nova", FOLDER_INBOX, "m0"));
    office_command("test ! -s %s/agents/nova/iac/archive/m0.md", office->folder);
}

/* Whoever has it may end it, and then nothing in a tree but its own journal may know that. */
static void give_one_out(struct office *office)
{
    struct fault fault = {""};
    struct envelope item = office_letter("given", KIND_ITEM, "operator", "queue:jobs");
    send_items(office);
    syncfs_fails = true;
    assert_false(post_put(office->post, "iris", &item, &fault));
    assert_false(office_lies(office, "iris", FOLDER_HANDOFFS, "given"));
    syncfs_fails = false;
    assert_true(post_put(office->post, "iris", &item, &fault));
    syncfs_fails = true;
}

static void test_what_is_given_out_has_left_the_journal(void **state)
{
    struct office *office = *state;
    killed(office, give_one_out, -1);
    office_command("rm %s/shared/queues/jobs/*", office->folder);
    start_again(office, "second");
    office_command("test -z \"$(ls %s/shared/queues/jobs)\"", office->folder);
}

static void test_what_worker_or_people_made_of_it_stays(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    office_command("cd %s/agents/nova/iac/inbox && sed -i 's/Do it/Do it well/' m0.md && "
                   "sed -i 's/status: delivered/status: reading/' m1.md",
                   office->folder);
    start_again(office, "second");
    struct envelope edited = office_read(office, "nova", FOLDER_INBOX, "m0");
    assert_string_equal(edited.body, "Do it well.\n");
    envelope_free(&edited);
    assert_status(office, "nova", FOLDER_INBOX, "m1", "reading");
}

static void test_nothing_comes_to_an_agent_that_is_no_more(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    office_command("rm -r %s/agents/nova", office->folder);
    post_agent_gone(office->post, "nova");
    start_again(office, "second");
    office_command("test ! -e %s/agents/nova", office->folder);
}

static bool journal_is_empty(const struct office *office)
{
    OWNED_FD int place = files_open(office->data, ".run", O_RDONLY | O_DIRECTORY, 0);
    struct fault fault;
    struct journal *journal = journal_open(place, NULL, &fault);
    assert_non_null(journal);
    bool empty = journal_size(journal) == 0;
    journal_close(journal);
    return empty;
}

static void test_a_checkpoint_empties_the_journal_and_an_end_makes_one(void **state)
{
    struct office *office = *state;
    start_again(office, "first");
    send_messages(office);
    post_close(office->post);
    assert_true(journal_is_empty(office));
    office_open(office);
    office_command("rm %s/agents/nova/iac/inbox/*", office->folder);
    start_again(office, "second");
    assert_false(mailbox_lies(office->data, "nova", "m0"));
}

/* Files that came to the kernel and not to the disk count as clean by then: they are written once more. */
static void test_a_checkpoint_that_fails_keeps_the_record_and_writes_the_files_once_more(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    syncfs_fails = true;
    start_again(office, "first");
    post_close(office->post);
    assert_false(journal_is_empty(office));
    office_open(office);
    post_start(office->post);
    syncfs_fails = false;
    rewritten = 0;
    post_close(office->post);
    assert_int_equal(rewritten, COUNT);
    assert_true(journal_is_empty(office));
    assert_true(lie_in(office, "agents/nova/iac/inbox"));
    office_open(office);
}

static void test_while_a_checkpoint_fails_what_is_written_is_flushed_where_it_lies(void **state)
{
    struct office *office = *state;
    killed(office, send_messages, -1);
    syncfs_fails = true;
    start_again(office, "first");
    send_letters_in_vain(office);
}

static void test_what_fails_in_its_place_is_told_and_does_not_come_back(void **state)
{
    struct office *office = *state;
    office_command("cd %s/agents/nova/iac && rmdir inbox && : > inbox", office->folder);
    killed(office, send_letters_in_vain, -1);
    office_command("cd %s/agents/nova/iac && rm inbox && mkdir inbox", office->folder);
    start_again(office, "second");
    office_command("test -z \"$(ls %s/agents/nova/iac/inbox)\"", office->folder);
}

#define APART(test) cmocka_unit_test_setup_teardown(test, begin_apart, office_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APART(test_what_was_accepted_and_lost_with_the_power_is_written_from_the_journal),
        APART(test_what_a_client_was_told_of_is_written_from_the_journal),
        APART(test_what_was_put_into_a_queue_is_written_from_the_journal),
        APART(test_an_item_that_a_consumer_has_or_has_ended_does_not_come_back),
        APART(test_what_people_removed_after_a_kill_stays_removed),
        APART(test_a_kill_between_the_record_and_the_names_leaves_nothing_half_done),
        APART(test_where_nothing_can_be_linked_a_kill_does_no_more_harm),
        APART(test_what_lies_there_already_is_not_written_over),
        APART(test_what_has_ended_does_not_come_back_with_the_power),
        APART(test_what_was_torn_behind_a_move_is_mended_where_it_lies),
        APART(test_a_workers_archive_is_for_its_own_journal_to_mend),
        APART(test_what_is_given_out_has_left_the_journal),
        APART(test_what_worker_or_people_made_of_it_stays),
        APART(test_nothing_comes_to_an_agent_that_is_no_more),
        APART(test_a_checkpoint_empties_the_journal_and_an_end_makes_one),
        APART(test_a_checkpoint_that_fails_keeps_the_record_and_writes_the_files_once_more),
        APART(test_while_a_checkpoint_fails_what_is_written_is_flushed_where_it_lies),
        APART(test_what_fails_in_its_place_is_told_and_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
