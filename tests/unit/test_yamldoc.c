/* common/yamldoc: untrusted YAML as a tree that knows its places, and text that survives the way back. */
#include <stdlib.h>
#include <string.h>

#include "common/format/yamldoc.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static struct yaml_node *parse(const char *text)
{
    struct fault fault;
    struct yaml_node *root = yaml_parse(text, strlen(text), "f", &fault);
    if (!root)
        fail_msg("%s: %s", text, fault.text);
    return root;
}

static void assert_fault(const char *text, size_t length, const char *expected)
{
    struct fault fault = {0};
    struct yaml_node *root = yaml_parse(text, length, "f", &fault);
    if (root)
        fail_msg("passed, instead of: %s", expected);
    if (strncmp(fault.text, expected, strlen(expected)) != 0)
        fail_msg("the sentence is: %s\nand should be: %s", fault.text, expected);
}

static void assert_text(const struct yaml_node *mapping, const char *key, const char *text)
{
    const struct yaml_node *node = yaml_get(mapping, key);
    assert_non_null(node);
    assert_string_equal(node->text, text);
}

static void test_a_reply_block_becomes_a_tree_that_knows_its_places(void **state)
{
    struct yaml_node *root = parse("reward: +1\nskill:\n  name: paginated-fetch\n  body: |\n    # A\n    b\n"
                                   "handoffs: [{to: iris, task: \"x: y\"}, {to: nova}]\n");
    int64_t reward;
    assert_int_equal(root->count, 3);
    assert_true(yaml_integer(yaml_get(root, "reward"), &reward));
    assert_int_equal(reward, 1);
    const struct yaml_node *skill = yaml_get(root, "skill");
    assert_text(skill, "body", "# A\nb\n");
    assert_true(yaml_get(skill, "body")->quoted);
    const struct yaml_node *handoffs = yaml_get(root, "handoffs");
    assert_int_equal(handoffs->kind, YAML_SEQUENCE);
    assert_int_equal(handoffs->count, 2);
    assert_text(handoffs->child, "task", "x: y");
    assert_int_equal(yaml_get(handoffs->child, "task")->line, 7);
    assert_int_equal(yaml_get(handoffs->child, "task")->column, 29);
    assert_int_equal(yaml_get(handoffs->child, "task")->key_column, 23);
    assert_text(handoffs->child->next, "to", "nova");
    assert_null(handoffs->child->next->next);
    yaml_free(root);
}

static void test_columns_count_characters_not_bytes(void **state)
{
    struct yaml_node *root = parse("{ü: é, b: 1}");
    assert_int_equal(yaml_get(root, "b")->key_column, 8);
    yaml_free(root);
}

static void test_an_empty_document_is_an_empty_mapping(void **state)
{
    const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct yaml_node *root = parse(texts[i]);
        assert_int_equal(root->kind, YAML_MAPPING);
        assert_int_equal(root->count, 0);
        yaml_free(root);
    }
}

static void test_a_byte_order_mark_and_crlf_change_nothing(void **state)
{
    struct yaml_node *root = parse("\xef\xbb\xbfname: a\r\ntext: |\r\n  x\r\n  y\r\n");
    assert_text(root, "name", "a");
    assert_int_equal(yaml_get(root, "name")->key_column, 1);
    assert_text(root, "text", "x\ny\n");
    yaml_free(root);
}

static void test_json_is_read_as_models_write_it(void **state)
{
    struct yaml_node *root =
        parse("{\"reward\":1,\"answer\":\"a\\/b \\ud83d\\ude00 \\u00e9 \\\\ud83d \\ud83d!\",\n"
              "\t\"messages\":[{\"to\":\"iris\",\"body\":null}]}");
    assert_text(root, "answer", "a/b \xf0\x9f\x98\x80 \xc3\xa9 \\ud83d \xef\xbf\xbd!");
    assert_true(yaml_is_null(yaml_get(yaml_get(root, "messages")->child, "body")));
    yaml_free(root);
}

static void test_only_plain_scalars_are_numbers_truths_and_nothing(void **state)
{
    struct yaml_node *root =
        parse("a: 5\nb: '5'\nc: -7\nd: 9223372036854775808\ne: 0x10\nf: 1.5e3\ng: Yes\nh: 'yes'\n"
              "i: ~\nj: 'null'\nk:\nl: .inf\nm: 1_000\nn: \"\"\no: !!str 5\np: 5 apples\n");
    int64_t integer;
    double number;
    bool truth;
    assert_true(yaml_integer(yaml_get(root, "a"), &integer) && integer == 5);
    assert_false(yaml_integer(yaml_get(root, "b"), &integer));
    assert_true(yaml_integer(yaml_get(root, "c"), &integer) && integer == -7);
    assert_false(yaml_integer(yaml_get(root, "d"), &integer));
    assert_false(yaml_integer(yaml_get(root, "e"), &integer));
    assert_false(yaml_integer(yaml_get(root, "o"), &integer));
    assert_false(yaml_integer(yaml_get(root, "p"), &integer));
    assert_false(yaml_integer(NULL, &integer));
    assert_true(yaml_number(yaml_get(root, "f"), &number) && number == 1500);
    assert_false(yaml_number(yaml_get(root, "l"), &number));
    assert_false(yaml_number(yaml_get(root, "m"), &number));
    assert_true(yaml_boolean(yaml_get(root, "g"), &truth) && truth);
    assert_false(yaml_boolean(yaml_get(root, "h"), &truth));
    assert_true(yaml_is_null(yaml_get(root, "i")) && yaml_is_null(yaml_get(root, "k")));
    assert_false(yaml_is_null(yaml_get(root, "j")) || yaml_is_null(yaml_get(root, "n")));
    yaml_free(root);
}

static void test_what_could_grow_or_mislead_is_a_fault_at_its_place(void **state)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"a: &x [1]\nb: *x\n", "f:1:4: anchors ('&x') are not allowed"},
        {"b: *x\n", "f:1:4: aliases ('*x') are not allowed"},
        {"b: !!python/object x\n", "f:1:4: the tag 'tag:yaml.org,2002:python/object' is not allowed"},
        {"a: 1\nb: 2\na: 3\n", "f:3:1: key 'a' stands here again; first in line 1"},
        {"{a: 1, [b]: 2}\n", "f:1:8: a key must be text"},
        {"a: 1\n---\nb: 2\n", "f:2:1: a second document starts here"},
        {"a: b: c\n", "f:1:5: mapping values are not allowed in this context; a value that contains ': '"},
        {"a: [1, 2\n", "f:2:1: while parsing a flow sequence"},
        {"a:\n\xc2\xa0 - b: c\n    d: e\n", "f:3:6: mapping values are not allowed in this context; line 2 "
                                            "is indented with no-break spaces (U+00A0)"},
        {"a: `x`\n", "f:1:4: while scanning for the next token: found character that cannot start any token"},
        {"a: x\x07y\n", "f:1:5: control characters are not allowed"},
        {"\xc3\xa9: 1\nab\xffz\n", "f:2:3: byte 0xff is not UTF-8"},
        {"\xff\xfe"
         "a\n",
         "f:1:1: byte 0xff is not UTF-8 (it looks like UTF-16)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fault(cases[i].text, strlen(cases[i].text), cases[i].fault);
}

static void test_a_deep_nest_a_crowd_and_a_giant_are_refused(void **state)
{
    size_t most = (size_t)YAML_TEXT_MAX + 1;
    char *text = memory_new(most + 1, 1);
    memset(text, '[', 200000);
    assert_fault(text, 200000, "f:1:65: nested more than 64 deep");
    memset(text, ',', most);
    for (size_t i = 0; i < most; i += 2)
        text[i] = i ? 'a' : '[';
    assert_fault(text, most - 1, "f:1:");
    assert_fault(text, most, "f:1:1: 4194305 bytes are too many");
    free(text);
}

static void test_a_duplicate_among_very_many_keys_is_found(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    for (int i = 0; i < 50000; i++)
        buffer_print(&text, "key%d: 1\n", i % 49999);
    assert_fault(text.data, text.length, "f:50000:1: key 'key0' stands here again; first in line 1");
}

static void print(void *context, unsigned line, unsigned column, const char *sentence)
{
    buffer_print(context, "%u:%u: %s\n", line, column, sentence);
}

static void test_every_duplicate_is_named_and_the_first_counts_when_all_faults_are_wanted(void **state)
{
    const char *text = "a: 1\na: 2\nb: {c: 1, c: 2}\n";
    OWNED_BUFFER struct buffer faults = {0};
    struct yaml_node *root = yaml_parse_all(text, strlen(text), print, &faults);
    assert_non_null(root);
    assert_text(root, "a", "1");
    assert_string_equal(faults.data, "3:11: key 'c' stands here again; first in line 3\n"
                                     "2:1: key 'a' stands here again; first in line 1\n");
    yaml_free(root);
}

static void assert_round_trip(const char *text)
{
    OWNED_BUFFER struct buffer out = {0}, flow = {0};
    yaml_write_text(&out, "key", text);
    assert_int_equal(strcspn(out.data, "\n"), out.length - 1);
    struct yaml_node *root = parse(out.data);
    assert_text(root, "key", text);
    bool truth;
    double number;
    const struct yaml_node *node = yaml_get(root, "key");
    assert_false(yaml_is_null(node) || yaml_boolean(node, &truth) || yaml_number(node, &number));
    yaml_free(root);
    buffer_text(&flow, "[");
    yaml_write_scalar(&flow, text);
    buffer_text(&flow, ", {k: ");
    yaml_write_scalar(&flow, text);
    buffer_text(&flow, "}]");
    root = parse(flow.data);
    assert_string_equal(root->child->text, text);
    assert_text(root->child->next, "k", text);
    yaml_free(root);
}

static void test_any_text_that_is_written_is_read_back_as_the_same_text(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "a",
        "plain words",
        "a: b",
        "a:",
        ":",
        "a #b",
        "a#b",
        "# a",
        "- a",
        "-",
        "---",
        "...",
        "? a",
        "5",
        "-5",
        "1.5",
        "1e3",
        "0x1f",
        "12:30:45",
        "2026-04-29",
        "2026-04-29T10:05:00Z",
        "true",
        "No",
        "null",
        "~",
        "y",
        "\"",
        "'",
        "it's",
        "\\",
        "\\n",
        "a\nb",
        "a\n",
        "\n",
        "\r\n",
        "\t",
        "a\tb",
        "tail ",
        " head",
        "[a]",
        "{a}",
        "a, b",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a`",
        "\x7f",
        "\x01",
        "\x1b[31m",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "\xef\xbb\xbfx",
        "\xef\xbf\xbe",
        "\xef\xbf\xbf",
        "\xf4\x8f\xbf\xbf",
        "\xf0\x9f\x98\x80",
        "query\xe2\x80\x91oriented",
        "\xc2\xa0x\xc2\xa0",
        "<<",
        "=",
        "20260429T100505-0001-9f86d081",
        "9f86d081",
        "http://a/b?c#d",
        "a?",
        "/a/b",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_round_trip(texts[i]);
}

static void add_character(struct buffer *text, unsigned c)
{
    char bytes[4];
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(marks[size] | c);
    buffer_add(text, bytes, size);
}

static void test_every_character_of_unicode_survives_alone_and_within_words(void **state)
{
    for (unsigned first = 1; first < 0x110000; first += 128) {
        OWNED_BUFFER struct buffer text = {0};
        for (unsigned c = first; c < first + 128; c++)
            if (c < 0xd800 || (c > 0xdfff && c < 0x110000))
                add_character(&text, c);
        if (text.length > 0)
            assert_round_trip(text.data);
    }
    for (unsigned c = 1; c < 0x3000; c++) {
        OWNED_BUFFER struct buffer text = {0};
        add_character(&text, c);
        assert_round_trip(text.data);
    }
}

static void test_random_texts_of_awkward_characters_survive(void **state)
{
    static const char awkward[] = "ab1 -:#,[]{}&*!|>'\"%@`?~\n\r\t\\.=<0xeE_";
    uint64_t seed = 88172645463325252ULL;
    for (int round = 0; round < 20000; round++) {
        char text[13] = {0};
        for (size_t i = 0; i < sizeof text - 1; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            text[i] = seed % 37 == 0 ? '\0' : awkward[seed / 64 % (sizeof awkward - 1)];
        }
        assert_round_trip(text);
    }
}

static void test_what_a_person_would_write_without_quotes_has_none(void **state)
{
    OWNED_BUFFER struct buffer out = {0};
    yaml_write_text(&out, "id", "20260429T100505-0001-9f86d081");
    yaml_write_text(&out, "domain", "Backend engineering (APIs)");
    yaml_write_text(&out, "tone", "Query\xe2\x80\x91oriented");
    yaml_write_text(&out, "path", "/data/x.md");
    assert_string_equal(out.data, "id: 20260429T100505-0001-9f86d081\ndomain: Backend engineering (APIs)\n"
                                  "tone: Query\xe2\x80\x91oriented\npath: /data/x.md\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reply_block_becomes_a_tree_that_knows_its_places),
        cmocka_unit_test(test_columns_count_characters_not_bytes),
        cmocka_unit_test(test_an_empty_document_is_an_empty_mapping),
        cmocka_unit_test(test_a_byte_order_mark_and_crlf_change_nothing),
        cmocka_unit_test(test_json_is_read_as_models_write_it),
        cmocka_unit_test(test_only_plain_scalars_are_numbers_truths_and_nothing),
        cmocka_unit_test(test_what_could_grow_or_mislead_is_a_fault_at_its_place),
        cmocka_unit_test(test_a_deep_nest_a_crowd_and_a_giant_are_refused),
        cmocka_unit_test(test_a_duplicate_among_very_many_keys_is_found),
        cmocka_unit_test(test_every_duplicate_is_named_and_the_first_counts_when_all_faults_are_wanted),
        cmocka_unit_test(test_any_text_that_is_written_is_read_back_as_the_same_text),
        cmocka_unit_test(test_every_character_of_unicode_survives_alone_and_within_words),
        cmocka_unit_test(test_random_texts_of_awkward_characters_survive),
        cmocka_unit_test(test_what_a_person_would_write_without_quotes_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
