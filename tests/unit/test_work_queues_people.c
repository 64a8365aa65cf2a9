/* Work queues: files that people drop, move, edit and delete, and the deeds of the operator and of a failing
 * storage. */
#include "tests/unit/queues_fixture.h"

static void test_plain_text_that_people_drop_becomes_an_item(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    drop(world, "note.md", "Look at this\n");
    drop(world, "with blanks.md", "---\npriority: high\nttl_seconds: 600\n---\nAnd at this\n");
    drop(world, "empty.md", "");
    drop(world, "note.md~", "a backup\n");
    queues_scan(world->queues);
    turn(world);
    assert_string_equal(holder(world, "note"), "orion");
    OWNED char *text = queue_text(world, "note");
    assert_non_null(strstr(text, "id: note\nkind: item\nfrom: operator\nto: queue:reviews\n"));
    assert_non_null(strstr(text, "\n---\nLook at this\n"));
    assert_int_equal(count_in(world, "agents/orion/iac/handoffs"), 2);
    OWNED char *command =
        memory_print("grep -l 'priority: high' '%s'/agents/orion/iac/handoffs/with-blanks-*.md "
                     ">/dev/null && grep -q 'ttl_seconds: 600' '%s'/agents/orion/iac/handoffs/with*",
                     world->path, world->path);
    assert_int_equal(system(command), 0);
}

static void test_a_copiers_temporary_name_is_no_work_and_its_rename_is_done_once(void **state)
{
    struct world *world = *state;
    static const char *const names_of_others[] = {
        "x.md.tmp", "x.txt", "x", "x.md.part", "~$x.md", "x.sync-conflict-20260429-101010-ABCDEFG.md"};
    for (size_t i = 0; i < sizeof names_of_others / sizeof *names_of_others; i++)
        drop(world, names_of_others[i], "Look at this\n");
    queues_scan(world->queues);
    turn(world);
    assert_int_equal(
        count_in(world, "agents/orion/iac/handoffs") + count_in(world, "agents/iris/iac/handoffs"), 0);
    assert_int_equal(
        renameat(world->data, "shared/queues/reviews/x.md.tmp", world->data, "shared/queues/reviews/x.md"),
        0);
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "x"), "nobody");
    assert_int_equal(
        count_in(world, "agents/orion/iac/handoffs") + count_in(world, "agents/iris/iac/handoffs"), 1);
}

static void test_the_same_name_dropped_again_is_new_work(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    drop(world, "note.md", "One\n");
    queues_scan(world->queues);
    turn(world);
    finish(world, "orion", "note");
    queues_item_ended(world->queues, "orion", "note", "finished");
    drop(world, "note.md", "Two\n");
    queues_scan(world->queues);
    turn(world);
    assert_int_equal(count_in(world, "agents/orion/iac/handoffs"), 1);
    assert_string_equal(holder(world, "note"), "nobody");
}

static void test_a_dropped_envelope_is_an_item_of_this_queue_whatever_it_says(void **state)
{
    struct world *world = *state;
    struct envelope envelope = item("other-id");
    envelope.kind = KIND_HANDOFF;
    envelope.to = (char[]){"orion"};
    envelope.status = (char[]){"delivered"};
    envelope.consumer = (char[]){"orion"};
    assert_true(write_at(world, "shared/queues/reviews/mine.md", &envelope));
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "mine"), "nobody");
    assert_string_not_equal(holder(world, "mine"), "both");
}

static void test_what_is_no_item_is_set_aside_and_stops_nothing(void **state)
{
    struct world *world = *state;
    drop(world, "torn.md", "---\nid: torn\nkind: item\n");
    drop(world, "lacks.md", "---\nid: lacks\nkind: item\n---\nbody\n");
    drop(world, "binary.md", "\xff\xfe");
    drop(world, "blank.md", " \n\n");
    assert_int_equal(symlinkat("/etc/passwd", world->data, "shared/queues/reviews/link.md"), 0);
    assert_int_equal(mkfifoat(world->data, "shared/queues/reviews/fifo.md", 0600), 0);
    assert_int_equal(mkdirat(world->data, "shared/queues/reviews/folder.md", 0700), 0);
    char *huge = memory_new(ENVELOPE_MAX + 2, 1);
    memset(huge, 'x', ENVELOPE_MAX + 1);
    drop(world, "huge.md", huge);
    free(huge);
    drop(world, "good.md", "good\n");
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "good"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
    OWNED char *command =
        memory_print("test $(ls '%s/shared/queues/reviews' | grep -c unreadable) = 8", world->path);
    assert_int_equal(system(command), 0);
}

static void test_a_file_that_is_being_written_is_left_until_it_is_closed(void **state)
{
    struct world *world = *state;
    OWNED_FD int fd =
        openat(world->data, "shared/queues/reviews/slow.md", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "half", 4), 4);
    queues_scan(world->queues);
    turn(world);
    assert_string_equal(holder(world, "slow"), "nobody");
    assert_int_equal(write(fd, " and half\n", 10), 10);
    close(fd);
    fd = -1;
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "slow"), "nobody");
    OWNED char *text = queue_text(world, "slow");
    assert_non_null(strstr(text, "half and half\n"));
}

static void test_a_waiting_item_that_people_delete_is_gone_and_its_sender_told(void **state)
{
    struct world *world = *state;
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    assert_int_equal(unlinkat(world->data, "shared/queues/reviews/a.md", 0), 0);
    queues_scan(world->queues);
    assert_int_equal(world->bounces.length, 0); /* an editor may be saving */
    queues_scan(world->queues);
    assert_string_equal(world->bounces.data, "a removed by hand\n");
    world->window[0] = 4;
    queues_room(world->queues, "orion");
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
}

static void test_an_item_that_is_being_saved_while_many_files_arrive_is_not_deleted(void **state)
{
    struct world *world = *state;
    size_t turns = 0;
    queues_scan(world->queues);
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    world->agents_folders_take_us = 15 * 1000; /* a look has time for few files */
    assert_int_equal(unlinkat(world->data, "shared/queues/reviews/a.md", 0), 0);
    for (int i = 0; i < 5; i++) {
        OWNED char *path = memory_print("shared/queues/reviews/dropped-%d.md", i);
        assert_true(files_write(world->data, path, "work\n", 5, false, NULL));
    }
    queues_scan(world->queues);
    for (; world->due && turns < 1000; turns++) {
        world->due = false;
        queues_turn(world->queues);
    }
    assert_true(turns > 2);
    assert_int_equal(world->bounces.length, 0);
    queues_scan(world->queues);
    assert_string_equal(world->bounces.data, "a removed by hand\n");
}

static void test_a_waiting_item_that_people_move_to_an_agent_is_its_own_and_nobody_elses(void **state)
{
    struct world *world = *state;
    OWNED char *path = path_of("iris", POST_HANDOFFS, "a");
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    assert_int_equal(renameat(world->data, "shared/queues/reviews/a.md", world->data, path), 0);
    queues_scan(world->queues);
    queues_scan(world->queues);
    world->window[0] = 4;
    turn(world);
    assert_int_equal(world->bounces.length, 0);
    assert_string_equal(holder(world, "a"), "iris");
    finish(world, "iris", "a");
    queues_item_ended(world->queues, "iris", "a", "finished");
    assert_int_equal(world->bounces.length, 0);
}

static void test_an_edited_body_is_what_the_consumer_gets(void **state)
{
    struct world *world = *state;
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    OWNED char *command =
        memory_print("sed -i 's/the work/other work/' '%s/shared/queues/reviews/a.md'", world->path);
    assert_int_equal(system(command), 0);
    world->window[0] = 4;
    queues_scan(world->queues);
    turn(world);
    OWNED char *path = path_of("orion", POST_HANDOFFS, "a"), *text = NULL;
    size_t length;
    assert_int_equal(files_read(world->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL), 1);
    assert_non_null(strstr(text, "other work\n"));
}

static void wait_a_second(struct world *world)
{
    for (int i = 0; i < 300; i++) {
        usleep(10 * 1000);
        world->due = true;
        turn(world);
    }
}

static void test_while_storage_fails_items_wait_and_then_go_on(void **state)
{
    struct world *world = *state;
    world->put_fails = true;
    add(world, "a");
    assert_string_equal(holder(world, "a"), "nobody");
    world->put_fails = false;
    for (int tries = 0; tries < 100 && strcmp(holder(world, "a"), "nobody") == 0; tries++) {
        usleep(50 * 1000);
        world->due = true;
        turn(world);
    }
    const char *first = holder(world, "a"), *second = other_than(first);
    begin(world, first, "a");
    die(world, first);
    turn(world);
    begin(world, second, "a");
    world->bury_fails = world->bounce_fails = true;
    die(world, second);
    turn(world);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
    world->bury_fails = false;
    wait_a_second(world);
    assert_true(lies_in(world, second, POST_DEAD_LETTER, "a"));
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
    world->bounce_fails = false;
    wait_a_second(world);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    assert_string_equal(world->bounces.data, "a max_attempts\n");
}

static void test_the_operators_items_are_checked(void **state)
{
    struct world *world = *state;
    struct fault fault;
    assert_int_equal(queues_check(world->queues, "nowhere", "x", 0, &fault), EX_NOINPUT);
    assert_int_equal(queues_check(world->queues, "reviews", " \n", 0, &fault), EX_DATAERR);
    assert_int_equal(queues_check(world->queues, "reviews", "\xff", 0, &fault), EX_DATAERR);
    assert_int_equal(queues_check(world->queues, "reviews", "x", -1, &fault), EX_DATAERR);
    assert_int_equal(queues_check(world->queues, "reviews", "x", 60, &fault), EX_OK);
}

static void test_a_reload_without_the_queue_leaves_its_items_where_they_are(void **state)
{
    static const char without[] = "agents:\n  - {name: orion, persona: p}\n";
    struct world *world = *state;
    OWNED_BUFFER struct buffer faults = {0};
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    struct roster *roster = roster_parse(without, strlen(without), "agents.yaml", &faults);
    queues_roster(world->queues, roster);
    world->window[0] = 4;
    queues_scan(world->queues);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    queues_roster(world->queues, world->roster);
    roster_free(roster);
    turn(world);
    assert_string_equal(holder(world, "a"), "orion");
}

static void test_hundreds_of_items_are_given_out_one_window_after_the_other(void **state)
{
    struct world *world = *state;
    size_t done = 0;
    for (int i = 0; i < 100; i++) {
        OWNED char *id = memory_print("item-%03d", i);
        add(world, id);
    }
    for (int rounds = 0; rounds < 200 && done < 100; rounds++)
        for (int i = 0; i < 100; i++) {
            OWNED char *id = memory_print("item-%03d", i);
            const char *has = holder(world, id);
            assert_string_not_equal(has, "both");
            if (strcmp(has, "nobody") == 0)
                continue;
            finish(world, has, id);
            queues_item_ended(world->queues, has, id, "finished");
            queues_room(world->queues, "orion");
            turn(world);
            done++;
        }
    assert_int_equal(done, 100);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_plain_text_that_people_drop_becomes_an_item),
        TEST(test_a_copiers_temporary_name_is_no_work_and_its_rename_is_done_once),
        TEST(test_the_same_name_dropped_again_is_new_work),
        TEST(test_a_dropped_envelope_is_an_item_of_this_queue_whatever_it_says),
        TEST(test_what_is_no_item_is_set_aside_and_stops_nothing),
        TEST(test_a_file_that_is_being_written_is_left_until_it_is_closed),
        TEST(test_a_waiting_item_that_people_delete_is_gone_and_its_sender_told),
        TEST(test_an_item_that_is_being_saved_while_many_files_arrive_is_not_deleted),
        TEST(test_a_waiting_item_that_people_move_to_an_agent_is_its_own_and_nobody_elses),
        TEST(test_an_edited_body_is_what_the_consumer_gets),
        TEST(test_while_storage_fails_items_wait_and_then_go_on),
        TEST(test_the_operators_items_are_checked),
        TEST(test_a_reload_without_the_queue_leaves_its_items_where_they_are),
        TEST(test_hundreds_of_items_are_given_out_one_window_after_the_other),
    };
    return cmocka_run_group_tests_name("queues_people", tests, NULL, NULL);
}
