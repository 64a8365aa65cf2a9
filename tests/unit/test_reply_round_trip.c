/* Texts of a report come back as they were written, or not at all and with a fault: findings of
 * tests/fuzz/fuzz_reply_forms and their neighbours. */
#include "tests/unit/reply_rows.h"

#define BLOCK(lines) "The answer.\n\n```agentos\nreward: 1\nreason: ok\n" lines "```\n"

static const struct row rows[] = {
    {"code-in-a-body-brings-no-blank-lines",
     BLOCK("skill:\n  name: a\n  description: d\n  body: |\n    Do:\n\n    ```sh\n    ls\n    ```\n\n    "
           "Then go.\n"),
     "answer: The answer.\n+1 ok\nskill: a | d | Do:\n\n```sh\nls\n```\n\nThen go."},
    {"code-never-closed-in-a-body-takes-no-key-along",
     BLOCK("skill:\n  name: a\n  description: d\n  body: |\n    ```sh\n    ls\nreflection: r\nmessages:\n  - "
           "to: "
           "iris\n    body: |\n      ```\n      x\n      ```\n"),
     "answer: The answer.\n+1 ok\nreflection: r\nskill: a | d | ```sh\nls\nmessage iris: ```\nx\n```"},
    {"code-never-closed-in-an-entry-takes-no-entry-along",
     BLOCK("messages:\n  - to: iris\n    body: |\n      ```\n      x\n  - to: nova\n    body: |\n      ```\n "
           "     y\n"),
     "answer: The answer.\n+1 ok\nmessage iris: ```\nx\nmessage nova: ```\ny"},
    {"braces-in-a-yaml-fence-are-no-object",
     "The answer.\n\n```yaml\nreason: ok\nreward: 1\nreflection: count {sum} them: all\ngoals: {add: "
     "[g]}\n```\n",
     "answer: The answer.\n+1 ok\nreflection: count {sum} them: all\ngoal: g"},
    {"a-quoted-brace-in-a-yaml-fence-is-no-object",
     "The answer.\n\n```yaml\nreason: 'then {sum} them: all'\nmessages:\n  - to: iris\n    body: |\n      "
     "x\n      "
     "reward: 1\nreward: 0\n```\n",
     "answer: The answer.\n0 then {sum} them: all\nmessage iris: x\nreward: 1"},
    {"no-comment-in-quotes", BLOCK("reflection: \"small steps  # help\"\n"),
     "answer: The answer.\n+1 ok\nreflection: small steps  # help"},
    {"no-comment-below-a-bar", BLOCK("reflection: |\n  small steps  # help\n"),
     "answer: The answer.\n+1 ok\nreflection: small steps  # help"},
    {"a-comment-ends-with-its-line", BLOCK("reflection: small steps  # really\n  help\n"),
     "answer: The answer.\n+1 ok\nreflection: small steps help"},
    {"a-fence-too-deep-ends-no-block-that-goes-on",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: |\n      ```\n    "
     "  "
     "x\nreflection: r\n",
     "answer: The answer.\n+1 ok\nreflection: r\nmessage iris: ```\nx"},
    {"a-fence-behind-words-ends-no-block-that-goes-on",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: |\n      do "
     "this:```\n      "
     "x\nreflection: r\n",
     "answer: The answer.\n+1 ok\nreflection: r\nmessage iris: do this:```\nx"},
    {"a-quoted-fence-in-a-text-opens-nothing",
     "The answer.\n\n<agentos>\n```yaml\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: |\n      "
     "See:\n      "
     "> ```sh\n```\n</agentos>\n",
     "answer: The answer.\n+1 ok\nmessage iris: See:\n> ```sh"},
    {"a-skill-whose-bracket-is-open-is-told", BLOCK("skill: {name: a, description: d, body: use {x}\n"),
     "answer: The answer.\n+1 ok\ntold"},
    {"two-slashes-are-text",
     BLOCK("goals: {add: [and//or]}\nmessages: [{to: iris, body: wait // then go}]\n"),
     "answer: The answer.\n+1 ok\ngoal: and//or\nmessage iris: wait // then go"},
    {"two-slashes-behind-a-word-of-json-are-text",
     BLOCK("goals: {add: [false//Tn], done: [null // of them]}\nreflection: true//false\n"),
     "answer: The answer.\n+1 ok\nreflection: true//false\ngoal: false//Tn\ndone: null // of them"},
    {"two-slashes-at-once-behind-a-word-of-json-are-a-members-text",
     BLOCK("messages: [{to: iris, body: true//false}]\n"),
     "answer: The answer.\n+1 ok\nmessage iris: true//false"},
    {"quotes-and-a-colon-behind-a-comma-are-text",
     BLOCK("messages: [{to: iris, body: gk, 'as['o d.s['x' :|2 y}]\n"),
     "answer: The answer.\n+1 ok\nmessage iris: gk, 'as['o d.s['x' :|2 y"},
    {"a-key-in-quotes-behind-a-comma-is-a-key-and-told",
     BLOCK("messages: [{to: iris, body: do it, 'due date': friday}]\n"),
     "answer: The answer.\n+1 ok\nmessage iris: do it\ntold"},
    {"two-slashes-behind-a-number-are-a-comment",
     "{\"answer\": \"a\", \"reward\": 1, // it worked\n\"reason\": \"ok\"}", "answer: a\n+1 ok"},
};

static void test_each_text_comes_back_as_it_was_written_or_is_told(void **state)
{
    check_rows(rows, sizeof rows / sizeof *rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_text_comes_back_as_it_was_written_or_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
