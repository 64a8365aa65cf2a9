/* Tasks of queue.md that expire while their agent has no process: from when a block counts, and whose dead letter it
 * is. */
#include <inttypes.h>
#include <time.h>

#include "common/format/block.h"
#include "common/message.h"
#include "common/names.h"
#include "common/test_clock.h"
#include "post_office.h"

enum { HOUR_S = 3600 };

static void write_queue(const struct office *office, const char *text)
{
    OWNED char *path = memory_print("%s/agents/iris/queue.md", office->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void put_queue(struct office *office, const char *text)
{
    write_queue(office, text);
    post_queue_changed(office->post, "iris");
    office_settle(office);
}

static void iris_is_down(struct office *office)
{
    put_queue(office, "");
    post_worker_down(office->post, "iris");
    office_settle(office);
}

static void later(struct office *office, int seconds)
{
    test_clock_move(seconds * 1000, seconds * 1000);
    post_scan(office->post);
    office_settle(office);
}

static void test_a_block_without_a_created_counts_from_when_it_was_met(void **state)
{
    struct office *office = *state;
    iris_is_down(office);
    later(office, 2 * HOUR_S);
    put_queue(office, "## t1\ntask: Do it\nttl_seconds: 3600\n");
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
    later(office, HOUR_S / 2);
    put_queue(office, "## t1\ntask: Do it\nttl_seconds: 3600\n\n## t2\ntask: Do it\nttl_seconds: 3600\n");
    later(office, HOUR_S / 2 + 1);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t2"));
    later(office, HOUR_S / 2);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t2"));
}

static void test_a_block_that_was_taken_away_and_comes_again_counts_anew(void **state)
{
    struct office *office = *state;
    put_queue(office, "## t1\ntask: Do it\nttl_seconds: 3600\n");
    post_worker_down(office->post, "iris");
    office_settle(office);
    later(office, HOUR_S / 2);
    put_queue(office, "");
    later(office, HOUR_S);
    put_queue(office, "## t1\ntask: Do it\nttl_seconds: 3600\n");
    later(office, HOUR_S / 2);
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
    later(office, HOUR_S / 2 + 1);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
}

/* The worker reads no larger file of them, and would forget all of its notes. */
static void test_notes_of_very_many_blocks_that_expired_keep_to_the_size_that_is_read(void **state)
{
    enum { SEEN_MAX = 8 * 1024 * 1024, COUNT = 20 };
    struct office *office = *state;
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = memory_print("%s/agents/iris/.agentos/seen", office->folder);
    for (int i = 0; i < COUNT; i++)
        buffer_print(&text, "## t%d\ntask: Do it\nttl_seconds: 60\n\n", i);
    office_command("mkdir -p %s/agents/iris/.agentos && head -c %d /dev/zero | tr '\\0' '\\n' > %s",
                   office->folder, SEEN_MAX - 200, path);
    post_worker_down(office->post, "iris");
    put_queue(office, text.data);
    later(office, 61);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t19"));
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_in_range(status.st_size, SEEN_MAX - 199, SEEN_MAX);
}

/* Two lines of the worker's are about one block: the block was done or taken away, and was appended again. */
static void test_a_block_that_came_again_counts_from_the_later_of_its_workers_notes(void **state)
{
    struct office *office = *state;
    static const char text[] = "## t1\ntask: Do it\nttl_seconds: 3600\n";
    struct block_list blocks;
    block_parse(&blocks, text, strlen(text));
    const struct block *block = &blocks.items[0];
    OWNED char *path = memory_print("%s/agents/iris/.agentos/seen", office->folder);
    office_command("mkdir -p %s/agents/iris/.agentos", office->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int ago = 2 * HOUR_S; ago > 0; ago -= 3 * HOUR_S / 2)
        fprintf(file, "%016" PRIx64 " %016" PRIx64 " %" PRId64 "\n",
                (uint64_t)names_hash(block->id, strlen(block->id)), (uint64_t)block->hash, clock_now() - ago);
    fclose(file);
    block_list_free(&blocks);
    post_worker_down(office->post, "iris");
    put_queue(office, text);
    later(office, HOUR_S / 4);
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
    later(office, HOUR_S / 4 + 1);
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "t1"));
}

/* A queue.md that is put there with an old time stamp, as a backup has it. */
static void test_a_block_with_a_created_has_a_letter_beside_that_of_an_earlier_block(void **state)
{
    struct office *office = *state;
    char created[CLOCK_TEXT];
    struct envelope dead = office_letter("t1", KIND_TASK, "operator", "iris");
    dead.created = clock_now() - 3 * HOUR_S;
    dead.finished = clock_now() - 2 * HOUR_S;
    dead.status = "expired";
    office_put(office, "iris", FOLDER_DEAD_LETTERS, &dead);
    clock_format(clock_now() - HOUR_S, created);
    office_command("cd %s/agents/iris && printf '## t1\\ntask: Another\\ncreated: %s\\nttl_seconds: 60\\n' > "
                   "queue.md && "
                   "touch -d '3 days ago' queue.md",
                   office->folder, created);
    post_worker_down(office->post, "iris");
    office_settle(office);
    struct envelope letter = office_read(office, "iris", FOLDER_DEAD_LETTERS, "t1");
    assert_string_equal(letter.body, "Another");
    envelope_free(&letter);
}

static size_t count_dead(const struct office *office)
{
    struct mailbox_names names = {0};
    mailbox_list(office->data, "iris", FOLDER_DEAD_LETTERS, &names);
    size_t count = names.count;
    mailbox_names_free(&names);
    return count;
}

/* Each of them is a file that is flushed, and the other agents wait meanwhile. */
static void test_a_turn_buries_some_of_very_many_and_the_next_turns_the_others(void **state)
{
    enum { COUNT = 600 };
    struct office *office = *state;
    OWNED_BUFFER struct buffer text = {0};
    for (int i = 0; i < COUNT; i++)
        buffer_print(&text, "## t%d\ntask: Do it\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 5\n\n", i);
    post_worker_down(office->post, "iris");
    office_settle(office);
    write_queue(office, text.data);
    post_queue_changed(office->post, "iris");
    assert_in_range(count_dead(office), 1, COUNT / 2);
    UNTIL(office, count_dead(office) == COUNT);
}

static void test_a_task_whose_heading_is_larger_than_an_envelope_has_its_dead_letter(void **state)
{
    struct office *office = *state;
    OWNED char *heading = memory_new(300001, 1);
    memset(heading, 'x', 300000);
    OWNED char *text =
        memory_print("## %s\ntask: Do it\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 5\n", heading);
    post_worker_down(office->post, "iris");
    put_queue(office, text);
    OWNED char *file = names_file(heading);
    struct envelope letter = office_read(office, "iris", FOLDER_DEAD_LETTERS, file);
    assert_string_equal(letter.body, "Do it");
    assert_int_equal(strlen(letter.trace), MESSAGE_TASK_MOST);
    envelope_free(&letter);
}

/* As a worker that was taken over leaves it. One block's twin stands far away from it, and has time left. */
static void put_large_queue(const struct office *office, size_t blocks, struct buffer *text)
{
    const char *past = "created: 2026-04-29T10:05:00Z\nttl_seconds: 5\n";
    buffer_print(text, "## twin\ntask: Again\n%s\n## first\ntask: Do it\n%s\n", past, past);
    for (size_t i = 0; i < blocks; i++)
        buffer_print(text,
                     "## t%zu\ntask: A task of some length, as a person gives it\nttl_seconds: 90000\n\n", i);
    buffer_print(text, "## last\ntask: Do it, too\n%s\n## twin\ntask: Again\n", past);
    write_queue(office, text->data);
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double time_of_parse(const struct buffer *text)
{
    struct block_list list;
    double before = cpu_ms();
    block_parse(&list, text->data, text->length);
    block_list_free(&list);
    return cpu_ms() - before;
}

static void test_a_turn_goes_through_a_part_of_a_large_queue(void **state)
{
    struct office *office = *state;
    OWNED_BUFFER struct buffer text = {0};
    iris_is_down(office);
    put_large_queue(office, 200 * 1000, &text);
    double parse = time_of_parse(&text), worst = 0, before = cpu_ms();
    post_queue_changed(office->post, "iris");
    worst = cpu_ms() - before;
    UNTIL(office, (worst = cpu_ms() - before > worst ? cpu_ms() - before : worst, before = cpu_ms(),
                   office_lies(office, "iris", FOLDER_DEAD_LETTERS, "last")));
    assert_true(worst < parse / 4);
    assert_true(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "first"));
    office_settle(office);
    assert_false(office_lies(office, "iris", FOLDER_DEAD_LETTERS, "twin"));
    assert_int_equal(count_dead(office), 2);
}

static void test_what_is_put_into_a_large_queue_while_it_is_gone_through_is_seen(void **state)
{
    struct office *office = *state;
    OWNED_BUFFER struct buffer text = {0};
    iris_is_down(office);
    put_large_queue(office, 40 * 1000, &text);
    post_queue_changed(office->post, "iris");
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "first"));
    buffer_text(&text, "\n## new\ntask: Do this\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 5\n");
    write_queue(office, text.data);
    post_queue_changed(office->post, "iris");
    UNTIL(office, office_lies(office, "iris", FOLDER_DEAD_LETTERS, "new"));
    assert_int_equal(count_dead(office), 3);
}

/* A block that is longer than the parts in which the file is parsed, and such with a long text before them. */
static void test_long_tasks_expire_as_short_ones_do(void **state)
{
    struct office *office = *state;
    OWNED_BUFFER struct buffer text = {0};
    iris_is_down(office);
    for (int i = 0; i < 3; i++) {
        buffer_print(&text, "## long%d\ntask: |\n", i);
        for (int line = 0; line < 20000; line++)
            buffer_text(&text, "  A line of the task's text.\n");
        buffer_text(&text, "created: 2026-04-29T10:05:00Z\nttl_seconds: 5\n");
    }
    put_queue(office, text.data);
    UNTIL(office, count_dead(office) == 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, office_setup, office_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_block_without_a_created_counts_from_when_it_was_met),
        TEST(test_a_block_that_was_taken_away_and_comes_again_counts_anew),
        TEST(test_notes_of_very_many_blocks_that_expired_keep_to_the_size_that_is_read),
        TEST(test_a_block_that_came_again_counts_from_the_later_of_its_workers_notes),
        TEST(test_a_turn_buries_some_of_very_many_and_the_next_turns_the_others),
        TEST(test_a_turn_goes_through_a_part_of_a_large_queue),
        TEST(test_what_is_put_into_a_large_queue_while_it_is_gone_through_is_seen),
        TEST(test_long_tasks_expire_as_short_ones_do),
        TEST(test_a_task_whose_heading_is_larger_than_an_envelope_has_its_dead_letter),
        TEST(test_a_block_with_a_created_has_a_letter_beside_that_of_an_earlier_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
