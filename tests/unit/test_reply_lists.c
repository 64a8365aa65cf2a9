/* Handoffs, messages, items, segments and goals in each form of a list that models write, and nothing of them in words. */
#include "tests/unit/reply_rows.h"

static const struct row rows[] = {
    {"message-comma-in-block",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: stop: now, {it} "
     "is [broken] # yes\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: stop: now, {it} is [broken] # yes"},
    {"flow-text-with-brackets",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: see [1], then {x} and "
     "go}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: see [1], then {x} and go"},
    {"flow-text-with-colon",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: note: the rest, "
     "priority: high}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: note: the rest (high)"},
    {"flow-text-with-quote",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages: [{to: iris, body: it's fine, isn't "
     "it}]\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: it's fine, isn't it"},
    {"flow-two-entries",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: one, two}, {to: nova, "
     "task: three}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: one, two\nhandoff nova: three"},
    {"flow-over-lines",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [\n  {to: iris, task: one, two},\n  {to: "
     "nova, task: three},\n]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: one, two\nhandoff nova: three"},
    {"quoted-comma",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages: [{\"to\": \"iris\", \"body\": \"a, b\"}, "
     "{\"to\": \"nova\", \"body\": \"say \\\"hi\\\"\"}]\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: a, b\nmessage nova: say \"hi\""},
    {"inner-quotes",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages: [{to: iris, body: \"say \"hi\", then "
     "go\"}]\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: say \"hi\", then go"},
    {"unclosed-quote",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: \"count the "
     "pages\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: count the pages"},
    {"begins-with-a-quoted-word",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris\n    body: \"a\" is not "
     "\"b\"\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: \"a\" is not \"b\""},
    {"unclosed-list",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: half\n```\n",
     "answer: The answer.\n+1 ok\ntold"},
    {"bad-entry-harms-itself",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: iris\n    task: one\n  - to: "
     "../nova\n    task: two\n  - {to: [, task: x\n  - to: orion\n    task: three\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: one\nhandoff orion: three\ntold"},
    {"single-map",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  to: iris\n  task: count the "
     "pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"single-flow-map",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: {to: iris, task: count the pages}\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"maps-in-a-row",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  to: iris\n  task: one\n  to: nova\n  "
     "task: two\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: one\nhandoff nova: two"},
    {"string-alone",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: \"iris: count the pages\"\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"string-bare",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: iris: count the pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"strings-in-brackets",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [\"iris: count the pages\", 'nova: sum, "
     "then tell']\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff nova: sum, then tell"},
    {"pair-in-brackets",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{iris: count the pages}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"map-of-two",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  iris: one, two\n  nova: three\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: one, two\nmessage nova: three"},
    {"map-of-maps",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  iris:\n    task: count the pages\n    "
     "priority: high\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages (high)"},
    {"map-of-lists",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  iris:\n    - count the pages\n    - sum "
     "up\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff iris: sum up"},
    {"star-bullets",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n* to: iris\n  task: count the pages\n* "
     "to: nova\n  task: sum\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff nova: sum"},
    {"round-bullets",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n• to: iris\n  task: count the pages\n• "
     "to: nova\n  task: sum\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff nova: sum"},
    {"numbers",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  1. to: iris\n     task: count the "
     "pages\n  2. to: nova\n     task: sum\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff nova: sum"},
    {"numbered-strings",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n1) iris: count the pages\n2) @nova: "
     "sum\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\nhandoff nova: sum"},
    {"arrow",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - iris → count the pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"bold-name",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: **iris**\n    task: count the "
     "pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"code-name",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: `@Iris`\n    task: count the "
     "pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"two-receivers",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmessages:\n  - to: iris, nova\n    body: hi\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: hi\nmessage nova: hi"},
    {"several-lines",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: iris\n    task: |\n      count:\n "
     "       - a\n      sum\n  - to: nova\n    task: >\n      folded\n      text\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count:\n  - a\nsum\nhandoff nova: folded text"},
    {"task-with-code",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: iris\n    task: |\n      Run\n    "
     "  ```sh\n      ls\n      ```\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: Run\n```sh\nls\n```"},
    {"twice-the-same",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - {to: iris, task: count the pages}\n  "
     "- {to: iris, task: count the pages}\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\ntold"},
    {"unknown-field",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: iris\n    task: count the pages\n "
     "   deadline: soon\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\ntold"},
    {"no-text", "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  - to: iris\n```\n",
     "answer: The answer.\n+1 ok\ntold"},
    {"queue-and-segment",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nenqueue:\n  - queue: reviews\n    task: look, "
     "please\nsegments:\n  - name: glossary\n    body: |\n      # A\n      b: c\n    base_version: 3\n```\n",
     "answer: The answer.\n+1 ok\nitem reviews: look, please\nsegment glossary@3: # A\nb: c"},
    {"segment-pair",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nsegment:\n  glossary: \"a, b\"\n```\n",
     "answer: The answer.\n+1 ok\nsegment glossary@-1: a, b"},
    {"ttl-with-unit",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: count the pages, "
     "ttl_seconds: 600s}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages (600 s)"},
    {"bad-priority",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: count the pages, "
     "priority: urgent}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\ntold"},
    {"goals-flow",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals: {add: [learn a, try b], done: [\"c: "
     "d\"]}\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a\ngoal: try b\ndone: c: d"},
    {"goals-enumeration",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals: {add: [learn a, b and c]}\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a, b and c"},
    {"goals-block",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals:\n  add:\n    - learn: a, b # c\n    - try\n  "
     "done:\n  - d\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn: a, b # c\ngoal: try\ndone: d"},
    {"goals-list", "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals:\n- learn a\n- try b\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a\ngoal: try b"},
    {"goals-bulleted-verbs",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals:\n  - add: learn a\n  - done: b\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a\ndone: b"},
    {"goals-boxes",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals:\n  - [ ] learn a\n  - [x] b\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a\ndone: b"},
    {"goals-guillemets",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals: {add: [«learn a, b», „try c“]}\n```\n",
     "answer: The answer.\n+1 ok\ngoal: learn a, b\ngoal: try c"},
    {"goals-half",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals: {add: [one, {b: c}], done: []}\n```\n",
     "answer: The answer.\n+1 ok\ngoal: one\ntold"},
    {"nothing",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill: none\nreflection: n/a\ngoals: {}\nhandoffs: "
     "[]\nmessages: none\nenqueue: ~\nsegments: -\n```\n",
     "answer: The answer.\n+1 ok"},
    {"nothing-in-words",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill: N/A\nreflection: None.\ngoals:\n  add: none\n "
     " done: []\nhandoffs:\n  - none\nmessages: \"none\"\nenqueue: null\nsegments: (none)\n```\n",
     "answer: The answer.\n+1 ok"},
    {"commented-entries",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  # - to: iris\n  #   task: a\n  - to: "
     "nova\n    task: b\n  # - to: iris\n  #   task: c\n#  - to: iris\nskill:\n  # name: c\n  name: a\n  "
     "body: b\n```\n",
     "answer: The answer.\n+1 ok\nskill: a | b | b\nhandoff nova: b"},
    {"bullet-alone",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs:\n  -\n    to: iris\n    task: a\n  -\n    "
     "to: nova\n    task: b\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: a\nhandoff nova: b"},
    {"goals-of-maps",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\ngoals: [{add: a, b}, {done: c}, \"d, e\"]\n```\n",
     "answer: The answer.\n+1 ok\ngoal: a, b\ngoal: d, e\ndone: c"},
    {"nothing-in-more-words",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill: no new skill\nmessages: No messages.\ngoals: "
     "no change\nhandoffs: 无\n```\n",
     "answer: The answer.\n+1 ok"},
};

static void test_each_form_of_a_list_means_what_it_says(void **state)
{
    check_rows(rows, sizeof rows / sizeof *rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_form_of_a_list_means_what_it_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
