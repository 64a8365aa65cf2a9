/* Replies that models really sent, a row each: the reply, and its whole meaning. */
#include "tests/unit/reply_rows.h"

static const struct row rows[] = {
    {"message-comma",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages: [{to: iris, body: stop the deploy, it is "
     "broken}]\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: stop the deploy, it is broken"},
    {"message-hash",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: Do not merge PR "
     "#7 before Friday\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: Do not merge PR #7 before Friday"},
    {"goals-quotes",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals: {add: [“learn a, b and c”]}\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a, b and c"},
    {"handoff-quotes",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: “iris”, task: “do it, "
     "please”}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: do it, please"},
    {"second-entry",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: iris\n    task: count the pages\n "
     " - to: iris\n    task: 'don't stop'\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff iris: don't stop"},
    {"handoff-string",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - \"iris: count the pages\"\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"handoff-map",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  iris: count the pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"at-name",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: \"@iris\"\n    task: count\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count"},
    {"body-unindented",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\n  name: no-indent\n  description: d\n  body: "
     "|\nSteps:\n1. do: this\n2. do that\nreflection: behind\n```\n",
     "answer: The answer.\n+1 ok\nreflection: behind\nskill: no-indent | d | Steps:\n1. do: this\n2. do "
     "that"},
    {"column-0-fence-message",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\n  name: list-files\n  description: d\n  "
     "body: |\n    Do this:\n```\nls\n```\nmessages: [{to: iris, body: \"listed\"}]\n```\n",
     "answer: The answer.\n+1 ok\nskill: list-files | d | Do this:\n```\nls\n```\nmessage iris: listed"},
    {"think-attribute",
     "<think time=\"3\">\nthoughts here\n</think>\nThe real answer.\n\n```agentos\nreward: 1\nreason: "
     "ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thought-tag",
     "<thought>\nthoughts here\n</thought>\nThe real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"think-unopened",
     "Okay. Let me draft:\n```agentos\nreward: -1\nreason: draft\n```\nHmm, no.\n</think>\n\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"whole-in-markdown", "```markdown\n# Answer\n\nHello\n\n```agentos\nreward: 1\nreason: ok\n```\n```\n",
     "answer: # Answer\n\nHello\n+1 ok"},
    {"no-fence", "The answer.\n\nreward: 1\nreason: ok\nreflection: r\n",
     "answer: The answer.\n+1 ok\nreflection: r"},
    {"word-in-plain-fence", "The answer.\n\n```\nagentos\nreward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"quoted", "> Answer\n>\n> ```agentos\n> reward: 1\n> reason: ok\n> ```\n", "answer: Answer\n+1 ok"},
    {"in-a-list", "1. Answer\n2. Report:\n     ```agentos\n     reward: 1\n     reason: ok\n     ```\n",
     "answer: 1. Answer\n2. Report:\n+1 ok"},
    {"closed-on-the-line",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nreflection: end here```\n\nBye.\n",
     "answer: The answer.\n\nBye.\n+1 ok\nreflection: end here"},
    {"no-break-space",
     "The answer.\n\n```agentos\nreward:\xc2\xa0"
     "1\nreason:\xc2\xa0"
     "ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"keycap",
     "The answer.\n\n```agentos\nreward: 1\xef\xb8\x8f"
     "\xe2\x83\xa3"
     "\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"success", "The answer.\n\n```agentos\nreward: success (reusable)\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"plural-keys",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nreflections:\n  - one\ngoal: new goal\nskills:\n  - "
     "name: pl\n    description: d\n    body: b\n```\n",
     "answer: The answer.\n+1 ok\nreflection: one\nskill: pl | d | b\ngoal: new goal"},
    {"turn-over",
     "The answer.\n\n```agentos\nreward: 1\nreason: "
     "ok\n```<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHere's more.",
     "answer: The answer.\n+1 ok\ntold"},
    {"json-with-words", "Sure! {\"answer\": \"The real answer is 42.\", \"reward\": 1, \"reason\": \"ok\"}",
     "answer: The real answer is 42.\n+1 ok"},
    {"json-pretty-fenced", "```json\n{\n  \"answer\": \"42\", // the answer\n  \"reward\": 1,\n}\n```",
     "answer: 42\n+1 -"},
    {"answer-key", "Here you go:\n\n```agentos\nanswer: The real answer is 42.\nreward: 1\nreason: ok\n```\n",
     "answer: Here you go:\n\nThe real answer is 42.\n+1 ok"},
    {"example-echoed",
     "The answer.\n\n```agentos\nreward: 1\nreason: one line that says why\nskill:\n  name: "
     "paginated-fetch\n  description: When and why to use it.\n  body: |\n    Steps, code and pitfalls, in "
     "Markdown.\nhandoffs: [{to: iris, task: \"work for another agent\"}]\ngoals: {add: [\"what failures "
     "show is missing\"]}\n```\n",
     "answer: The answer.\n0 -\ntold"},
};

static void test_each_form_means_what_it_says(void **state)
{
    check_rows(rows, sizeof rows / sizeof *rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_form_means_what_it_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
