/* Deferred tasks: each has a backoff of its own, and is forgotten when it has left the queue or the mail. */
#include "tests/unit/mail_fixture.h"

#include <sys/stat.h>

#include "common/clock.h"
#include "common/message.h"
#include "common/test_clock.h"
#include "worker/cycle/deferred.h"
#include "worker/queue/queue.h"

struct bench {
    void *desk;
    struct queue *queue;
    struct deferred *deferred;
};

static int begin(void **state)
{
    struct bench *bench = memory_new(1, sizeof *bench);
    desk_begin(&bench->desk);
    bench->queue = queue_open(((struct desk *)bench->desk)->scratch->tree, NULL);
    bench->deferred = deferred_open(((struct desk *)bench->desk)->scratch->tree);
    *state = bench;
    return bench->queue ? 0 : -1;
}

static int end(void **state)
{
    struct bench *bench = *state;
    deferred_close(bench->deferred);
    queue_close(bench->queue);
    int status = desk_end(&bench->desk);
    free(bench);
    return status;
}

static void write_queue(struct bench *bench, const char *text)
{
    struct desk *desk = bench->desk;
    assert_true(files_write(desk->scratch->tree, TREE_QUEUE, text, strlen(text), false, NULL));
    assert_true(queue_look(bench->queue, NULL, NULL));
}

static bool reconcile(struct bench *bench)
{
    return deferred_reconcile(bench->deferred, bench->queue, ((struct desk *)bench->desk)->mail);
}

static void assert_printed(struct bench *bench, const char *text)
{
    OWNED_BUFFER struct buffer problems = {0};
    deferred_print(bench->deferred, &problems);
    assert_string_equal(problems.length > 0 ? problems.data : "", text);
}

/* answered_ms: when the provider last answered any request. */
static int64_t add_try(struct bench *bench, const char *id, uint64_t hash, const char *why,
                       int64_t answered_ms)
{
    return deferred_add(bench->deferred, &(struct deferred_try){
                                             .id = id, .hash = hash, .why = why, .answered_ms = answered_ms});
}

static int64_t add(struct bench *bench, const char *id, uint64_t hash, const char *why)
{
    return add_try(bench, id, hash, why, 0);
}

static void
test_the_pause_is_a_second_and_grows_threefold_up_to_a_minute_while_nobody_is_answered(void **state)
{
    struct bench *bench = *state;
    static const int64_t expected[] = {1000, 3000, 9000, 27000, 60000, 60000};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(add(bench, "odd", 7, "why"), expected[i]);
        assert_true(deferred_has(bench->deferred, "odd", 7));
        assert_null(deferred_spent(bench->deferred, "odd", 7));
        test_clock_move(0, expected[i]);
        assert_false(deferred_has(bench->deferred, "odd", 7));
        assert_true(deferred_knows(bench->deferred, "odd", 7));
    }
    assert_int_equal(add(bench, "new", 8, "why"), 1000);
}

static void test_eight_tries_that_count_take_more_than_ten_minutes_and_then_the_task_is_spent(void **state)
{
    struct bench *bench = *state;
    static const int64_t expected[] = {1000, 3000, 9000, 27000, 81000, 243000, 300000, 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_null(deferred_spent(bench->deferred, "odd", 7));
        assert_int_equal(add_try(bench, "odd", 7, "refused", clock_monotonic_ms()), expected[i]);
        test_clock_move(0, expected[i] + 10);
    }
    assert_string_equal(deferred_spent(bench->deferred, "odd", 7), "refused");
    assert_false(deferred_has(bench->deferred, "odd", 7));
}

static void
test_eight_tries_within_ten_minutes_are_not_enough_and_none_counts_without_an_answer_to_others(void **state)
{
    struct bench *bench = *state;
    int64_t answered = clock_monotonic_ms();
    for (int i = 0; i < 20; i++) {
        add_try(bench, "hasty", 7, "refused", clock_monotonic_ms());
        add_try(bench, "lonely", 8, "refused", answered);
        deferred_retry(bench->deferred);
        assert_false(deferred_has(bench->deferred, "hasty", 7));
        test_clock_move(0, 20 * 1000);
        assert_null(deferred_spent(bench->deferred, "hasty", 7));
    }
    test_clock_move(0, DEFERRED_LEAST_MS);
    assert_int_equal(add_try(bench, "hasty", 7, "refused", clock_monotonic_ms()), 0);
    assert_int_equal(add_try(bench, "lonely", 8, "refused", answered), 60000);
    assert_null(deferred_spent(bench->deferred, "lonely", 8));
}

static void test_the_next_try_is_the_first_backoff_that_is_not_over(void **state)
{
    struct bench *bench = *state;
    int64_t now = clock_monotonic_ms();
    assert_int_equal(deferred_next_ms(bench->deferred, now), 0);
    add(bench, "twice", 7, "why");
    add(bench, "twice", 7, "why");
    add(bench, "once", 8, "why");
    int64_t first = deferred_next_ms(bench->deferred, now), second = deferred_next_ms(bench->deferred, first);
    assert_in_range(first - now, 1000, 1900);
    assert_in_range(second - now, 3000, 3900);
    assert_int_equal(deferred_next_ms(bench->deferred, second), 0);
}

static void test_a_task_that_has_left_the_queue_is_forgotten_and_begins_anew(void **state)
{
    struct bench *bench = *state;
    write_queue(bench, "\n## odd\ntask: One\n\n## even\ntask: Two\n\n## last\ntask: Three\n");
    const struct block_list *blocks = queue_blocks(bench->queue);
    assert_int_equal(blocks->count, 3);
    uint64_t odd = blocks->items[0].hash, even = blocks->items[1].hash;
    add(bench, "odd", odd, "too odd");
    add(bench, "even", even, "too even");
    assert_false(reconcile(bench));
    assert_printed(bench, "task odd: too odd\ntask even: too even\n");
    write_queue(bench, "\n## even\ntask: Two\n\n## last\ntask: Three\n");
    assert_true(reconcile(bench));
    assert_false(deferred_has(bench->deferred, "odd", odd));
    assert_true(deferred_has(bench->deferred, "even", even));
    assert_printed(bench, "task even: too even\n");
    write_queue(bench, "\n## even\ntask: Another text\n\n## last\ntask: Three\n");
    assert_true(reconcile(bench));
    assert_printed(bench, "");
    assert_int_equal(deferred_next_ms(bench->deferred, 0), 0);
    assert_int_equal(add(bench, "odd", odd, "too odd"), 1000);
}

static void test_an_envelope_is_looked_for_in_the_mail_and_not_in_the_queue(void **state)
{
    struct bench *bench = *state;
    struct desk *desk = bench->desk;
    struct envelope handoff = sample("work", KIND_HANDOFF);
    put(desk, &handoff);
    look(desk);
    deferred_add(bench->deferred,
                 &(struct deferred_try){.id = "work", .hash = 7, .by_post = true, .why = "too long"});
    assert_false(reconcile(bench));
    assert_true(deferred_has(bench->deferred, "work", 7));
    shell(desk->scratch, "rm iac/handoffs/work.md");
    write_queue(bench, "\n## work\ntask: One\n\n## last\ntask: Two\n");
    look(desk);
    assert_true(reconcile(bench));
    assert_printed(bench, "");
}

static void test_eight_tasks_are_named_and_the_others_counted(void **state)
{
    struct bench *bench = *state;
    OWNED_BUFFER struct buffer expected = {0};
    for (uint64_t i = 0; i < 11; i++) {
        char id[8];
        snprintf(id, sizeof id, "t%d", (int)i);
        add(bench, id, i, "no");
        if (i < 8)
            buffer_print(&expected, "task %s: no\n", id);
    }
    buffer_print(&expected, "3 more tasks are not answered by the provider as they are\n");
    assert_printed(bench, expected.data);
}

/* The steps of a worker's end and of the next worker's start. */
static void start_anew(struct bench *bench)
{
    deferred_keep(bench->deferred);
    deferred_close(bench->deferred);
    bench->deferred = deferred_open(((struct desk *)bench->desk)->scratch->tree);
}

static void test_a_new_worker_goes_on_counting_and_only_the_pauses_are_over(void **state)
{
    struct bench *bench = *state;
    static const int64_t expected[] = {1000, 3000, 9000, 27000, 81000, 243000, 300000, 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_null(deferred_spent(bench->deferred, "odd", 7));
        assert_int_equal(add_try(bench, "odd", 7, "refused", clock_monotonic_ms()), expected[i]);
        start_anew(bench);
        assert_false(deferred_has(bench->deferred, "odd", 7));
        assert_true(deferred_knows(bench->deferred, "odd", 7));
        test_clock_move(expected[i] + 10, expected[i] + 10);
    }
    assert_string_equal(deferred_spent(bench->deferred, "odd", 7), "refused");
    assert_printed(bench, "task odd: refused\n");
}

static void test_a_new_worker_counts_no_answer_from_before_the_last_try(void **state)
{
    struct bench *bench = *state;
    int64_t answered = clock_monotonic_ms();
    for (int i = 0; i < 2 * DEFERRED_TRIES; i++) {
        add_try(bench, "lonely", 7, "refused", answered);
        start_anew(bench);
        test_clock_move(DEFERRED_LEAST_MS, DEFERRED_LEAST_MS);
        assert_null(deferred_spent(bench->deferred, "lonely", 7));
    }
}

static void test_two_tasks_of_one_text_are_counted_apart(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < DEFERRED_TRIES; i++) {
        add_try(bench, "one", 7, "refused", clock_monotonic_ms());
        test_clock_move(0, DEFERRED_LEAST_MS);
        assert_int_equal(i == 0 ? add_try(bench, "two", 7, "refused", clock_monotonic_ms()) : 1000, 1000);
    }
    assert_non_null(deferred_spent(bench->deferred, "one", 7));
    assert_null(deferred_spent(bench->deferred, "two", 7));
}

static void test_what_failed_tries_took_outlives_the_worker_and_ends_with_the_task(void **state)
{
    struct bench *bench = *state;
    const struct question_usage took = {
        .tokens_in = 100, .tokens_out = 20, .cached = 30, .requests = 2, .cost = 5};
    write_queue(bench, "\n## odd\ntask: One\n");
    uint64_t hash = queue_blocks(bench->queue)->items[0].hash;
    deferred_paid(bench->deferred, "odd", hash, false, &took);
    assert_false(deferred_knows(bench->deferred, "odd", hash));
    assert_printed(bench, "");
    start_anew(bench);
    deferred_paid(bench->deferred, "odd", hash, false, &took);
    assert_false(reconcile(bench));
    struct question_usage sum = deferred_usage(bench->deferred, "odd", hash);
    assert_true(sum.tokens_in == 200 && sum.tokens_out == 40 && sum.cached == 60 && sum.requests == 4 &&
                sum.cost == 10);
    write_queue(bench, "");
    assert_true(reconcile(bench));
    start_anew(bench);
    sum = deferred_usage(bench->deferred, "odd", hash);
    assert_true(sum.requests == 0 && sum.cost == USAGE_NO_COST);
}

static void test_a_failed_try_and_what_it_took_are_one_write(void **state)
{
    struct bench *bench = *state;
    int tree = ((struct desk *)bench->desk)->scratch->tree;
    struct stat before, after;
    add(bench, "odd", 7, "why");
    deferred_keep(bench->deferred);
    assert_int_equal(fstatat(tree, TREE_NOTES "/deferred", &before, 0), 0);
    deferred_paid(bench->deferred, "odd", 7, false,
                  &(struct question_usage){.tokens_in = 100, .requests = 1});
    add(bench, "odd", 7, "why not");
    assert_int_equal(fstatat(tree, TREE_NOTES "/deferred", &after, 0), 0);
    assert_memory_equal(&before, &after, sizeof before);
    deferred_keep(bench->deferred);
    assert_int_equal(fstatat(tree, TREE_NOTES "/deferred", &after, 0), 0);
    assert_true(after.st_ino != before.st_ino || after.st_size != before.st_size);
    before = after;
    deferred_keep(bench->deferred);
    assert_int_equal(fstatat(tree, TREE_NOTES "/deferred", &after, 0), 0);
    assert_memory_equal(&before, &after, sizeof before);
}

static void test_a_damaged_list_counts_as_none(void **state)
{
    struct bench *bench = *state;
    add(bench, "odd", 7, "why");
    add(bench, "even", 8, "why");
    deferred_keep(bench->deferred);
    shell(((struct desk *)bench->desk)->scratch, "head -c 180 .agentos/deferred >x; mv x .agentos/deferred");
    start_anew(bench);
    assert_false(deferred_knows(bench->deferred, "even", 8));
    shell(((struct desk *)bench->desk)->scratch,
          "echo 'not one of ours, but longer than a number' >.agentos/deferred");
    start_anew(bench);
    assert_printed(bench, "");
    assert_int_equal(add(bench, "odd", 7, "why"), 1000);
}

static void test_times_of_a_damaged_list_that_no_clock_had_count_as_now(void **state)
{
    struct bench *bench = *state;
    static const uint64_t times[] = {UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        OWNED_BUFFER struct buffer list = {0};
        const uint64_t numbers[] = {1, 7, 0, 0, DEFERRED_TRIES, times[i], times[i], 1000, 0, 0, 0, 0, 0, 1};
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
            message_number(&list, numbers[n]);
        message_text(&list, "odd");
        message_text(&list, "why");
        assert_true(files_write(((struct desk *)bench->desk)->scratch->tree, TREE_NOTES "/deferred",
                                list.data, list.length, false, NULL));
        start_anew(bench);
        assert_printed(bench, "task odd: why\n");
        assert_true(add_try(bench, "odd", 7, "why", clock_monotonic_ms()) > 0);
        assert_null(deferred_spent(bench->deferred, "odd", 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_the_pause_is_a_second_and_grows_threefold_up_to_a_minute_while_nobody_is_answered, begin,
            end),
        cmocka_unit_test_setup_teardown(
            test_eight_tries_that_count_take_more_than_ten_minutes_and_then_the_task_is_spent, begin, end),
        cmocka_unit_test_setup_teardown(
            test_eight_tries_within_ten_minutes_are_not_enough_and_none_counts_without_an_answer_to_others,
            begin, end),
        cmocka_unit_test_setup_teardown(test_the_next_try_is_the_first_backoff_that_is_not_over, begin, end),
        cmocka_unit_test_setup_teardown(test_a_task_that_has_left_the_queue_is_forgotten_and_begins_anew,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_an_envelope_is_looked_for_in_the_mail_and_not_in_the_queue,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_eight_tasks_are_named_and_the_others_counted, begin, end),
        cmocka_unit_test_setup_teardown(test_a_new_worker_goes_on_counting_and_only_the_pauses_are_over,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_new_worker_counts_no_answer_from_before_the_last_try, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_two_tasks_of_one_text_are_counted_apart, begin, end),
        cmocka_unit_test_setup_teardown(
            test_what_failed_tries_took_outlives_the_worker_and_ends_with_the_task, begin, end),
        cmocka_unit_test_setup_teardown(test_a_failed_try_and_what_it_took_are_one_write, begin, end),
        cmocka_unit_test_setup_teardown(test_a_damaged_list_counts_as_none, begin, end),
        cmocka_unit_test_setup_teardown(test_times_of_a_damaged_list_that_no_clock_had_count_as_now, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
