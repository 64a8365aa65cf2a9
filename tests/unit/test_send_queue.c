/* The queue of lines for a reader of events: bounded, in whole lines, and never silently short. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/control/send_queue.h"
#include "tests/unit/cmocka.h"

static char *read_all(struct send_queue *queue)
{
    struct buffer all = {0};
    const char *bytes;
    size_t length;
    while ((bytes = send_queue_waiting(queue, &length))) {
        size_t part = length > 1000 ? 1000 : length;
        buffer_add(&all, bytes, part);
        send_queue_read(queue, part);
    }
    return buffer_take(&all);
}

static void test_what_is_put_in_comes_out_line_by_line(void **state)
{
    struct send_queue queue = {0};
    size_t length;
    assert_null(send_queue_waiting(&queue, &length));
    send_queue_line(&queue, "{\"a\":1}");
    send_queue_line(&queue, "{\"b\":2}");
    OWNED char *text = read_all(&queue);
    assert_string_equal(text, "{\"a\":1}\n{\"b\":2}\n");
    assert_null(send_queue_waiting(&queue, &length));
    send_queue_free(&queue);
}

static void test_a_reader_that_never_reads_costs_a_quarter_of_a_megabyte(void **state)
{
    struct send_queue queue = {0};
    size_t length;
    for (int i = 0; i < 100000; i++) {
        send_queue_line(&queue, "{\"event\":\"state\",\"from\":\"idle\",\"to\":\"working\"}");
        send_queue_waiting(&queue, &length);
        assert_true(length <= SEND_QUEUE_MAX);
        assert_true(queue.bytes.capacity <= 4 * SEND_QUEUE_MAX);
    }
    send_queue_free(&queue);
}

static void test_a_slow_reader_is_told_exactly_how_many_lines_it_lost(void **state)
{
    struct send_queue queue = {0};
    unsigned long long seen = 0, lost = 0;
    OWNED_BUFFER struct buffer all = {0};
    for (unsigned i = 0; i < 30000; i++) {
        const char *bytes;
        size_t length;
        send_queue_line(&queue, "{\"event\":\"state\",\"agent\":\"orion\"}");
        if (i % 3 == 0 && (bytes = send_queue_waiting(&queue, &length))) {
            size_t part = length < 40 ? length : 40;
            buffer_add(&all, bytes, part);
            send_queue_read(&queue, part);
        }
    }
    OWNED char *rest = read_all(&queue);
    send_queue_free(&queue);
    buffer_text(&all, rest);
    for (char *line = all.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *count = strstr(line, "\"count\":");
        if (strncmp(line, "{\"event\":\"state\"", 16) == 0)
            seen++;
        else
            lost += strtoull(count + 8, NULL, 10);
    }
    assert_true(lost > 0);
    assert_int_equal(seen + lost, 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_in_comes_out_line_by_line),
        cmocka_unit_test(test_a_reader_that_never_reads_costs_a_quarter_of_a_megabyte),
        cmocka_unit_test(test_a_slow_reader_is_told_exactly_how_many_lines_it_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
