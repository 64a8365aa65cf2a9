/* The post office when its storage fails to read: envelopes in an outbox are sent, and in their order; expired ones
 * end. */
#include "tests/unit/failing.h"

#include "common/test_clock.h"
#include "post_office.h"
#include "supervisor/post/part.h"

enum { NAMES = 2 + 2 + 1 /* the dots, two letters, the end */ };

static void test_an_outbox_that_is_listed_in_part_is_sent_whole_and_in_order(void **state)
{
    struct office *office = *state;
    for (int nth = 0; nth < NAMES; nth++) {
        /* The older one has the later name: neither the folder's order nor the names' is right by chance. */
        OWNED char *old = memory_print("z%d", nth), *new = memory_print("a%d", nth);
        OWNED char *old_said = memory_print("orion verdict %s delivered", old);
        OWNED char *new_said = memory_print("orion verdict %s delivered", new);
        struct envelope first = office_letter(old, KIND_MESSAGE, "orion", "nova");
        struct envelope second = office_letter(new, KIND_MESSAGE, "orion", "nova");
        first.created = clock_now() - 50;
        second.created = clock_now() - 40;
        office_command("rm -f %s/agents/orion/iac/outbox/* %s/agents/nova/iac/inbox/*", office->folder,
                       office->folder);
        office_put(office, "orion", FOLDER_OUTBOX, &first);
        office_put(office, "orion", FOLDER_OUTBOX, &second);
        names_left = nth;
        post_rings(office->post, "orion", "");
        UNTIL(office, office_said(office, old_said) && office_said(office, new_said));
        assert_int_equal(names_left, -1);
        assert_true(strstr(office->said.data, old_said) < strstr(office->said.data, new_said));
        office_forget(office);
    }
}

/* A file takes one read. */
static void test_a_task_expires_in_queue_md_though_a_file_could_not_be_read_once(void **state)
{
    struct office *office = *state;
    char created[CLOCK_TEXT];
    clock_format(clock_now() - 10, created);
    for (int nth = 0; nth < 2; nth++) {
        office_command("cd %s/agents/iris && rm -f iac/dead-letter/* && mkdir -p .agentos && echo none > "
                       ".agentos/seen && "
                       "printf '## t%d\\ntask: late\\ncreated: %s\\nttl_seconds: 5\\n' > queue.md",
                       office->folder, nth, created);
        OWNED char *id = memory_print("t%d", nth);
        reads_left = nth;
        post_worker_down(office->post, "iris");
        assert_int_equal(reads_left, -1);
        UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, id));
        post_worker_starts(office->post, "iris");
    }
}

/* It has lived before, and its sender was told of that end: so that is read, too. */
static void test_an_envelope_expires_and_its_sender_is_told_though_reads_fail(void **state)
{
    struct office *office = *state;
    for (int nth = 0; nth < 8; nth++) {
        OWNED char *id = memory_print("h%d", nth), *former = memory_print("%s-bounce", id);
        struct envelope sent = office_letter(id, KIND_HANDOFF, "orion", "nova"),
                        told = office_letter(former, KIND_BOUNCE, "nova", "orion");
        sent.ttl_seconds = 10;
        sent.created = clock_now() - 9;
        told.created = clock_now() - 50;
        office_put(office, "orion", FOLDER_ARCHIVE, &sent);
        office_put(office, "orion", FOLDER_ARCHIVE, &told);
        office_put(office, "nova", FOLDER_HANDOFFS, &sent);
        OWNED char *bounce = memory_print("%s-%lld", former, (long long)sent.created);
        post_changed(office->post, "nova");
        office_settle(office);
        reads_left = nth;
        UNTIL(office, office_lies(office, "orion", FOLDER_INBOX, bounce));
        reads_left = -1;
        OWNED char *said = memory_print("nova event expired %s: it was not read within 10 s", id);
        UNTIL(office, office_said(office, said));
        struct envelope dead = office_read(office, "nova", FOLDER_DEAD_LETTERS, id);
        assert_string_equal(dead.status, "expired");
        envelope_free(&dead);
        assert_false(office_lies(office, "nova", FOLDER_HANDOFFS, id));
    }
}

static int64_t window_of(struct office *office, const char *agent)
{
    struct post_pressure pressure;
    assert_true(post_pressure(office->post, agent, &pressure));
    return pressure.window;
}

static int64_t window_when_unreadable(struct office *office, const char *agent)
{
    for_long = true;
    reads_left = 0;
    int64_t window = window_of(office, agent);
    for_long = false;
    reads_left = -1;
    return window;
}

static void test_a_class_that_can_not_be_read_stays_what_it_was(void **state)
{
    struct office *office = *state;
    office_command("printf -- '---\\nthroughput_class: fast\\n---\\n' > %s/agents/orion/persona.md",
                   office->folder);
    assert_int_equal(window_when_unreadable(office, "orion"), 4);
    assert_int_equal(window_of(office, "orion"), 16);
    office_command("printf -- '---\\nthroughput_class: slow\\n---\\n' > %s/agents/orion/persona.md",
                   office->folder);
    assert_int_equal(window_when_unreadable(office, "orion"), 16);
    assert_int_equal(window_of(office, "orion"), 1);
}

static int64_t window_lately(const struct office *office)
{
    struct post_pressure pressure;
    assert_true(post_pressure_lately(office->post, "orion", &pressure));
    return pressure.window;
}

static void test_a_class_is_told_to_others_as_it_was_a_second_ago_at_most(void **state)
{
    struct office *office = *state;
    office_command("printf -- '---\\nthroughput_class: fast\\n---\\n' > %s/agents/orion/persona.md",
                   office->folder);
    assert_int_equal(window_lately(office), 16);
    office_command("printf -- '---\\nthroughput_class: slow\\n---\\n' > %s/agents/orion/persona.md",
                   office->folder);
    test_clock_move(1000, 1000);
    assert_int_equal(window_lately(office), 1);
    office_command("rm %s/agents/orion/persona.md", office->folder);
    /* the post office does not ask the disk for it again so soon */
    assert_int_equal(window_lately(office), 1);
    assert_int_equal(window_of(office, "orion"), 4);
}

static bool has_counted(struct box *box, enum folder folder, size_t count)
{
    post_scan(box->post);
    return box->look.marks[folder] != 0 && box->counts[folder].count == count;
}

static void test_depths_show_each_change_behind_a_look(void **state)
{
    static const enum folder folders[] = {FOLDER_INBOX, FOLDER_HANDOFFS, FOLDER_DEAD_LETTERS};
    struct office *office = *state;
    struct box *box = post_box(office->post, "iris");
    struct post_depths depths;
    struct envelope first = office_letter("d", KIND_HANDOFF, "orion", "iris"), second = first;
    second.id = (char[]){"e"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        office_put(office, "iris", folders[i], &first);
        UNTIL(office, has_counted(box, folders[i], 1));
        office_put(office, "iris", folders[i], &second);
    }
    assert_true(post_depths(office->post, "iris", &depths));
    assert_int_equal(depths.inbox, 2);
    assert_int_equal(depths.handoffs, 2);
    assert_int_equal(depths.dead_letters, 2);
    struct post_depths waiting;
    assert_true(post_depths_waiting(office->post, "iris", &waiting));
    assert_memory_equal(&waiting, &depths, sizeof depths); /* its outbox is empty */
}

static bool counts(struct box *box, int64_t changed_ns, int64_t begun_ns)
{
    struct file_stamp stamp = {.inode = 1, .modified_ns = changed_ns, .changed_ns = changed_ns};
    post_looked(box, FOLDER_INBOX, &stamp, 0, begun_ns);
    return box->look.marks[FOLDER_INBOX] != 0;
}

static void test_a_look_counts_only_if_each_change_after_it_shows_in_the_folders_time(void **state)
{
    static const int64_t second_ns = 1000000000, coarse_ns = 100000000;
    struct office *office = *state;
    struct box *box = post_box(office->post, "orion");
    int64_t changed_ns = 1000 * second_ns; /* a file system that keeps no fractions */
    assert_false(counts(box, changed_ns, changed_ns + 2 * second_ns));
    assert_true(counts(box, changed_ns, changed_ns + 3 * second_ns));
    changed_ns++;
    assert_false(counts(box, changed_ns, changed_ns + coarse_ns));
    assert_true(counts(box, changed_ns, changed_ns + coarse_ns + 1));
    assert_false(counts(box, changed_ns, changed_ns - second_ns)); /* the clock was set back */
}

static void test_a_file_that_can_not_be_read_is_tried_again_after_a_second_and_not_at_each_turn(void **state)
{
    struct office *office = *state;
    struct box *box = post_box(office->post, "iris");
    struct envelope handoff = office_letter("h1", KIND_HANDOFF, "operator", "iris");
    office_put(office, "iris", FOLDER_HANDOFFS, &handoff);
    reads_left = 0;
    for_long = true;
    post_changed(office->post, "iris");
    office_settle(office);
    reads_left = -1;
    for_long = false;
    assert_true(box->look.wanted);
    assert_in_range(box->look.after_ms - clock_monotonic_ms(), 1, RETRY_MS);
    test_clock_move(RETRY_MS, RETRY_MS);
    UNTIL(office, post_knows(office->post, "iris", mailbox_folder_name(FOLDER_HANDOFFS), "h1.md"));
}

/* --- a look at a full folder --- */

enum { CROWDED = 1000 };

static size_t known_of_iris(const struct office *office)
{
    size_t known = 0;
    for (int i = 0; i < CROWDED; i++) {
        OWNED char *file = memory_print("h%d.md", i);
        known += post_knows(office->post, "iris", mailbox_folder_name(FOLDER_HANDOFFS), file);
    }
    return known;
}

/* As people copy files there: nothing is flushed. */
static void put_soon(const struct office *office, const struct envelope *handoff)
{
    OWNED char *path = memory_print("%s/agents/iris/iac/handoffs/%s.md", office->folder, handoff->id);
    OWNED_BUFFER struct buffer text = {0};
    FILE *file = fopen(path, "w");
    envelope_print(handoff, &text);
    assert_true(file && fwrite(text.data, text.length, 1, file) == 1 && fclose(file) == 0);
}

static void test_a_look_at_a_full_folder_rests_so_that_others_have_their_turns(void **state)
{
    struct office *office = *state;
    bool rested = false;
    size_t known;
    for (int i = 0; i < CROWDED; i++) {
        OWNED char *id = memory_print("h%d", i);
        struct envelope handoff = office_letter(id, KIND_HANDOFF, "operator", "iris");
        put_soon(office, &handoff);
    }
    post_changed(office->post, "iris");
    UNTIL(office, (known = known_of_iris(office), rested = rested || (known > 0 && known < CROWDED / 2),
                   known == CROWDED));
    assert_true(rested);
}

int main(void)
{
    const struct CMUnitTest promises[] = {
        cmocka_unit_test_setup_teardown(test_an_outbox_that_is_listed_in_part_is_sent_whole_and_in_order,
                                        office_setup, office_teardown),
        cmocka_unit_test_setup_teardown(test_a_look_at_a_full_folder_rests_so_that_others_have_their_turns,
                                        office_setup, office_teardown),
        cmocka_unit_test_setup_teardown(test_a_task_expires_in_queue_md_though_a_file_could_not_be_read_once,
                                        office_setup, office_teardown),
        cmocka_unit_test_setup_teardown(test_an_envelope_expires_and_its_sender_is_told_though_reads_fail,
                                        office_setup, office_teardown),
        cmocka_unit_test_setup_teardown(test_a_class_that_can_not_be_read_stays_what_it_was, office_setup,
                                        office_teardown),
        cmocka_unit_test_setup_teardown(test_a_class_is_told_to_others_as_it_was_a_second_ago_at_most,
                                        office_setup, office_teardown),
        cmocka_unit_test_setup_teardown(
            test_a_look_counts_only_if_each_change_after_it_shows_in_the_folders_time, office_setup,
            office_teardown),
        cmocka_unit_test_setup_teardown(
            test_a_file_that_can_not_be_read_is_tried_again_after_a_second_and_not_at_each_turn, office_setup,
            office_teardown),
        cmocka_unit_test_setup_teardown(test_depths_show_each_change_behind_a_look, office_setup,
                                        office_teardown),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
