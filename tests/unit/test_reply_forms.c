/* What models really send, a row each: the reply, and all that comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "worker/reply/reply.h"

/* want: "answer: …", then reward and reason, then a line for each part that was used; "told" last when there is a
 * fault. */
static const struct row {
    const char *name, *reply, *want;
} rows[] = {
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
    {"bold-keys", "The answer.\n\n```agentos\n**reward:** 1\n**reason:** ok\n**reflection:** r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r"},
    {"bulleted-keys",
     "The answer.\n\n```agentos\n- reward: 1\n- reason: ok\n- handoffs:\n    - to: iris\n      task: count "
     "the pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"bold-bulleted-keys",
     "The answer.\n\n```agentos\n* **Reward**: +1\n* **Reason**: ok\n* **Reflection**: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r"},
    {"headings", "The answer.\n\n```agentos\n## Reward: 1\n## Reason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"capitals",
     "The answer.\n\n```agentos\nREWARD: 1\nReason: ok\nHand-offs: [{To: iris, Task: count the "
     "pages}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"wide-colons", "The answer.\n\n```agentos\nreward：１\nreason：ok\n```\n", "answer: The answer.\n+1 ok"},
    {"agentos-key",
     "The answer.\n\n```agentos\nagentos:\n  reward: 1\n  reason: ok\n  handoffs:\n    - iris: count the "
     "pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"agentos-key-in-yaml", "The answer.\n\n```yaml\nagentos:\n  reward: 1\n  reason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"agentos-key-no-fence", "The answer.\n\nagentos:\n  reward: 1\n  reason: ok\n",
     "answer: The answer.\n+1 ok"},
    {"tabs",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\n\tname: a\n\tdescription: d\n\tbody: "
     "|\n\t\tone\n\t\t\ttwo\nreflection:\tr\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r\nskill: a | d | one\n\ttwo"},
    {"deeper-keys", "The answer.\n\n```agentos\nreward: 1\n  reason: ok\n  reflection: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r"},
    {"flat-skill",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\nname: a\ndescription: d\nbody: |\n  one\n\n  "
     "two\nreflection: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r\nskill: a | d | one\n\ntwo"},
    {"skill-by-list",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskills: [{name: a, description: \"d, e\", body: "
     "b}]\n```\n",
     "answer: The answer.\n+1 ok\nskill: a | d, e | b"},
    {"two-skills",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskills:\n  - name: a\n    description: d\n    body: "
     "b\n  - name: c\n    body: d\n```\n",
     "answer: The answer.\n+1 ok\nskill: a | d | b\ntold"},
    {"skill-list-of-words",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill: [this, is, no, skill]\n```\n",
     "answer: The answer.\n+1 ok\ntold"},
    {"skill-in-bold", "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill: **known-one**\n```\n",
     "answer: The answer.\n+1 ok\nskill: known-one | - | -"},
    {"several-reflections",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nreflections: [\"one, two\", three]\n```\n",
     "answer: The answer.\n+1 ok\nreflection: one, two; three"},
    {"unknown-key", "The answer.\n\n```agentos\nreward: 1\nreason: ok\nmood: fine\nreflection: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r\ntold"},
    {"comments",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n# the report\nreflection: r   # optional\n# "
     "end\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r"},
    {"hash-in-reason", "The answer.\n\n```agentos\nreward: 1\nreason: merged #7, see C# and F #\n```\n",
     "answer: The answer.\n+1 merged #7, see C# and F #"},
    {"no-space-behind-colon", "The answer.\n\n```agentos\nreward:1\nreason:ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"json-in-fence",
     "The answer.\n\n```agentos\n{\"reward\": 1, \"reason\": \"ok\", \"messages\": [{\"to\": \"iris\", "
     "\"body\": \"a\nb\"}],}\n```\n",
     "answer: The answer.\n+1 ok\nmessage iris: a\nb"},
    {"flow-block", "The answer.\n\n```agentos\n{reward: 1, reason: it, really, worked, reflection: r}\n```\n",
     "answer: The answer.\n+1 it, really, worked\nreflection: r"},
    {"xmlish-tags", "The answer.\n\n<agentos>\nreward: 1\nreason: ok\n</agentos>\n",
     "answer: The answer.\n+1 ok"},
    {"yaml-fence", "The answer.\n\n```yaml\nreward: 1\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"json-fence", "The answer.\n\n```json\n{\"reward\": 1, \"reason\": \"ok\"}\n```\n",
     "answer: The answer.\n+1 ok"},
    {"markdown-fence", "The answer.\n\n```markdown\nreward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"yaml-fence-and-chatter",
     "The answer.\n\n```yaml\nreward: 1\nreason: ok\n```\n\nLet me know if you need more!\n",
     "answer: The answer.\n\nLet me know if you need more!\n+1 ok"},
    {"yaml-elsewhere",
     "Write this:\n\n```yaml\nreward: 1\nreason: ok\n```\n\n# Then\n\nMuch more text. Much more text. Much "
     "more text. Much more text. Much more text. Much more text. Much more text. Much more text. Much more "
     "text. Much more text. Much more text. Much more text. Much more text. Much more text. Much more text. "
     "Much more text. Much more text. Much more text. Much more text. Much more text. "
     "\n\n```agentos\nreward: -1\nreason: bad\n```\n",
     "answer: Write this:\n\n```yaml\nreward: 1\nreason: ok\n```\n\n# Then\n\nMuch more text. Much more "
     "text. Much more text. Much more text. Much more text. Much more text. Much more text. Much more text. "
     "Much more text. Much more text. Much more text. Much more text. Much more text. Much more text. Much "
     "more text. Much more text. Much more text. Much more text. Much more text. Much more text.\n-1 bad"},
    {"tildes", "The answer.\n\n~~~agentos\nreward: 1\nreason: ok\n~~~\n", "answer: The answer.\n+1 ok"},
    {"four-backticks",
     "The answer.\n\n````agentos\nreward: 1\nreason: ok\nskill:\n  name: a\n  description: d\n  body: |\n    "
     "x\n```\ny\n```\n````\n",
     "answer: The answer.\n+1 ok\nskill: a | d | x\n```\ny\n```"},
    {"indented-fence", "The answer.\n\n    ```agentos\n    reward: 1\n    reason: ok\n    ```\n",
     "answer: The answer.\n+1 ok"},
    {"bulleted-fence", "The answer.\n\n- ```agentos\n  reward: 1\n  reason: ok\n  ```\n",
     "answer: The answer.\n+1 ok"},
    {"block-quoted", "The answer.\n\n> ```agentos\n> reward: 1\n> reason: ok\n> ```\n",
     "answer: The answer.\n+1 ok"},
    {"no-end", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n", "answer: The answer.\n+1 ok"},
    {"on-the-info-line", "The answer.\n\n```agentos reward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"wide-blank-in-fence",
     "The answer.\n\n```\xc2\xa0"
     "agentos\n\xe3\x80\x80"
     "reward: 1\n\xe3\x80\x80"
     "reason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"yaml-agentos", "The answer.\n\n```yaml agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"closing-fence-too-deep", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n  ```\n\nBye.\n",
     "answer: The answer.\n\nBye.\n+1 ok"},
    {"inline-code-at-an-end",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nreflection: use ```ls```\n```\n",
     "answer: The answer.\n+1 ok\nreflection: use ```ls```"},
    {"code-with-info-at-the-edge",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\n  name: a\n  description: d\n  body: |\n    "
     "Do:\n```sh\nls\n```\nreflection: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r\nskill: a | d | Do:\n```sh\nls\n```"},
    {"code-at-the-edge-last",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\n  name: a\n  description: d\n  body: |\n    "
     "Do:\n```\nls\n```\n```\n",
     "answer: The answer.\n+1 ok\nskill: a | d | Do:\n```\nls\n```"},
    {"key-in-code",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nskill:\n  name: a\n  description: d\n  body: |\n    "
     "Do:\n```yaml\nreward: -1\nreason: x\n```\nreflection: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r\nskill: a | d | Do:\n```yaml\nreward: -1\nreason: x\n```"},
    {"code-behind-the-block",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n\nTry:\n\n```sh\nls\n```\n",
     "answer: The answer.\n\nTry:\n\n```sh\nls\n```\n+1 ok"},
    {"whole-in-four",
     "````markdown\n# Answer\n\n```sh\nls\n```\n\n```agentos\nreward: 1\nreason: ok\n```\n````\n",
     "answer: # Answer\n\n```sh\nls\n```\n+1 ok"},
    {"whole-in-plain", "```\nHello\n\n```agentos\nreward: 1\nreason: ok\n```\n```\n", "answer: Hello\n+1 ok"},
    {"whole-with-code",
     "```markdown\nHello\n\n```python\nx = 1\n```\n\n```agentos\nreward: 1\nreason: ok\n```\n```\n",
     "answer: Hello\n\n```python\nx = 1\n```\n+1 ok"},
    {"whole-in-agentos", "```agentos\n# Answer\n\nHello\n\nreward: 1\nreason: ok\n```\n",
     "answer: # Answer\n\nHello\n+1 ok"},
    {"code-first", "```\ncode\n```\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: ```\ncode\n```\n+1 ok"},
    {"markdown-first", "```markdown\n# Doc\n```\n\nThere.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: ```markdown\n# Doc\n```\n\nThere.\n+1 ok"},
    {"tags-around-a-fence", "The answer.\n\n<agentos>\n```yaml\nreward: 1\nreason: ok\n```\n</agentos>\n",
     "answer: The answer.\n+1 ok"},
    {"fence-around-tags", "The answer.\n\n```xml\n<agentos>\nreward: 1\nreason: ok\n</agentos>\n```\n",
     "answer: The answer.\n+1 ok"},
    {"tag-without-end", "The answer.\n\n<agentos>\nreward: 1\nreason: ok\n", "answer: The answer.\n+1 ok"},
    {"heading-above", "The answer.\n\n**agentos:**\n\n```yaml\nreward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"no-fence-in-bold", "The answer.\n\n**Reward:** 1\n**Reason:** ok\n**Messages:**\n- iris: hi, you\n",
     "answer: The answer.\n+1 ok\nmessage iris: hi, you"},
    {"no-fence-between-rules", "The answer.\n\n---\nreward: 1\nreason: ok\n---\n",
     "answer: The answer.\n+1 ok"},
    {"prose-that-is-no-report", "Reward: it was given.\nThat is all.\n\nReason: none.\nSo be it.\n",
     "answer: Reward: it was given.\nThat is all.\n\nReason: none.\nSo be it.\n0 -\ntold"},
    {"two-blocks",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n\n```agentos\nhandoffs:\n  - iris: count the "
     "pages\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages"},
    {"two-blocks-the-same",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: count the "
     "pages}]\n```\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: count the pages}]\n```\n",
     "answer: The answer.\n+1 ok\nhandoff iris: count the pages\ntold"},
    {"text-between-blocks",
     "a\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\nb\n```agentos\nreward: 1\nreason: "
     "ok\n```\n",
     "answer: a\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\nb\n+1 ok"},
    {"chatter-behind", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n\nI hope this helps!\n",
     "answer: The answer.\n\nI hope this helps!\n+1 ok"},
    {"token <|eot_id|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<|eot_id|>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <|eot_id|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<|eot_id|>\n",
     "answer: The answer.\n+1 ok"},
    {"token <|im_end|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<|im_end|>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <|im_end|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<|im_end|>\n",
     "answer: The answer.\n+1 ok"},
    {"token </s>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```</s>", "answer: The answer.\n+1 ok"},
    {"token on a line </s>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n</s>\n",
     "answer: The answer.\n+1 ok"},
    {"token <end_of_turn>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<end_of_turn>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <end_of_turn>",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<end_of_turn>\n", "answer: The answer.\n+1 ok"},
    {"token <|endoftext|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<|endoftext|>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <|endoftext|>",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<|endoftext|>\n", "answer: The answer.\n+1 ok"},
    {"token <｜end▁of▁sentence｜>",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<｜end▁of▁sentence｜>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <｜end▁of▁sentence｜>",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<｜end▁of▁sentence｜>\n",
     "answer: The answer.\n+1 ok"},
    {"token <eos>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<eos>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <eos>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<eos>\n",
     "answer: The answer.\n+1 ok"},
    {"token <|return|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```<|return|>",
     "answer: The answer.\n+1 ok"},
    {"token on a line <|return|>", "The answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n<|return|>\n",
     "answer: The answer.\n+1 ok"},
    {"token-without-end", "The answer.\n\n```agentos\nreward: 1\nreason: ok<|im_end|>",
     "answer: The answer.\n+1 ok"},
    {"another-turn",
     "The answer.\n\n```agentos\nreward: 1\nreason: "
     "ok\n```\n<|im_end|>\n<|im_start|>user\nMore\n<|im_end|>\n<|im_start|>assistant\nThe "
     "answer.\n\n```agentos\nreward: -1\n```\n",
     "answer: The answer.\n+1 ok\ntold"},
    {"role-in-front", "<|im_start|>assistant\nThe answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"thoughts <think>",
     "<think>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n</think>\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <think time=\"3\">",
     "<think time=\"3\">\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n</think>\nThe "
     "real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <thought>",
     "<thought>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n</thought>\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <thinking>",
     "<thinking>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n</thinking>\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <reasoning>",
     "<reasoning>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n</reasoning>\nThe "
     "real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts [THINK]",
     "[THINK]\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n[/THINK]\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts ◁think▷",
     "◁think▷\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n◁/think▷\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <|START_THINKING|>",
     "<|START_THINKING|>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: "
     "t}]\n```\n<|END_THINKING|>\nThe real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <|begin_of_thought|>",
     "<|begin_of_thought|>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: "
     "t}]\n```\n<|end_of_thought|>\nThe real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <|channel|>analysis<|message|>",
     "<|channel|>analysis<|message|>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: "
     "t}]\n```\n<|end|><|start|>assistant<|channel|>final<|message|>\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <|start|>assistant<|channel|>analysis<|message|>",
     "<|start|>assistant<|channel|>analysis<|message|>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, "
     "task: t}]\n```\n<|end|><|start|>assistant<|channel|>final <|constrain|>md<|message|>\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <Thinking>",
     "<Thinking>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n</Thinking>\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts <|channel>thought",
     "<|channel>thought\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: "
     "t}]\n```\n<channel|>\nThe real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts-on-one-line",
     "<think>short</think>The real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts-unopened-bracket",
     "draft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n[/THINK]\nThe real "
     "answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts-unopened-harmony",
     "draft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: "
     "t}]\n```\n<|end|><|start|>assistant<|channel|>final<|message|>The real answer.\n\n```agentos\nreward: "
     "1\nreason: ok\n```\n<|return|>",
     "answer: The real answer.\n+1 ok"},
    {"thoughts-with-open-code",
     "<think>\n```\ndraft\n</think>\nThe real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts-empty", "<think>\n\n</think>\n\nThe real answer.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The real answer.\n+1 ok"},
    {"thoughts-that-never-end",
     "<think>\ndraft\n```agentos\nreward: -1\nhandoffs: [{to: iris, task: t}]\n```\n", "answer: \n0 -\ntold"},
    {"mark-in-a-fence", "Write:\n```\n</think>\n```\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: Write:\n```\n</think>\n```\n+1 ok"},
    {"mark-within-a-line", "Close it with </think> at the end.\n\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: Close it with </think> at the end.\n+1 ok"},
    {"thoughts-behind-the-answer",
     "The answer.\n\n<think>plan</think>\n```agentos\nreward: 1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward +1", "The answer.\n\n```agentos\nreward: +1\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward **+1**", "The answer.\n\n```agentos\nreward: **+1**\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward １", "The answer.\n\n```agentos\nreward: １\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward ＋１", "The answer.\n\n```agentos\nreward: ＋１\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward 1/1", "The answer.\n\n```agentos\nreward: 1/1\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward +1 (reusable)", "The answer.\n\n```agentos\nreward: +1 (reusable)\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward true", "The answer.\n\n```agentos\nreward: true\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward yes", "The answer.\n\n```agentos\nreward: yes\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward Success!", "The answer.\n\n```agentos\nreward: Success!\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward success: the tests pass",
     "The answer.\n\n```agentos\nreward: success: the tests pass\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward 1.0", "The answer.\n\n```agentos\nreward: 1.0\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward \"1\"", "The answer.\n\n```agentos\nreward: \"1\"\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward `1`", "The answer.\n\n```agentos\nreward: `1`\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward 1\xef\xb8\x8f"
     "\xe2\x83\xa3"
     "",
     "The answer.\n\n```agentos\nreward: 1\xef\xb8\x8f"
     "\xe2\x83\xa3"
     "\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward ✅", "The answer.\n\n```agentos\nreward: ✅\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward 1 ✅", "The answer.\n\n```agentos\nreward: 1 ✅\nreason: ok\n```\n", "answer: The answer.\n+1 ok"},
    {"reward 1, reusable", "The answer.\n\n```agentos\nreward: 1, reusable\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward tab 1", "The answer.\n\n```agentos\nreward: \t1\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward 1   # reusable", "The answer.\n\n```agentos\nreward: 1   # reusable\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward 1 – reusable", "The answer.\n\n```agentos\nreward: 1 – reusable\nreason: ok\n```\n",
     "answer: The answer.\n+1 ok"},
    {"reward fail", "The answer.\n\n```agentos\nreward: fail\nreason: ok\n```\n",
     "answer: The answer.\n-1 ok"},
    {"reward failure (no network)",
     "The answer.\n\n```agentos\nreward: failure (no network)\nreason: ok\n```\n",
     "answer: The answer.\n-1 ok"},
    {"reward −1", "The answer.\n\n```agentos\nreward: −1\nreason: ok\n```\n", "answer: The answer.\n-1 ok"},
    {"reward –1", "The answer.\n\n```agentos\nreward: –1\nreason: ok\n```\n", "answer: The answer.\n-1 ok"},
    {"reward －１", "The answer.\n\n```agentos\nreward: －１\nreason: ok\n```\n",
     "answer: The answer.\n-1 ok"},
    {"reward false", "The answer.\n\n```agentos\nreward: false\nreason: ok\n```\n",
     "answer: The answer.\n-1 ok"},
    {"reward partial", "The answer.\n\n```agentos\nreward: partial\nreason: ok\n```\n",
     "answer: The answer.\n0 ok"},
    {"reward 0", "The answer.\n\n```agentos\nreward: 0\nreason: ok\n```\n", "answer: The answer.\n0 ok"},
    {"reward 0/1", "The answer.\n\n```agentos\nreward: 0/1\nreason: ok\n```\n", "answer: The answer.\n0 ok"},
    {"no reward 2", "The answer.\n\n```agentos\nreward: 2\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"no reward 1/10", "The answer.\n\n```agentos\nreward: 1/10\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"no reward 0.5", "The answer.\n\n```agentos\nreward: 0.5\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"no reward 1 or -1", "The answer.\n\n```agentos\nreward: 1 or -1\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"no reward maybe", "The answer.\n\n```agentos\nreward: maybe\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"no reward +1/-1", "The answer.\n\n```agentos\nreward: +1/-1\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"no reward 10", "The answer.\n\n```agentos\nreward: 10\nreason: ok\n```\n",
     "answer: The answer.\n0 ok\ntold"},
    {"json-raw-lines", "{\"answer\": \"one\n\n- two\n- three\", \"reward\": 1, \"reason\": \"ok\"}",
     "answer: one\n\n- two\n- three\n+1 ok"},
    {"json-words-around",
     "Here is the result:\n\n{\n  \"answer\": \"42\",\n  \"reward\": 1,\n  \"reason\": \"ok\"\n}\n\nHope it "
     "helps!",
     "answer: 42\n+1 ok"},
    {"json-single-quotes",
     "{'answer': 'it''s 42', 'reward': 1, 'reason': 'ok', 'skill': None, 'goals': {'add': [], 'done': []}}",
     "answer: it's 42\n+1 ok"},
    {"json-python", "{'answer': \"it's\", 'reward': True, 'reason': 'ok', 'reflection': None}",
     "answer: it's\n+1 ok"},
    {"json-apostrophe", "{'answer': 'don't', 'reward': 1, 'reason': 'ok'}", "answer: don't\n+1 ok"},
    {"json-inner-quotes", "{\"answer\": \"He said \"go\" and left.\", \"reward\": 1, \"reason\": \"ok\"}",
     "answer: He said \"go\" and left.\n+1 ok"},
    {"json-comments",
     "{\n  // the answer\n  \"answer\": \"a // b\", /* here */\n  \"reward\": 1, # good\n  \"reason\": "
     "\"ok\" // end\n}",
     "answer: a // b\n+1 ok"},
    {"json-no-commas", "{\n  \"answer\": \"a\"\n  \"reward\": 1\n  \"reason\": \"ok\"\n}",
     "answer: a\n+1 ok"},
    {"json-plus", "{\"answer\": \"a\", \"reward\": +1, \"reason\": \"ok\"}", "answer: a\n+1 ok"},
    {"json-bare-keys", "{answer: \"a\", reward: 1, reason: \"ok\"}", "answer: a\n+1 ok"},
    {"json-typographic", "{“answer”: “a, b”, “reward”: 1, “reason”: “ok”}", "answer: a, b\n+1 ok"},
    {"json-not-closed", "{\"answer\": \"a\", \"reward\": 1, \"reason\": \"ok\"", "answer: a\n+1 ok\ntold"},
    {"json-keys-twice",
     "{\"answer\": \"a\", \"reward\": 1, \"reason\": \"ok\", \"messages\": [{\"to\": \"iris\", \"body\": "
     "\"x\"}], \"messages\": [{\"to\": \"nova\", \"body\": \"y\"}]}",
     "answer: a\n+1 ok\nmessage iris: x\nmessage nova: y"},
    {"json-under-agentos", "{\"answer\": \"a\", \"agentos\": {\"reward\": 1, \"reason\": \"ok\"}}",
     "answer: a\n+1 ok"},
    {"json-escapes", "{\"answer\": \"a\\n\\u00e4\\ud83d\\ude00\t|\", \"reward\": 1, \"reason\": \"ok\"}",
     "answer: a\nä😀\t|\n+1 ok"},
    {"json-fenced-with-words",
     "Sure:\n\n```json\n{\"answer\": \"a\", \"reward\": 1, \"reason\": \"ok\"}\n```\n\nBye.",
     "answer: a\n+1 ok"},
    {"json-behind-the-answer", "The answer.\n\n{\"reward\": 1, \"reason\": \"ok\"}",
     "answer: The answer.\n+1 ok"},
    {"json-lists",
     "{\"answer\": \"a\", \"reward\": 1, \"reason\": \"ok\", \"reflections\": [\"r\"], \"goals\": [\"g, "
     "h\"], \"handoffs\": {\"to\": \"iris\", \"task\": \"count the pages\"}, \"messages\": [\"nova: "
     "a\\nb\"], \"skill\": {\"name\": \"s\", \"description\": \"d\", \"body\": \"# x\\ny\"}}",
     "answer: a\n+1 ok\nreflection: r\nskill: s | d | # x\ny\ngoal: g, h\nhandoff iris: count the "
     "pages\nmessage nova: a\nb"},
    {"json-answer-that-is-data", "{\"rows\": 3, \"answer\": 4}\n",
     "answer: {\"rows\": 3, \"answer\": 4}\n0 -\ntold"},
    {"yaml-answer", "```yaml\nanswer: |\n  one\n  two\nreward: 1\nreason: ok\n```\n",
     "answer: one\ntwo\n+1 ok"},
    {"example-in-part",
     "The answer.\n\n```agentos\nreward: 1\nreason: ok\nhandoffs: [{to: iris, task: \"work for another "
     "agent\"}]\nreflection: r\n```\n",
     "answer: The answer.\n+1 ok\nreflection: r\ntold"},
    {"example-then-report",
     "The answer.\n\n```agentos\nreward: 1\nreason: one line that says why\n```\n\n```agentos\nreward: "
     "-1\nreason: ok\n```\n",
     "answer: The answer.\n-1 ok\ntold"},
    {"new-example",
     "The answer.\n\n```agentos\nreward: 1\nreason: <why, in one line>\nskill:\n  name: <skill-name>\n  "
     "description: <when and why to use it>\n  body: |\n    <steps, code and pitfalls>\nhandoffs:\n  - to: "
     "<agent>\n    task: <the work>\n```\n",
     "answer: The answer.\n0 -\ntold"},
};

static const char *or_none(const char *text)
{
    return text ? text : "-";
}

static void print_sends(const struct reply *reply, struct buffer *out)
{
    for (size_t i = 0; i < reply->send_count; i++) {
        const struct reply_send *send = &reply->sends[i];
        buffer_print(out, "\n%s %s: %s", envelope_kind_name(send->kind), send->to, send->text);
        if (send->priority != PRIORITY_NORMAL)
            buffer_print(out, " (%s)", priority_name(send->priority));
        if (send->ttl_seconds >= 0)
            buffer_print(out, " (%lld s)", (long long)send->ttl_seconds);
    }
    for (size_t i = 0; i < reply->segment_count; i++)
        buffer_print(out, "\nsegment %s@%lld: %s", reply->segments[i].name,
                     (long long)reply->segments[i].base_version, reply->segments[i].body);
}

static char *print(const struct reply *reply)
{
    struct buffer out = {0};
    buffer_print(&out, "answer: %s\n%s %s", reply->answer,
                 reply->reward > 0   ? "+1"
                 : reply->reward < 0 ? "-1"
                                     : "0",
                 or_none(reply->reason));
    if (reply->reflection)
        buffer_print(&out, "\nreflection: %s", reply->reflection);
    if (reply->skill.name)
        buffer_print(&out, "\nskill: %s | %s | %s", reply->skill.name, or_none(reply->skill.description),
                     or_none(reply->skill.body));
    for (size_t i = 0; i < reply->goals_add.count; i++)
        buffer_print(&out, "\ngoal: %s", reply->goals_add.items[i]);
    for (size_t i = 0; i < reply->goals_done.count; i++)
        buffer_print(&out, "\ndone: %s", reply->goals_done.items[i]);
    print_sends(reply, &out);
    if (reply->faults)
        buffer_text(&out, "\ntold");
    return buffer_take(&out);
}

static void test_each_form_means_what_it_says(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply reply;
        reply_parse(&reply, rows[i].reply, strlen(rows[i].reply), "stop");
        OWNED char *got = print(&reply);
        if (strcmp(got, rows[i].want) != 0) {
            wrong++;
            print_error("--- %s\n%s\n--- wanted\n%s\n--- faults: %s\n", rows[i].name, got, rows[i].want,
                        or_none(reply.faults));
        }
        reply_free(&reply);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_form_means_what_it_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
