/* Work queues: each item with one consumer at a time, whoever dies. */
#include "tests/unit/queues_fixture.h"

static void test_an_item_goes_to_one_consumer_and_its_file_says_who(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *has = holder(world, "a");
    assert_true(strcmp(has, "orion") == 0 || strcmp(has, "iris") == 0);
    OWNED char *text = queue_text(world, "a"), *line = memory_print("\nconsumer: %s\n", has);
    assert_non_null(strstr(text, "\nstatus: delivered\n"));
    assert_non_null(strstr(text, line));
    finish(world, has, "a");
    queues_item_ended(world->queues, has, "a", "finished");
    OWNED char *gone = queue_text(world, "a");
    assert_string_equal(gone, "");
    assert_int_equal(world->bounces.length, 0);
}

static void test_the_one_with_the_most_room_gets_it_and_equals_take_turns(void **state)
{
    struct world *world = *state;
    world->window[0] = 2;
    world->window[1] = 16;
    add(world, "a");
    add(world, "b");
    assert_string_equal(holder(world, "a"), "iris");
    assert_string_equal(holder(world, "b"), "iris");
    world->window[0] = world->window[1] = 8;
    world->window[0] -= 2; /* as much room as the other consumer */
    add(world, "c");
    const char *third = holder(world, "c");
    add(world, "d");
    assert_string_not_equal(holder(world, "d"), third);
}

static void test_a_sender_gets_its_own_item_only_when_no_other_consumer_has_room(void **state)
{
    struct world *world = *state;
    world->window[0] = 16;
    world->window[1] = 1;
    add_from(world, "a", "orion");
    add_from(world, "b", "orion");
    assert_string_equal(holder(world, "a"), "iris");
    assert_string_equal(holder(world, "b"), "orion");
}

static void test_an_item_goes_only_to_whom_its_sender_may_send_to_and_holds_up_no_other(void **state)
{
    struct world *world = *state;
    world->window[1] = 1;
    add_from(world, "a", "bound");
    add_from(world, "b", "bound");
    add(world, "c");
    assert_string_equal(holder(world, "a"), "iris");
    assert_string_equal(holder(world, "b"), "nobody");
    assert_string_equal(holder(world, "c"), "orion");
}

static void test_without_room_items_wait_and_the_first_by_priority_and_age_goes_first(void **state)
{
    struct world *world = *state;
    struct fault why;
    size_t waiting, under_way;
    world->window[0] = world->window[1] = 0;
    struct envelope old = item("old"), older = item("older"), high = item("urgent");
    old.created = 2000;
    high.created = 3000;
    high.priority = PRIORITY_HIGH;
    assert_int_equal(queues_add(world->queues, &old, false, &why), QUEUE_TAKEN);
    assert_int_equal(queues_add(world->queues, &older, false, &why), QUEUE_TAKEN);
    assert_int_equal(queues_add(world->queues, &high, false, &why), QUEUE_TAKEN);
    turn(world);
    queues_count(world->queues, "reviews", &waiting, &under_way);
    assert_int_equal(waiting, 3);
    static const char *const order[] = {"urgent", "older", "old"};
    for (int64_t i = 0; i < 3; i++) {
        world->window[0] = i + 1;
        queues_room(world->queues, "orion");
        turn(world);
        assert_string_equal(holder(world, order[i]), "orion");
        queues_count(world->queues, "reviews", &waiting, &under_way);
        assert_int_equal(waiting, 2 - i);
        assert_int_equal(under_way, i + 1);
    }
}

static void test_it_is_given_back_when_its_worker_dies_and_another_one_gets_it(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a"), *second = other_than(first);
    begin(world, first, "a");
    die(world, first);
    assert_string_equal(holder(world, "a"), "nobody");
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nstatus: pending\n"));
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    assert_non_null(strstr(text, "given back: the worker of"));
    ready(world, first);
    assert_string_equal(holder(world, "a"), second);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
}

static void test_one_that_was_not_begun_costs_no_attempt(void **state)
{
    struct world *world = *state;
    add(world, "a");
    die(world, holder(world, "a"));
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nattempts: 0\n"));
}

static void test_after_max_attempts_it_is_a_dead_letter_and_the_sender_is_told(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a"), *second = other_than(first);
    begin(world, first, "a");
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), second);
    begin(world, second, "a");
    die(world, second);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_true(lies_in(world, second, POST_DEAD_LETTER, "a"));
    assert_string_equal(world->bounces.data, "a max_attempts\n");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    restart(world);
    assert_string_equal(holder(world, "a"), "nobody");
}

static void test_while_the_journal_is_not_done_nothing_is_taken_back(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a");
    begin(world, first, "a");
    world->unfinished[agent_of(first)] = true;
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), first);
    finish(world, first, "a"); /* the copy that its successor's recovery brings out */
    ready(world, first);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    assert_int_equal(world->bounces.length, 0);
}

static void test_an_item_in_doubt_that_had_not_ended_stays_with_the_successor(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a");
    world->unfinished[agent_of(first)] = true;
    die(world, first);
    ready(world, first);
    assert_string_equal(holder(world, "a"), first);
    begin(world, first, "a");
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), other_than(first));
}

/* A supervisor that was killed right behind the last step of taking back leaves the copy that it took. */
static void test_a_copy_taken_at_an_earlier_death_is_not_believed_at_the_next(void **state)
{
    struct world *world = *state;
    struct envelope old = item("a");
    world->window[1] = 0;
    add(world, "a");
    begin(world, "orion", "a");
    die(world, "orion");
    old.attempts = 1;
    assert_true(write_at(world, "shared/queues/reviews/.a.taken", &old));
    restart(world);
    assert_string_equal(holder(world, "a"), "orion");
    world->window[1] = 4;
    die(world, "orion");
    turn(world);
    assert_string_equal(holder(world, "a"), "iris");
}

/* Between two file systems taking is copying; cut behind it, both lie there. */
static void test_a_copy_beside_what_it_was_taken_from_counts_for_nothing(void **state)
{
    struct world *world = *state;
    struct envelope old = item("a");
    world->window[1] = 0;
    add(world, "a");
    begin(world, "orion", "a");
    assert_true(write_at(world, "shared/queues/reviews/.a.taken", &old));
    restart(world);
    assert_string_equal(holder(world, "a"), "orion");
    assert_true(write_at(world, "shared/queues/reviews/.a.taken", &old));
    world->window[1] = 4;
    die(world, "orion");
    turn(world);
    assert_string_equal(holder(world, "a"), "iris"); /* and not both */
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    assert_int_equal(faccessat(world->data, "shared/queues/reviews/.a.taken", F_OK, 0), -1);
}

static void test_a_folder_planted_in_a_copys_place_is_taken_away_once(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a"), *second = other_than(first);
    OWNED char *path = path_of(first, POST_HANDOFFS, "a"), *inner = memory_print("%s/file", path);
    assert_int_equal(unlinkat(world->data, path, 0), 0);
    assert_int_equal(mkdirat(world->data, path, 0755), 0);
    assert_true(files_write(world->data, inner, "x", 1, false, NULL));
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), second);
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    die(world, second);
    ready(world, first);
    assert_string_equal(holder(world, "a"), first);
}

static void test_a_finished_one_whose_end_was_not_told_is_not_done_again(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a");
    finish(world, first, "a");
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

static void test_a_consumer_that_sent_it_itself_has_a_copy_that_ends_nothing(void **state)
{
    struct world *world = *state;
    struct envelope mine = item("a");
    OWNED char *path = path_of("orion", POST_ARCHIVE, "a");
    mine.created = clock_now();
    mine.status = (char[]){"delivered"};
    assert_true(write_at(world, path, &mine));
    world->window[1] = 0;
    add(world, "a");
    assert_string_equal(holder(world, "a"), "orion");
    restart(world);
    assert_string_equal(holder(world, "a"), "orion");
}

static void test_an_id_is_taken_once_also_when_its_end_lies_behind_it(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope envelope = item("a");
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    turn(world);
    const char *has = holder(world, "a");
    finish(world, has, "a");
    queues_item_ended(world->queues, has, "a", "finished");
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

static void test_a_requeued_one_lives_again_beside_its_dead_letter(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope dead = item("a");
    OWNED char *path = path_of("orion", POST_DEAD_LETTER, "a");
    dead.status = (char[]){"failed"};
    assert_true(write_at(world, path, &dead));
    dead.created = clock_now();
    assert_int_equal(queues_add(world->queues, &dead, true, &why), QUEUE_TAKEN);
    turn(world);
    assert_string_not_equal(holder(world, "a"), "nobody");
    restart(world);
    assert_string_not_equal(holder(world, "a"), "nobody");
}

static void test_a_queue_that_is_none_refuses(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope envelope = item("a");
    envelope.to = (char[]){"queue:nowhere"};
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_REFUSED);
    assert_string_equal(why.text, "there is no queue 'nowhere' in agents.yaml");
}

/* Every place where an item can lie when the supervisor dies, and the next start's way with it. */
static void test_after_a_restart_each_item_is_in_one_place_wherever_it_was_cut(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    add(world, "out"); /* with orion, in its handoffs */
    assert_string_equal(holder(world, "out"), "orion");
    struct envelope cut = item("between-a-and-b");
    cut.status = (char[]){"delivered"};
    cut.consumer = (char[]){"orion"};
    assert_true(write_at(world, "shared/queues/reviews/between-a-and-b.md", &cut));
    cut.id = (char[]){"between-c-and-d"};
    assert_true(write_at(world, "shared/queues/reviews/between-c-and-d.md", &cut));
    cut.attempts = 1;
    cut.status = (char[]){"reading"};
    assert_true(write_at(world, "shared/queues/reviews/.between-c-and-d.taken", &cut));
    cut.attempts = 0;
    cut.status = (char[]){"delivered"};
    cut.id = (char[]){"archived"};
    assert_true(write_at(world, "shared/queues/reviews/archived.md", &cut));
    cut.status = (char[]){"finished"};
    assert_true(write_at(world, "agents/orion/iac/archive/archived.md", &cut));
    cut.id = (char[]){"buried"};
    cut.status = (char[]){"delivered"};
    assert_true(write_at(world, "shared/queues/reviews/buried.md", &cut));
    cut.status = (char[]){"failed"};
    assert_true(write_at(world, "agents/orion/iac/dead-letter/buried.md", &cut));
    cut.id = (char[]){"undone"};
    cut.consumer = NULL;
    cut.status = (char[]){"pending"};
    assert_true(write_at(world, "shared/queues/reviews/undone.md", &cut));
    cut.consumer = (char[]){"iris"};
    assert_true(write_at(world, "agents/iris/iac/handoffs/undone.md", &cut));
    cut.id = (char[]){"undone-and-finished"}; /* the power was cut, and (a) was lost */
    cut.consumer = NULL;
    assert_true(write_at(world, "shared/queues/reviews/undone-and-finished.md", &cut));
    assert_true(write_at(world, "shared/queues/reviews/.undone-and-finished.taken", &cut));
    cut.status = (char[]){"finished"};
    cut.consumer = (char[]){"iris"};
    assert_true(write_at(world, "agents/iris/iac/archive/undone-and-finished.md", &cut));
    world->window[1] = 16;
    restart(world);
    assert_string_equal(holder(world, "out"), "orion");
    assert_string_equal(holder(world, "undone"), "iris");
    assert_string_equal(holder(world, "undone-and-finished"), "nobody");
    assert_string_not_equal(holder(world, "between-a-and-b"), "nobody");
    assert_string_not_equal(holder(world, "between-a-and-b"), "both");
    assert_string_not_equal(holder(world, "between-c-and-d"), "nobody");
    assert_string_not_equal(holder(world, "between-c-and-d"), "both");
    OWNED char *text = queue_text(world, "between-c-and-d");
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    assert_string_equal(holder(world, "archived"), "nobody");
    assert_string_equal(holder(world, "buried"), "nobody");
    assert_string_equal(world->bounces.data, "buried failed\n");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 4);
    assert_int_equal(faccessat(world->data, "shared/queues/reviews/.between-c-and-d.taken", F_OK, 0), -1);
}

static void test_an_item_of_an_agent_that_will_not_run_goes_to_another_one_at_start(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    add(world, "a");
    assert_string_equal(holder(world, "a"), "orion");
    queues_close(world->queues);
    world->window[1] = 4;
    world->worker[0] = QUEUE_WORKER_NONE;
    start(world);
    assert_string_equal(holder(world, "a"), "iris");
}

static void test_what_expires_in_the_queue_is_a_dead_letter_and_bounces(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope brief = item("brief");
    world->window[0] = world->window[1] = 0;
    brief.created = clock_now();
    brief.ttl_seconds = 60;
    assert_int_equal(queues_add(world->queues, &brief, false, &why), QUEUE_TAKEN);
    turn(world);
    assert_int_equal(expiry_next(world->expiry), brief.created + 60);
    assert_true(expiry_ring(world->expiry, brief.created + 60));
    turn(world);
    assert_true(lies_in(world, "orion", POST_DEAD_LETTER, "brief"));
    assert_string_equal(world->bounces.data, "brief expired\n");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    assert_int_equal(expiry_next(world->expiry), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_item_goes_to_one_consumer_and_its_file_says_who),
        TEST(test_the_one_with_the_most_room_gets_it_and_equals_take_turns),
        TEST(test_a_sender_gets_its_own_item_only_when_no_other_consumer_has_room),
        TEST(test_an_item_goes_only_to_whom_its_sender_may_send_to_and_holds_up_no_other),
        TEST(test_without_room_items_wait_and_the_first_by_priority_and_age_goes_first),
        TEST(test_it_is_given_back_when_its_worker_dies_and_another_one_gets_it),
        TEST(test_one_that_was_not_begun_costs_no_attempt),
        TEST(test_after_max_attempts_it_is_a_dead_letter_and_the_sender_is_told),
        TEST(test_while_the_journal_is_not_done_nothing_is_taken_back),
        TEST(test_an_item_in_doubt_that_had_not_ended_stays_with_the_successor),
        TEST(test_a_copy_taken_at_an_earlier_death_is_not_believed_at_the_next),
        TEST(test_a_copy_beside_what_it_was_taken_from_counts_for_nothing),
        TEST(test_a_folder_planted_in_a_copys_place_is_taken_away_once),
        TEST(test_a_finished_one_whose_end_was_not_told_is_not_done_again),
        TEST(test_a_consumer_that_sent_it_itself_has_a_copy_that_ends_nothing),
        TEST(test_an_id_is_taken_once_also_when_its_end_lies_behind_it),
        TEST(test_a_requeued_one_lives_again_beside_its_dead_letter),
        TEST(test_a_queue_that_is_none_refuses),
        TEST(test_after_a_restart_each_item_is_in_one_place_wherever_it_was_cut),
        TEST(test_an_item_of_an_agent_that_will_not_run_goes_to_another_one_at_start),
        TEST(test_what_expires_in_the_queue_is_a_dead_letter_and_bounces),
    };
    return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
