/* common/envelope: an envelope that goes into a file comes out of it, and a file that is no envelope has a reason. */
#include <stdlib.h>
#include <string.h>

#include "common/format/envelope.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

#define HEAD "---\nid: e1\nkind: message\nfrom: orion\nto: iris\ncreated: 2026-04-29T10:05:00Z\n"

static void assert_fault(const char *text, size_t length, const char *expected)
{
    struct envelope envelope;
    struct fault fault;
    if (envelope_parse(&envelope, text, length, "e1.md", &fault))
        fail_msg("passed, instead of: %s", expected);
    if (strncmp(fault.text, expected, strlen(expected)) != 0)
        fail_msg("the sentence is: %s\nand should be: %s", fault.text, expected);
    assert_null(envelope.id);
}

static void assert_same_text(const char *a, const char *b)
{
    if (a || b)
        assert_string_equal(a ? a : "(null)", b ? b : "(null)");
}

static void assert_round_trip(const struct envelope *sent)
{
    OWNED_BUFFER struct buffer out = {0}, again = {0};
    struct envelope got;
    struct fault fault;
    envelope_print(sent, &out);
    if (!envelope_parse(&got, out.data, out.length, "e", &fault))
        fail_msg("%s\n%s", fault.text, out.data);
    assert_same_text(got.id, sent->id);
    assert_int_equal(got.kind, sent->kind);
    assert_same_text(got.from, sent->from);
    assert_same_text(got.to, sent->to);
    assert_int_equal(got.created, sent->created);
    assert_int_equal(got.ttl_seconds, sent->ttl_seconds);
    assert_int_equal(got.priority, sent->priority);
    assert_same_text(got.status, sent->status);
    assert_int_equal(got.attempts, sent->attempts);
    assert_int_equal(got.hops, sent->hops);
    assert_same_text(got.trace, sent->trace);
    assert_same_text(got.in_reply_to, sent->in_reply_to);
    assert_same_text(got.reason, sent->reason);
    assert_int_equal(got.delivered, sent->delivered);
    assert_int_equal(got.read, sent->read);
    assert_int_equal(got.finished, sent->finished);
    assert_same_text(got.body, sent->body);
    envelope_print(&got, &again);
    assert_string_equal(again.data, out.data);
    envelope_free(&got);
}

static void test_every_body_comes_back_byte_for_byte(void **state)
{
    static const char *const bodies[] = {
        "",
        "\n",
        "text",
        "text\n",
        "text\n\n\n",
        "---\n",
        "---\nid: other\n---\n",
        "a\n---\nb\n---\n",
        "...\n",
        "\r\n",
        "a\r\nb\r\n",
        "a\rb",
        " \t",
        "\xef\xbb\xbf---\n",
        "```\n## x\n",
        "\xf0\x9f\x98\x80 \xe2\x80\x91 \xe2\x80\xa8\n",
        "\x01\x7f",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct envelope sent = {.id = (char[]){"20260429T100505-0001-9f86d081"},
                                .kind = KIND_HANDOFF,
                                .from = (char[]){"orion"},
                                .to = (char[]){"iris"},
                                .created = 1777457100,
                                .priority = PRIORITY_NORMAL,
                                .status = (char[]){"pending"},
                                .hops = 1,
                                .trace = (char[]){"t"},
                                .body = memory_text(bodies[i])};
        assert_round_trip(&sent);
        free(sent.body);
    }
}

static void test_every_field_comes_back_whatever_its_text_looks_like(void **state)
{
    static const char *const reasons[] = {NULL,          "poison",      "5",     "null", "a: b # c",
                                          "line\nbreak", "- \"x\" 'y'", "tail ", "---",  "\xe2\x80\xa9"};
    for (int kind = KIND_HANDOFF; kind <= KIND_SEGMENT; kind++)
        for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
            char *reason = memory_text(reasons[i]);
            struct envelope sent = {.id = (char[]){"12345"},
                                    .kind = (enum envelope_kind)kind,
                                    .from = (char[]){"operator"},
                                    .to = (char[]){"queue:reviews"},
                                    .created = 1777457100,
                                    .ttl_seconds = 3600,
                                    .priority = (enum priority)(i % 3),
                                    .status = (char[]){"expired"},
                                    .attempts = 3,
                                    .hops = 16,
                                    .trace = (char[]){"1e5"},
                                    .in_reply_to = reason,
                                    .reason = reason,
                                    .delivered = 1777457101,
                                    .read = 1777457102,
                                    .finished = 1777457103,
                                    .body = (char[]){"b"}};
            assert_round_trip(&sent);
            free(reason);
        }
}

static void test_missing_fields_get_their_defaults_and_unknown_ones_are_left_out(void **state)
{
    const char *text = HEAD "x_note: hello\npriority: HIGH\n---\nBody";
    struct envelope envelope;
    assert_true(envelope_parse(&envelope, text, strlen(text), "e", NULL));
    assert_string_equal(envelope.status, "pending");
    assert_string_equal(envelope.trace, "e1");
    assert_int_equal(envelope.priority, PRIORITY_HIGH);
    assert_int_equal(envelope.ttl_seconds, 0);
    assert_int_equal(envelope.attempts, 0);
    assert_int_equal(envelope.hops, 1);
    assert_null(envelope.reason);
    OWNED_BUFFER struct buffer out = {0};
    envelope_print(&envelope, &out);
    assert_string_equal(out.data, HEAD
                        "ttl_seconds: 0\npriority: high\nstatus: pending\nattempts: 0\nhops: 1\ntrace: e1\n"
                        "---\nBody");
    envelope_free(&envelope);
}

static void test_what_is_no_envelope_says_why(void **state)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"", "e1.md:1:1: the envelope has no 'id'"},
        {"Just text", "e1.md:1:1: the envelope has no 'id'"},
        {"---\nid: e1\nkind: message\nfrom: a\nto: b\n---\n", "e1.md:1:1: the envelope has no 'created'"},
        {HEAD, "e1.md:1:1: the front matter that starts here has no closing '---'"},
        {HEAD "hops: -1\n---\n", "e1.md:7:7: 'hops' must be a whole number from 0"},
        {HEAD "ttl_seconds: 99999999999999\n---\n", "e1.md:7:14: 'ttl_seconds' must be"},
        {HEAD "ttl_seconds: soon\n---\n", "e1.md:7:14: 'ttl_seconds' must be"},
        {HEAD "priority: urgent\n---\n", "e1.md:7:11: 'priority' must be high, normal or low"},
        {HEAD "read: yesterday\n---\n", "e1.md:7:7: 'read' must be a time such as"},
        {HEAD "trace: [a]\n---\n", "e1.md:7:8: 'trace' must be text"},
        {HEAD "id: e2\n---\n", "e1.md:7:1: key 'id' stands here again"},
        {"---\nid: ../../x\nkind: message\nfrom: a\nto: b\ncreated: 2026-04-29\n---\n",
         "e1.md:2:5: 'id' must be 1 to 128"},
        {"---\nid: .x\nkind: message\nfrom: a\nto: b\ncreated: 2026-04-29\n---\n",
         "e1.md:2:5: 'id' must be 1 to 128"},
        {"---\nid: x\nkind: letter\nfrom: a\nto: b\ncreated: 2026-04-29\n---\n",
         "e1.md:3:7: 'kind' must be handoff"},
        {"---\nid: x\nkind: message\nfrom: a\nto: ../b\ncreated: 2026-04-29\n---\n",
         "e1.md:5:5: 'to' must be an agent's"},
        {"---\nid: x\nkind: item\nfrom: a\nto: 'queue:../b'\ncreated: 2026-04-29\n---\n",
         "e1.md:5:5: 'to' must be"},
        {HEAD "---\n\xff", "e1.md: the envelope is no UTF-8 text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fault(cases[i].text, strlen(cases[i].text), cases[i].fault);
    assert_fault(HEAD "---\na\0b", sizeof HEAD + 6, "e1.md: the envelope is no UTF-8 text");
}

static void test_numbers_may_be_quoted_and_kinds_written_large(void **state)
{
    struct envelope envelope;
    const char text[] = "---\nid: x\nkind: Handoff\nfrom: a\nto: b\ncreated: '2026-04-29T10:05:00Z'\n"
                        "ttl_seconds: \"600\"\nhops: '3'\n---\n";
    assert_true(envelope_parse(&envelope, text, sizeof text - 1, "e", NULL));
    assert_int_equal(envelope.kind, KIND_HANDOFF);
    assert_int_equal(envelope.ttl_seconds, 600);
    assert_int_equal(envelope.hops, 3);
    envelope_free(&envelope);
    assert_fault(HEAD "ttl_seconds: '-1'\n---\n", strlen(HEAD "ttl_seconds: '-1'\n---\n"),
                 "e1.md:7:14: 'ttl_seconds' must be a whole number");
}

static void test_a_larger_one_is_refused_with_its_size(void **state)
{
    size_t length = ENVELOPE_FILE_MAX + 1;
    OWNED char *text = memory_new(length + 1, 1);
    memset(text, 'x', length);
    memcpy(text, HEAD "---\n", sizeof HEAD + 3);
    struct envelope envelope;
    assert_true(envelope_parse(&envelope, text, length - 1, "e", NULL));
    envelope_free(&envelope);
    assert_fault(text, length,
                 "e1.md: 266241 bytes are too many for an envelope; at most 262144 are allowed");
}

static void test_a_task_keeps_the_id_that_a_person_gave_it(void **state)
{
    struct envelope sent = {.id = (char[]){"fix the login: \xc3\xa4/../"},
                            .kind = KIND_TASK,
                            .from = (char[]){"Anna B."},
                            .to = (char[]){"orion"},
                            .created = 1777457100,
                            .priority = PRIORITY_LOW,
                            .status = (char[]){"failed"},
                            .hops = 1,
                            .trace = (char[]){"x"},
                            .body = (char[]){"do it"}};
    assert_round_trip(&sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_body_comes_back_byte_for_byte),
        cmocka_unit_test(test_every_field_comes_back_whatever_its_text_looks_like),
        cmocka_unit_test(test_missing_fields_get_their_defaults_and_unknown_ones_are_left_out),
        cmocka_unit_test(test_what_is_no_envelope_says_why),
        cmocka_unit_test(test_numbers_may_be_quoted_and_kinds_written_large),
        cmocka_unit_test(test_a_larger_one_is_refused_with_its_size),
        cmocka_unit_test(test_a_task_keeps_the_id_that_a_person_gave_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
