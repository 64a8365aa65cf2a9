/* The files of an agent's iac/ as the supervisor touches them. */
#include <errno.h>

#include "post_office.h"

#include <signal.h>

static enum mailbox_found read_it(struct office *office, const char *id, struct fault *fault)
{
    struct envelope envelope;
    enum mailbox_found found = mailbox_read(office->data, "iris", FOLDER_INBOX, id, &envelope, NULL, fault);
    envelope_free(&envelope);
    return found;
}

static void test_reading_follows_no_link_and_never_blocks(void **state)
{
    struct office *office = *state;
    struct fault fault;
    office_command(
        "cd %s/agents/iris/iac/inbox && ln -s /etc/passwd link.md && mkfifo fifo.md && mkdir dir.md && "
        "head -c 266241 /dev/zero > big.md && printf -- '---\\nid: x\\n' > torn.md",
        office->folder);
    assert_int_equal(read_it(office, "none", &fault), MAILBOX_GONE);
    assert_int_equal(read_it(office, "link", &fault), MAILBOX_NONE);
    assert_non_null(strstr(fault.text, "is a link"));
    assert_int_equal(read_it(office, "fifo", &fault), MAILBOX_NONE);
    assert_int_equal(read_it(office, "dir", &fault), MAILBOX_NONE);
    assert_int_equal(read_it(office, "big", &fault), MAILBOX_NONE);
    assert_non_null(strstr(fault.text, "266241 bytes"));
    assert_int_equal(read_it(office, "torn", &fault), MAILBOX_NONE);
    office_command("cd %s/agents/iris/iac && mv inbox other && ln -s other inbox", office->folder);
    assert_int_equal(read_it(office, "torn", &fault), MAILBOX_NONE);
}

static void test_a_list_is_sorted_and_has_what_could_be_envelopes(void **state)
{
    struct office *office = *state;
    struct mailbox_names names;
    office_command("cd %s/agents/iris/iac/inbox && touch b.md a.md .hidden.md c.txt 'x y.md' .md d.md.new",
                   office->folder);
    assert_true(mailbox_list(office->data, "iris", FOLDER_INBOX, &names));
    assert_int_equal(names.count, 2);
    assert_string_equal(names.ids[0], "a");
    assert_string_equal(names.ids[1], "b");
    assert_true(names.whole);
    mailbox_names_free(&names);
    assert_true(mailbox_list(office->data, "nobody", FOLDER_INBOX, &names));
    assert_int_equal(names.count, 0);
    assert_true(names.whole);
}

static void test_a_folder_without_end_is_read_in_part_and_says_so(void **state)
{
    struct office *office = *state;
    struct mailbox_names names;
    office_command("cd %s/agents/iris/iac/inbox && seq -f '%%05g.md' 1 %d | xargs touch", office->folder,
                   MAILBOX_NAMES_MAX + 100);
    assert_true(mailbox_list(office->data, "iris", FOLDER_INBOX, &names));
    assert_false(names.whole);
    assert_true(names.count <= MAILBOX_NAMES_MAX + 1);
    mailbox_names_free(&names);
}

static void test_a_move_never_takes_anothers_place(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("a", KIND_HANDOFF, "orion", "iris");
    office_put(office, "iris", FOLDER_INBOX, &letter);
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &letter);
    assert_false(mailbox_move(office->data, "iris", FOLDER_INBOX, FOLDER_DEAD_LETTERS, "a"));
    assert_int_equal(errno, EEXIST);
    assert_false(mailbox_move(office->data, "iris", FOLDER_INBOX, FOLDER_DEAD_LETTERS, "b"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(mailbox_lies(office->data, "iris", "a"), 1u << FOLDER_INBOX | 1u << FOLDER_DEAD_LETTERS);
}

static void write_many(struct office *office, int count, const char *broken)
{
    struct batch batch = {0};
    size_t numbers[8];
    OWNED char *big = memory_new(ENVELOPE_MAX, 1);
    memset(big, 'b', ENVELOPE_MAX - 4096);
    for (int i = 0; i < count; i++) {
        OWNED char *id = memory_print("w%d-%d", count, i);
        struct envelope letter = office_letter(id, KIND_HANDOFF, "orion", "iris");
        letter.body = big;
        numbers[i] = mailbox_add(&batch,
                                 i % 2   ? "iris"
                                 : i % 4 ? "nova"
                                         : "orion",
                                 FOLDER_INBOX, &letter, false);
    }
    batch_flush(office->data, &batch);
    for (int i = 0; i < count; i++) {
        struct fault fault;
        const char *agent = i % 2 ? "iris" : i % 4 ? "nova" : "orion";
        enum write_result result = batch_result(&batch, numbers[i], &fault);
        OWNED char *id = memory_print("w%d-%d", count, i);
        bool harmed = broken && strcmp(agent, broken) == 0;
        assert_int_equal(result, harmed ? WRITE_FAILED : WRITE_DONE);
        assert_int_equal(office_lies(office, agent, FOLDER_INBOX, id), !harmed);
    }
    batch_free(&batch);
}

static void test_one_that_cannot_be_written_harms_none_of_its_batch(void **state)
{
    struct office *office = *state;
    write_many(office, 1, NULL);
    write_many(office, 2, NULL);
    write_many(office, 8, NULL);
    office_command("cd %s/agents/iris/iac && rm -r inbox && ln -s ../../nova/iac/inbox inbox",
                   office->folder);
    write_many(office, 5, "iris");
    office_command("cd %s/agents && test -z \"$(ls -A nova/iac/inbox orion/iac/inbox | grep post-)\"",
                   office->folder);
}

static void test_what_lies_there_is_overwritten_only_when_it_is_meant(void **state)
{
    struct office *office = *state;
    struct fault fault;
    struct envelope first = office_letter("a", KIND_HANDOFF, "orion", "iris"), second = first;
    second.body = "Another.\n";
    assert_int_equal(mailbox_write(office->data, "iris", FOLDER_INBOX, &first, false, &fault), WRITE_DONE);
    assert_int_equal(mailbox_write(office->data, "iris", FOLDER_INBOX, &second, false, &fault), WRITE_EXISTS);
    struct envelope there = office_read(office, "iris", FOLDER_INBOX, "a");
    assert_string_equal(there.body, "Do it.\n");
    envelope_free(&there);
    assert_int_equal(mailbox_write(office->data, "iris", FOLDER_INBOX, &second, true, &fault), WRITE_DONE);
    there = office_read(office, "iris", FOLDER_INBOX, "a");
    assert_string_equal(there.body, "Another.\n");
    envelope_free(&there);
}

/* The kernel ends such a lease within /proc/sys/fs/lease-break-time: the test does not wait for that. */
static void test_a_file_under_a_lease_is_for_later_and_nobody_waits_for_it(void **state)
{
    struct office *office = *state;
    struct envelope letter = office_letter("leased", KIND_MESSAGE, "orion", "iris");
    struct fault fault = {""};
    signal(SIGIO, SIG_IGN); /* which the kernel sends to the holder */
    office_put(office, "iris", FOLDER_INBOX, &letter);
    OWNED_FD int held = openat(office->data, "agents/iris/iac/inbox/leased.md", O_RDWR | O_CLOEXEC);
    if (fcntl(held, F_SETLEASE, F_WRLCK) != 0)
        skip(); /* a file system without leases */
    int64_t before = clock_monotonic_ms();
    struct envelope there = {0};
    assert_int_equal(mailbox_read(office->data, "iris", FOLDER_INBOX, "leased", &there, NULL, &fault),
                     MAILBOX_LATER);
    assert_true(clock_monotonic_ms() - before < 5000);
    assert_int_equal(fcntl(held, F_SETLEASE, F_UNLCK), 0);
    assert_int_equal(mailbox_read(office->data, "iris", FOLDER_INBOX, "leased", &there, NULL, &fault),
                     MAILBOX_READ);
    envelope_free(&there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, office_setup, office_teardown)
        TEST(test_reading_follows_no_link_and_never_blocks),
        TEST(test_a_file_under_a_lease_is_for_later_and_nobody_waits_for_it),
        TEST(test_a_list_is_sorted_and_has_what_could_be_envelopes),
        TEST(test_a_folder_without_end_is_read_in_part_and_says_so),
        TEST(test_a_move_never_takes_anothers_place),
        TEST(test_one_that_cannot_be_written_harms_none_of_its_batch),
        TEST(test_what_lies_there_is_overwritten_only_when_it_is_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
