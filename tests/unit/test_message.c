#include <stdlib.h>
#include <string.h>

#include "common/message.h"
#include "tests/unit/cmocka.h"

static void test_a_message_reads_back_as_it_was_made(void **state)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_ASK, UINT64_C(7), "orion", "system", "task", MESSAGE_NOWHERE,
                 MESSAGE_NOWHERE, MESSAGE_NOWHERE, MESSAGE_NOWHERE, UINT64_C(0));
    struct reader reader;
    unsigned type;
    assert_true(message_open(&reader, message.data, message.length, &type));
    assert_int_equal(type, MESSAGE_ASK);
    uint64_t serial, peers, segments, budget, room, least;
    char *agent, *prompt, *task;
    assert_true(message_read(&reader, MESSAGE_ASK, &serial, &agent, &prompt, &task, &peers, &segments,
                             &budget, &room, &least));
    assert_int_equal(serial, 7);
    assert_string_equal(agent, "orion");
    assert_string_equal(prompt, "system");
    assert_string_equal(task, "task");
    free(agent);
    free(prompt);
    free(task);
}

static void test_a_message_cut_anywhere_is_refused_whole(void **state)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_ASK, UINT64_C(7), "orion", "system", "task", MESSAGE_NOWHERE,
                 MESSAGE_NOWHERE, MESSAGE_NOWHERE, MESSAGE_NOWHERE, UINT64_C(0));
    for (size_t length = 0; length < message.length; length++) {
        char *cut = malloc(length ? length : 1);
        memcpy(cut, message.data, length);
        struct reader reader;
        unsigned type;
        uint64_t serial, d, e, f, g, h;
        char *a = NULL, *b = NULL, *c = NULL;
        if (message_open(&reader, cut, length, &type))
            assert_false(message_read(&reader, MESSAGE_ASK, &serial, &a, &b, &c, &d, &e, &f, &g, &h));
        assert_null(a);
        assert_null(b);
        assert_null(c);
        free(cut);
    }
}

static void test_bytes_left_over_a_nul_inside_and_another_version_are_refused(void **state)
{
    struct reader reader;
    unsigned type;
    uint64_t number;
    char *text;
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_LOOK, UINT64_C(1));
    buffer_add(&message, "x", 1);
    assert_true(message_open(&reader, message.data, message.length, &type));
    assert_false(message_read(&reader, MESSAGE_LOOK, &number));

    message_begin(&message, MESSAGE_PROBLEMS);
    message_bytes(&message, "a\0b", 3);
    assert_true(message_open(&reader, message.data, message.length, &type));
    assert_false(message_read(&reader, MESSAGE_PROBLEMS, &text));

    message_make(&message, MESSAGE_LOOK, UINT64_C(1));
    message.data[0] = MESSAGE_VERSION + 1;
    assert_false(message_open(&reader, message.data, message.length, &type));
}

static void test_several_messages_in_one_come_out_one_by_one_and_a_torn_one_ends_them(void **state)
{
    OWNED_BUFFER struct buffer one = {0}, several = {0};
    struct reader reader;
    unsigned type;
    const void *part;
    size_t length;
    message_make(&one, MESSAGE_ALIVE, UINT64_C(3));
    message_begin(&several, MESSAGE_SEVERAL);
    message_bytes(&several, one.data, one.length);
    message_bytes(&several, one.data, one.length);
    assert_true(message_open(&reader, several.data, several.length, &type));
    assert_int_equal(type, MESSAGE_SEVERAL);
    for (int i = 0; i < 2; i++) {
        assert_false(message_end(&reader));
        assert_true(message_get_part(&reader, &part, &length));
        assert_int_equal(length, one.length);
        assert_memory_equal(part, one.data, length);
    }
    assert_true(message_end(&reader));

    assert_true(message_open(&reader, several.data, several.length - 1, &type));
    assert_true(message_get_part(&reader, &part, &length));
    assert_false(message_get_part(&reader, &part, &length));
    assert_false(message_end(&reader));
}

static bool passes(enum message_type type, enum party from, enum party to)
{
    OWNED_BUFFER struct buffer message = {0};
    struct reader reader;
    unsigned read = 0;
    message_begin(&message, type);
    bool received = message_receive(&reader, message.data, message.length, from, to, &read);
    assert_int_equal(read, type);
    return received;
}

static void test_a_message_is_received_only_on_the_way_that_the_table_names(void **state)
{
    assert_true(passes(MESSAGE_HEARTBEAT, PARTY_SUPERVISOR, PARTY_WORKER));
    assert_false(passes(MESSAGE_HEARTBEAT, PARTY_WORKER, PARTY_SUPERVISOR));
    assert_true(passes(MESSAGE_HELLO, PARTY_WORKER, PARTY_SUPERVISOR));
    assert_false(passes(MESSAGE_HELLO, PARTY_SUPERVISOR, PARTY_WORKER));
    assert_false(passes(MESSAGE_HELLO, PARTY_ZYGOTE, PARTY_SUPERVISOR));
    assert_false(passes(MESSAGE_SPENT, PARTY_WORKER, PARTY_SUPERVISOR));
    /* Between worker and gateway the supervisor passes on, in one direction. */
    assert_true(passes(MESSAGE_ASK, PARTY_WORKER, PARTY_SUPERVISOR));
    assert_true(passes(MESSAGE_ASK, PARTY_SUPERVISOR, PARTY_GATEWAY));
    assert_false(passes(MESSAGE_ASK, PARTY_GATEWAY, PARTY_SUPERVISOR));
    assert_false(passes(MESSAGE_ASK, PARTY_SUPERVISOR, PARTY_WORKER));
    assert_true(passes(MESSAGE_ANSWER, PARTY_GATEWAY, PARTY_SUPERVISOR));
    assert_true(passes(MESSAGE_ANSWER, PARTY_SUPERVISOR, PARTY_WORKER));
    assert_false(passes(MESSAGE_ANSWER, PARTY_WORKER, PARTY_SUPERVISOR));
    assert_true(passes(MESSAGE_BUS_PUBLISH, PARTY_SUPERVISOR, PARTY_BUS));
    assert_false(passes(MESSAGE_BUS_PUBLISH, PARTY_BUS, PARTY_SUPERVISOR));
    assert_true(passes(MESSAGE_BUS_KEY, PARTY_BUS, PARTY_SUPERVISOR));
    assert_false(passes(MESSAGE_BUS_KEY, PARTY_MIRROR, PARTY_SUPERVISOR));
    assert_false(passes(MESSAGE_SPENT, PARTY_BUS, PARTY_SUPERVISOR));
    assert_false(passes((enum message_type)999, PARTY_WORKER, PARTY_SUPERVISOR));
}

static void test_bytes_of_any_kind_pass_and_a_message_cut_within_them_is_refused(void **state)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_BUS_ARRIVED, UINT64_C(7), "agentos.agent.iris", "b", "a\0b", (size_t)3);
    for (size_t length = message.length + 1; length-- > 0;) {
        struct reader reader;
        unsigned type;
        uint64_t token;
        char *subject = NULL, *node = NULL;
        const void *bytes;
        size_t size;
        bool whole = message_open(&reader, message.data, length, &type) &&
                     message_read(&reader, MESSAGE_BUS_ARRIVED, &token, &subject, &node, &bytes, &size);
        assert_int_equal(whole, length == message.length);
        if (whole) {
            assert_int_equal(size, 3);
            assert_memory_equal(bytes, "a\0b", 3);
            assert_string_equal(node, "b");
        }
        free(subject);
        free(node);
    }
}

static void test_no_two_messages_have_one_number(void **state)
{
    static const unsigned numbers[] = {
#define X(name, number, from, to, fields) number,
        MESSAGE_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(numbers[i], numbers[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_reads_back_as_it_was_made),
        cmocka_unit_test(test_a_message_cut_anywhere_is_refused_whole),
        cmocka_unit_test(test_bytes_left_over_a_nul_inside_and_another_version_are_refused),
        cmocka_unit_test(test_a_message_is_received_only_on_the_way_that_the_table_names),
        cmocka_unit_test(test_bytes_of_any_kind_pass_and_a_message_cut_within_them_is_refused),
        cmocka_unit_test(test_no_two_messages_have_one_number),
        cmocka_unit_test(test_several_messages_in_one_come_out_one_by_one_and_a_torn_one_ends_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
