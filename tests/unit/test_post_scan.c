/* The scans find files that people put into the folders of very many agents: at once where the kernel doesn't tell of
 * them, else within a minute, so that a scan of all costs little. */
#include "common/test_clock.h"
#include "post_office.h"

enum { CROWD = 700, SCAN_S = 5, RARE_S = 15, MINUTE_S = 60 };

static char names[CROWD][16];
static bool watched;

static bool is_watched(const void *subject)
{
    return subject && watched;
}

static int setup(void **state)
{
    static struct office office;
    OWNED_BUFFER struct buffer yaml = {0};
    buffer_text(&yaml, "agents:\n");
    for (size_t i = 0; i < CROWD; i++) {
        snprintf(names[i], sizeof names[i], "agent-%03zu", i);
        buffer_print(&yaml, "  - {name: %s, persona: p}\n", names[i]);
    }
    office_watch = is_watched;
    office_begin(&office, yaml.data);
    post_start(office.post);
    post_go_on(office.post);
    office_settle(&office);
    for (size_t i = 0; i < CROWD; i++)
        post_worker_starts(office.post, names[i]);
    office_settle(&office);
    watched = true;
    *state = &office;
    return 0;
}

static int teardown(void **state)
{
    office_end(*state);
    office_watch = NULL;
    return 0;
}

static void put_one_each(const struct office *office, const char *id)
{
    for (size_t i = 0; i < CROWD; i++) {
        struct envelope handoff = office_letter(id, KIND_HANDOFF, "operator", names[i]);
        office_put(office, names[i], FOLDER_HANDOFFS, &handoff);
    }
}

static size_t count_found(const struct office *office, const char *id)
{
    OWNED char *file = memory_print("%s.md", id);
    size_t count = 0;
    for (size_t i = 0; i < CROWD; i++)
        count += post_knows(office->post, names[i], mailbox_folder_name(FOLDER_HANDOFFS), file);
    return count;
}

static void scan_after(struct office *office, int seconds)
{
    test_clock_move(seconds * 1000, seconds * 1000);
    post_scan(office->post);
    office_settle(office);
}

static void scan(struct office *office)
{
    scan_after(office, SCAN_S);
}

static void scan_for(struct office *office, int seconds)
{
    for (int gone = 0; gone < seconds; gone += SCAN_S)
        scan(office);
}

static void test_without_the_kernels_word_each_scan_finds_all(void **state)
{
    static const char *const ids[] = {"one", "two", "three"};
    struct office *office = *state;
    watched = false;
    scan_for(office, MINUTE_S);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        put_one_each(office, ids[i]);
        scan(office);
        UNTIL(office, count_found(office, ids[i]) == CROWD);
    }
}

static void test_with_it_all_are_found_within_a_minute_and_not_by_each_scan(void **state)
{
    static const char *const ids[] = {"one", "two", "three"};
    struct office *office = *state;
    size_t least = CROWD;
    scan_for(office, MINUTE_S);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        put_one_each(office, ids[i]);
        scan(office);
        size_t found = count_found(office, ids[i]);
        least = found < least ? found : least;
    }
    assert_true(least < CROWD);
    scan_for(office, MINUTE_S);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        UNTIL(office, count_found(office, ids[i]) == CROWD);
}

static void test_so_are_those_of_agents_without_a_process(void **state)
{
    struct office *office = *state;
    for (size_t i = 0; i < CROWD; i++)
        post_worker_down(office->post, names[i]);
    scan_for(office, MINUTE_S);
    put_one_each(office, "one");
    scan(office);
    assert_true(count_found(office, "one") < CROWD);
    scan_for(office, MINUTE_S - SCAN_S);
    UNTIL(office, count_found(office, "one") == CROWD);
    put_one_each(office, "two"); /* by the folders' paths, which were opened by now */
    scan_for(office, MINUTE_S);
    UNTIL(office, count_found(office, "two") == CROWD);
}

static void test_within_a_minute_so_is_what_people_put_into_their_outboxes(void **state)
{
    struct office *office = *state;
    size_t found = 0;
    for (size_t i = 0; i < CROWD; i++)
        post_worker_down(office->post, names[i]);
    scan_for(office, 2 * MINUTE_S);
    for (size_t i = 0; i < CROWD; i++) {
        struct envelope handoff = office_letter("sent", KIND_HANDOFF, names[i], names[(i + 1) % CROWD]);
        office_put(office, names[i], FOLDER_OUTBOX, &handoff);
    }
    for (int gone = 0; gone < MINUTE_S; gone += RARE_S)
        scan_after(office, RARE_S);
    for (size_t i = 0; i < CROWD; i++)
        found += office_lies(office, names[i], FOLDER_HANDOFFS, "sent");
    assert_int_equal(found, CROWD);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_the_kernels_word_each_scan_finds_all),
        TEST(test_with_it_all_are_found_within_a_minute_and_not_by_each_scan),
        TEST(test_so_are_those_of_agents_without_a_process),
        TEST(test_within_a_minute_so_is_what_people_put_into_their_outboxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
