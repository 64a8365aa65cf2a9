/* The post office of a crowd: a start takes the boxes up in slices, and no envelope overtakes the files of a box that
 * was not taken up yet. */
#include "post_office.h"

enum { CROWD = 200 };

static char names[CROWD][16];
static size_t last; /* an agent whose box post_start has left for later */

static bool is_taken_up(const struct office *office, size_t i)
{
    OWNED char *path = memory_print("agents/%s/iac/inbox/.cut.md.post-1", names[i]);
    return faccessat(office->data, path, F_OK, 0) != 0;
}

static size_t count_taken_up(const struct office *office)
{
    size_t count = 0;
    for (size_t i = 0; i < CROWD; i++)
        count += is_taken_up(office, i);
    return count;
}

/* A write that a crash has cut lies in each inbox, and one handoff fills the window of each agent. */
static int setup(void **state)
{
    static struct office office;
    OWNED_BUFFER struct buffer yaml = {0};
    buffer_text(&yaml, "throughput_classes: {slow: {window: 1, backlog: 1}}\n"
                       "defaults: {throughput_class: slow}\nagents:\n");
    for (size_t i = 0; i < CROWD; i++) {
        snprintf(names[i], sizeof names[i], "agent-%03zu", i);
        buffer_print(&yaml, "  - {name: %s, persona: p}\n", names[i]);
    }
    office_begin(&office, yaml.data);
    for (size_t i = 0; i < CROWD; i++) {
        OWNED char *id = memory_print("h-%s", names[i]);
        struct envelope handoff = office_letter(id, KIND_HANDOFF, "operator", names[i]);
        OWNED char *cut = memory_print("agents/%s/iac/inbox/.cut.md.post-1", names[i]);
        office_put(&office, names[i], FOLDER_HANDOFFS, &handoff);
        OWNED_FD int file = openat(office.data, cut, O_CREAT | O_WRONLY, 0600);
        assert_true(file >= 0);
    }
    post_start(office.post);
    for (last = 0; last < CROWD && is_taken_up(&office, last); last++)
        ;
    assert_in_range(last, 0, CROWD - 1); /* else the slice was no slice */
    *state = &office;
    return 0;
}

static void test_a_start_takes_up_the_boxes_in_slices_and_all_of_them(void **state)
{
    struct office *office = *state;
    size_t before = count_taken_up(office);
    assert_in_range(before, 16, CROWD - 1);
    office_settle(office); /* the agents are begun first */
    assert_int_equal(count_taken_up(office), before);
    post_go_on(office->post);
    UNTIL(office, count_taken_up(office) == CROWD);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(post_room(office->post, names[i]), 0);
}

static void test_a_worker_is_asked_for_after_its_box_is_taken_up(void **state)
{
    struct office *office = *state;
    post_worker_starts(office->post, names[last]);
    assert_true(is_taken_up(office, last));
}

static void test_status_tells_what_lies_in_a_box_that_was_not_taken_up(void **state)
{
    struct office *office = *state;
    struct post_pressure pressure;
    assert_true(post_pressure(office->post, names[last], &pressure));
    assert_int_equal(pressure.unfinished, 1);
}

static void test_nothing_is_let_into_a_window_that_is_not_known_yet(void **state)
{
    struct office *office = *state;
    const char *sender = names[last == 0];
    struct envelope letter = office_letter("late", KIND_HANDOFF, sender, names[last]);
    struct fault fault;
    office_send(office, &letter, sender);
    assert_int_equal(post_send(office->post, names[last], "Hello", 0, PRIORITY_NORMAL, 7, &fault), 0);
    office_answer.ticket = 0;
    UNTIL(office, office_answer.ticket == 7);
    post_go_on(office->post);
    UNTIL(office, count_taken_up(office) == CROWD);
    office_settle(office);
    assert_false(office_lies(office, names[last], FOLDER_HANDOFFS, "late"));
    assert_false(office_lies(office, names[last], FOLDER_INBOX, office_answer.id));
    OWNED char *id = memory_print("h-%s", names[last]);
    office_move(office, names[last], FOLDER_HANDOFFS, FOLDER_ARCHIVE, id);
    post_settled(office->post, names[last], id, "finished", "");
    UNTIL(office, office_lies(office, names[last], FOLDER_HANDOFFS, "late") ||
                      office_lies(office, names[last], FOLDER_INBOX, office_answer.id));
}

static void test_a_change_that_is_noticed_takes_the_box_up_and_is_told(void **state)
{
    struct office *office = *state;
    OWNED char *told = memory_print("%s look and wake", names[last]);
    post_worker_down(office->post, names[last]);
    post_changed(office->post, names[last]);
    UNTIL(office, office_said(office, told));
    assert_true(is_taken_up(office, last));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, office_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_start_takes_up_the_boxes_in_slices_and_all_of_them),
        TEST(test_a_worker_is_asked_for_after_its_box_is_taken_up),
        TEST(test_status_tells_what_lies_in_a_box_that_was_not_taken_up),
        TEST(test_nothing_is_let_into_a_window_that_is_not_known_yet),
        TEST(test_a_change_that_is_noticed_takes_the_box_up_and_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
