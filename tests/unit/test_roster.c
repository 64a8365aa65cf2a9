/* common/roster: agents.yaml, every fault at its place, and a definition on the wire. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include "common/format/roster.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static struct roster *parse(const char *text)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_parse(text, strlen(text), "agents.yaml", &faults);
    if (!roster)
        fail_msg("%s", faults.data);
    assert_null(faults.data);
    return roster;
}

static char *faults_of(const char *text, size_t length)
{
    struct buffer faults = {0};
    struct roster *roster = roster_parse(text, length, "agents.yaml", &faults);
    if (roster)
        fail_msg("passed: %.200s", text);
    return buffer_take(&faults);
}

static void assert_faults(const char *text, const char *expected)
{
    OWNED char *faults = faults_of(text, strlen(text));
    assert_string_equal(faults, expected);
}

/* One agent with one more line: its fault begins so. */
static void assert_line_fault(const char *line, const char *expected)
{
    OWNED char *text = memory_print("agents:\n  - name: a\n    persona: p\n    %s\n", line);
    OWNED char *faults = faults_of(text, strlen(text));
    OWNED char *start = memory_print("agents.yaml:4:%s", expected);
    if (strncmp(faults, start, strlen(start)) != 0)
        fail_msg("%s gives: %sand should give: %s", line, faults, start);
}

static void test_the_articles_definition_gets_the_contracts_defaults(void **state)
{
    struct roster *roster =
        parse("agents:\n- name: orion\n  persona: \"Backend engineer.\"\n  domain: \"Backend\"\n"
              "  hints:\n  - \"Quick win: query\xe2\x80\x91parameterisation\"\n  goals: []\n");
    const struct roster_agent *orion = roster_find(roster, "orion");
    assert_non_null(orion);
    assert_string_equal(orion->persona, "Backend engineer.");
    assert_string_equal(orion->tone, "");
    assert_int_equal(orion->hints.count, 1);
    assert_string_equal(orion->hints.items[0], "Quick win: query\xe2\x80\x91parameterisation");
    assert_int_equal(orion->line, 2);
    assert_int_equal(orion->throughput_class, CLASS_UNSET);
    assert_int_equal(orion->ttl_seconds, 3600);
    assert_true(orion->may_send_to_all && orion->decay_halflife_days == 30 && !orion->reward_audit.enabled);
    assert_int_equal(orion->limits.memory_mb, 256);
    assert_int_equal(orion->limits.open_files, 256);
    assert_int_equal(orion->limits.disk_mb, 4096);
    assert_int_equal(orion->limits.task_seconds, 900);
    assert_int_equal(orion->limits.tokens_per_day + orion->limits.tasks_per_hour, 0);
    assert_int_equal(orion->watchdog.negative_streak, 5);
    assert_false(orion->watchdog.pause);
    assert_int_equal(orion->idle_exit_seconds, 0);
    assert_string_equal(orion->node, "");
    static const int64_t classes[][2] = {{1, 8}, {4, 32}, {16, 128}};
    for (int i = 0; i < CLASS_COUNT; i++) {
        assert_int_equal(roster->classes[i].window, classes[i][0]);
        assert_int_equal(roster->classes[i].backlog, classes[i][1]);
    }
    assert_int_equal(roster->tokens_per_day, 0);
    assert_null(roster_find(roster, "iris"));
    roster_free(roster);
}

static const char whole[] =
    "defaults:\n"
    "  throughput_class: medium\n"
    "  ttl_seconds: 60\n"
    "  may_send_to: [nova]\n"
    "  reward_audit: {enabled: true, command: [/bin/true]}\n"
    "  limits: {memory_mb: 128, tasks_per_hour: 7}\n"
    "  watchdog: {action: pause}\n"
    "  schedule: [{cron: '@daily', task: all}]\n"
    "agents:\n"
    "  - name: orion\n"
    "    persona: p\n"
    "    throughput_class: slow\n"
    "    ttl_seconds: 0\n"
    "    may_send_to: []\n"
    "    decay_halflife_days: 0.5\n"
    "    reward_audit: {method: command, command: [/data/tools/check, --level, 3]}\n"
    "    limits: {memory_mb: 512, open_files: 64, task_seconds: 1, tokens_per_day: 5, cost_per_day: 0.5}\n"
    "    watchdog: {negative_streak: 2}\n"
    "    idle_exit_seconds: 30\n"
    "    node: dc-1\n"
    "    schedule: [{cron: \"0 7 * * 1-5\", task: \"Summarise.\"}, {cron: '@hourly', task: x}]\n"
    "  - {name: nova, persona: q, tone: ~, keep: {archive: 9}}\n"
    "throughput_classes:\n"
    "  slow: {window: 2}\n"
    "  fast: {window: 99, backlog: 0}\n"
    "keep: {outputs: 7}\n"
    "budget: {tokens_per_day: 1000, cost_per_day: 2}\n"
    "prices:\n"
    "  gpt-4o: {input: 2.50, cached: 1.25, output: 10}\n"
    "  other: {input: 0, output: 0.5}\n"
    "queues:\n"
    "  - {name: reviews, consumers: [orion, nova], max_attempts: 9}\n"
    "  - {name: other, consumers: [nova]}\n"
    "segments:\n"
    "  - {name: glossary, writers: [nova], readers: [orion]}\n"
    "  - {name: empty}\n";

static void test_defaults_fill_in_key_by_key_and_an_agents_own_value_wins(void **state)
{
    struct roster *roster = parse(whole);
    const struct roster_agent *orion = roster_find(roster, "orion"), *nova = roster_find(roster, "nova");
    assert_int_equal(orion->keep.outputs, 7);
    assert_int_equal(orion->keep.archive, 1000);
    assert_int_equal(nova->keep.outputs, 7);
    assert_int_equal(nova->keep.archive, 9);
    assert_int_equal(orion->throughput_class, CLASS_SLOW);
    assert_int_equal(nova->throughput_class, CLASS_MEDIUM);
    assert_int_equal(orion->ttl_seconds, 0);
    assert_int_equal(nova->ttl_seconds, 60);
    assert_true(!orion->may_send_to_all && orion->may_send_to.count == 0);
    assert_true(!nova->may_send_to_all && nova->may_send_to.count == 1);
    assert_int_equal(orion->limits.memory_mb, 512);
    assert_int_equal(orion->limits.tasks_per_hour, 7);
    assert_int_equal(nova->limits.memory_mb, 128);
    assert_int_equal(nova->limits.open_files, 256);
    assert_true(orion->watchdog.pause && orion->watchdog.negative_streak == 2);
    assert_true(nova->watchdog.pause && nova->watchdog.negative_streak == 5);
    assert_true(orion->reward_audit.enabled && orion->reward_audit.method == AUDIT_COMMAND);
    assert_int_equal(orion->reward_audit.command.count, 3);
    assert_string_equal(orion->reward_audit.command.items[2], "3");
    assert_string_equal(nova->reward_audit.command.items[0], "/bin/true");
    assert_int_equal(nova->reward_audit.method, AUDIT_RULE_BASED);
    assert_int_equal(orion->schedule_count, 2);
    assert_string_equal(orion->schedule[0].cron, "0 7 * * 1-5");
    assert_string_equal(nova->schedule[0].task, "all");
    assert_string_equal(nova->tone, "");
    roster_free(roster);
}

static void test_what_holds_for_all_together_is_read(void **state)
{
    struct roster *roster = parse(whole);
    assert_int_equal(roster->classes[CLASS_SLOW].window, 2);
    assert_int_equal(roster->classes[CLASS_SLOW].backlog, 8);
    assert_int_equal(roster->classes[CLASS_FAST].window, 99);
    assert_int_equal(roster->classes[CLASS_FAST].backlog, 0);
    assert_int_equal(roster->tokens_per_day, 1000);
    assert_true(roster->cost_per_day > 1.9 && roster->cost_per_day < 2.1);
    assert_true(roster->agents[0].limits.cost_per_day > 0.4 && roster->agents[0].limits.cost_per_day < 0.6);
    assert_int_equal(roster->price_count, 2);
    assert_true(roster_price(roster, "gpt-4o")->cached > 1.2 && roster_price(roster, "gpt-4o")->output > 9);
    assert_true(roster_price(roster, "other")->cached < 0);
    assert_null(roster_price(roster, "gpt"));
    assert_int_equal(roster->queue_count, 2);
    assert_int_equal(roster->queues[0].max_attempts, 9);
    assert_int_equal(roster->queues[1].max_attempts, 3);
    assert_string_equal(roster->queues[0].consumers.items[1], "nova");
    assert_int_equal(roster->segment_count, 2);
    assert_string_equal(roster->segments[0].writers.items[0], "nova");
    assert_int_equal(roster->segments[1].readers.count, 0);
    roster_free(roster);
}

static void test_an_audit_whose_method_is_named_is_meant(void **state)
{
    struct roster *roster = parse("agents:\n- {name: a, persona: p, reward_audit: {method: llm}}\n"
                                  "- {name: b, persona: p, reward_audit: {method: llm, enabled: false}}\n");
    assert_true(roster->agents[0].reward_audit.enabled);
    assert_false(roster->agents[1].reward_audit.enabled);
    roster_free(roster);
}

static void test_every_fault_is_told_in_one_run_in_order_and_at_its_place(void **state)
{
    assert_faults(
        "queues:\n"
        "  - {name: reviews, consumers: [orin]}\n"
        "  - {name: reviews, consumers: []}\n"
        "defaults: {name: x, ttl_seconds: -1}\n"
        "agents:\n"
        "  - name: orion\n"
        "    persna: x\n"
        "    limits: {memory_mb: many, memory_mb: 1}\n"
        "  - {name: a-b, persona: p}\n"
        "  - {name: a_b, persona: p}\n"
        "  - {name: a_b, persona: p}\n"
        "  - {name: operator, persona: p}\n"
        "  - {name: Q, persona: p}\n"
        "  - text\n"
        "segments: [{name: s, writers: [nobody], readers: orion}]\n"
        "colour: blue\n",
        "agents.yaml:2:33: consumers names 'orin', and there is no such agent; did you mean 'orion'?\n"
        "agents.yaml:3:12: queue 'reviews' stands here again; first in line 2\n"
        "agents.yaml:3:32: consumers is an empty list; no agent would ever take an item\n"
        "agents.yaml:4:12: 'name' belongs to one agent, not in defaults\n"
        "agents.yaml:4:34: ttl_seconds must be a whole number from 0 to 3155760000, not -1\n"
        "agents.yaml:6:5: agent 'orion' needs 'persona'\n"
        "agents.yaml:7:5: unknown key 'persna' in an agent; did you mean 'persona'?\n"
        "agents.yaml:8:25: memory_mb must be a whole number, not 'many'\n"
        "agents.yaml:8:31: key 'memory_mb' stands here again; first in line 8\n"
        "agents.yaml:8:42: memory_mb must be a whole number from 16 to 1048576, not 1\n"
        "agents.yaml:10:12: agent 'a_b' and agent 'a-b' of line 9 would share their variables, such as "
        "LLM_MODEL__A_B\n"
        "agents.yaml:11:12: agent 'a_b' stands here again; first in line 10\n"
        "agents.yaml:12:12: an agent cannot be called 'operator': that is the name of people as senders\n"
        "agents.yaml:13:12: name 'Q' is not allowed: 1 to 64 of a-z 0-9 - _, starting with a letter\n"
        "agents.yaml:14:5: an agent must be a mapping, lines of 'key: value', not one text\n"
        "agents.yaml:15:32: writers names 'nobody', and there is no such agent\n"
        "agents.yaml:15:50: readers must be a list, such as [\"…\"], not one text\n"
        "agents.yaml:16:1: unknown key 'colour' in agents.yaml; there are: defaults, agents, "
        "throughput_classes, warm_workers, keep, budget, prices, notify, queues, segments\n");
}

static void test_a_wrong_value_says_what_would_be_right(void **state)
{
    static const char *const cases[][2] = {
        {"domain: 5", "13: domain must be text; to mean the text, write \"5\" in quotes"},
        {"domain: yes", "13: domain must be text"},
        {"domain: [x]", "13: domain must be text, not a list"},
        {"domain: ' '", "13: domain is empty"},
        {"tone: a: b", "12: mapping values are not allowed in this context; a value that contains ': '"},
        {"hints: x", "12: hints must be a list"},
        {"hints: [a: b]", "13: hints must be text, not a mapping; text that contains ': ' needs quotes"},
        {"goals: [~]", "13: goals must be text"},
        {"throughput_class: quick", "23: throughput_class must be slow, medium or fast, not 'quick'"},
        {"throughput_class: [slow]", "23: throughput_class must be slow, medium or fast, not 'a list'"},
        {"ttl_seconds: 1.5", "18: ttl_seconds must be a whole number from 0 to"},
        {"ttl_seconds: '60'", "18: ttl_seconds must be a whole number, not '60' in quotes"},
        {"ttl_seconds: 99999999999999999999", "18: ttl_seconds must be a whole number from 0 to"},
        {"may_send_to: [b]", "19: may_send_to names 'b', and there is no such agent"},
        {"may_send_to: all", "18: may_send_to must be a list"},
        {"decay_halflife_days: 0", "26: decay_halflife_days must be greater than 0, not 0"},
        {"decay_halflife_days: never", "26: decay_halflife_days must be a number, not 'never'"},
        {"reward_audit: {enabled: 1}", "29: enabled must be true or false, not '1'"},
        {"reward_audit: {method: rules}", "28: method must be rule_based, command or llm, not 'rules'"},
        {"reward_audit: {method: command}", "28: method 'command' needs a command, such as command: ["},
        {"reward_audit: true", "19: reward_audit must be a mapping"},
        {"reward_audit: {comand: [x]}", "20: unknown key 'comand' in reward_audit; did you mean 'command'?"},
        {"limits: {tokens_per_day: -1}", "30: tokens_per_day must be a whole number from 0 to"},
        {"limits: {tasks_per_hour: -1}", "30: tasks_per_hour must be a whole number from 0 to"},
        {"limits: {open_files: 1}", "26: open_files must be a whole number from 32 to"},
        {"limits: {task_seconds: 0}", "28: task_seconds must be a whole number from 1 to"},
        {"watchdog: {action: stop}", "24: action must be alert or pause, not 'stop'"},
        {"watchdog: {negative_streak: 0}", "33: negative_streak must be a whole number from 1 to"},
        {"idle_exit_seconds: -5", "24: idle_exit_seconds must be a whole number from 0 to"},
        {"node: a.b", "11: node 'a.b' is not allowed: 1 to 64 of a-z A-Z 0-9 - _"},
        {"node: 5", "11: node must be text; to mean the text, write \"5\" in quotes"},
        {"schedule: {cron: x}", "15: schedule must be a list"},
        {"schedule: [{cron: '@hourly'}]", "16: a schedule entry needs 'task'"},
        {"schedule: [{cron: '61 * * * *', task: x}]", "23: cron: '61' is no minute (0 to 59)"},
        {"schedule: [{task: x}]", "16: a schedule entry needs 'cron'"},
        {"persona: y", "5: key 'persona' stands here again; first in line 3"},
        {"schedule: [{cron: * * * * *, task: x}]", "24: while scanning an alias: did not find expected "
                                                   "alphabetic or numeric character; text that starts "
                                                   "with * or & needs quotes"},
        {"\xc2\xa0tone: x", "5: this line is indented with no-break spaces (U+00A0)"},
        {"tone: &x y", "11: anchors ('&x') are not allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_line_fault(cases[i][0], cases[i][1]);
}

static void test_what_stands_for_all_is_checked_too(void **state)
{
#define ONE "agents: [{name: a, persona: p}]\n"
    static const char *const cases[][2] = {
        {ONE "throughput_classes: {slow: {window: 0}}",
         "agents.yaml:2:37: window must be a whole number from 1 to"},
        {ONE "throughput_classes: {slow: {backlog: -1}}",
         "agents.yaml:2:38: backlog must be a whole number from 0 to"},
        {ONE "throughput_classes: {quick: {}}",
         "agents.yaml:2:22: unknown key 'quick' in throughput_classes; there are"},
        {ONE "budget: {tokens_per_day: -1}", "agents.yaml:2:26: tokens_per_day must be"},
        {ONE "budget: {cost_per_day: -1}", "agents.yaml:2:24: cost_per_day must be 0 or greater, not -1"},
        {ONE "budget: {cost_per_day: 5}", "agents.yaml:2:24: cost_per_day needs a price for every model in "
                                          "use, and prices has none for 'gpt-4o'"},
        {ONE "prices: {gpt-4o: {input: 1}}", "agents.yaml:2:18: a price needs 'output'"},
        {ONE "prices: {gpt-4o: {input: x, output: 1}}", "agents.yaml:2:26: input must be a number"},
        {ONE "prices: [1]", "agents.yaml:2:9: prices must be a mapping"},
        {ONE "budget: 5", "agents.yaml:2:9: budget must be a mapping"},
        {ONE "queues: [{name: q}]", "agents.yaml:2:10: queue 'q' needs 'consumers'"},
        {ONE "queues: [{name: ../q, consumers: [a]}]", "agents.yaml:2:17: name '../q' is not allowed"},
        {ONE "queues: [{name: q, consumers: [a], max_attempts: 0}]",
         "agents.yaml:2:50: max_attempts must be"},
        {ONE "notify: [{events: [watchdog]}]", "agents.yaml:2:10: an entry of notify needs 'url'"},
        {ONE "notify: [{url: 'https://h/', events: [down]}]", "agents.yaml:2:39: events has no 'down'"},
        {ONE "notify: [{url: 'https://h/', events: []}]", "agents.yaml:2:38: events is an empty list"},
        {ONE "notify: [{url: 'https://h/'}, {url: 'https://h/'}]",
         "agents.yaml:2:37: this url stands in an entry before"},
        {ONE "notify: [{url: 'gopher://h/'}]", "agents.yaml:2:16: url must start with http:// or https://"},
        {ONE "notify: [{url: 'https://h/', secret_file: here}]",
         "agents.yaml:2:43: secret_file must be an absolute path"},
        {ONE "segments: [{name: s}, {name: s}]",
         "agents.yaml:2:30: segment 's' stands here again; first in line 2"},
        {ONE "defaults: {tons: x}", "agents.yaml:2:12: unknown key 'tons' in defaults; did you mean 'tone'?"},
        {ONE "defaults: []", "agents.yaml:2:11: defaults must be a mapping"},
        {ONE "defaults: {reward_audit: {method: command}}",
         "agents.yaml:2:35: method 'command' needs a command"},
        {"", "agents.yaml:1:1: the file is empty"},
        {"# nothing\n", "agents.yaml:1:1: the file is empty"},
        {"agents: []", "agents.yaml:1:9: agents is an empty list; there is no agent to run"},
        {"agents:\n", "agents.yaml:1:1: agents.yaml needs 'agents'"},
        {"budget: {}\n", "agents.yaml:1:1: agents.yaml needs 'agents'"},
        {"- name: a\n", "agents.yaml:1:1: agents.yaml must be a mapping, lines of 'key: value', not a list"},
        {"hello", "agents.yaml:1:1: agents.yaml must be a mapping"},
        {"agents: {name: a}", "agents.yaml:1:9: agents must be a list, each entry starting with '- '"},
        {"agents:\n\t- name: a\n",
         "agents.yaml:2:1: while scanning for the next token: found character that cannot"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWNED char *faults = faults_of(cases[i][0], strlen(cases[i][0]));
        if (strncmp(faults, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s\ngives: %sand should give: %s", cases[i][0], faults, cases[i][1]);
        assert_int_equal(strcspn(faults, "\n"), strlen(faults) - 1);
    }
}

/* The checks over the whole go through the document and the record side by side. */
static void test_a_key_that_stands_twice_is_a_fault_whichever_value_is_longer(void **state)
{
    static const char *const cases[] = {
        ONE "notify: []\nnotify: [{url: 'ftp://h/'}]",
        ONE "notify: [{secret_file: /x}]\nnotify: [{url: 'ftp://h/'}]",
        ONE "notify: [{url: 'https://h/'}]\nnotify: [{url: 'ftp://h/'}, {url: 'ftp://h/'}]",
        ONE "notify: ~\nnotify: [{url: 'ftp://h/'}]",
        ONE
        "notify: [{url: 'https://h/', url: x, secret_file: /a, secret_file: b, events: ~, events: [down]}]",
        ONE "agents: [{name: b, persona: p, limits: {cost_per_day: 1}}, {name: c, persona: p}]",
        "agents: []\n" ONE "budget: {cost_per_day: 1}\nbudget: 5",
        ONE "queues: [{name: q, consumers: [a]}]\nqueues: [{name: r, consumers: []}, {name: r}]",
        ONE "segments: []\nsegments: [{name: s}, {name: s}]",
        ONE "prices: {m: {input: 1, output: 1}, m: {input: x}}\nprices: {n: {}}",
        ONE "defaults: {reward_audit: {method: command}}\ndefaults: {reward_audit: 5, reward_audit: {}}",
        ONE "keep: {}\nkeep: {handoffs_days: 1}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWNED char *faults = faults_of(cases[i], strlen(cases[i]));
        if (!strstr(faults, "stands here again; first in line"))
            fail_msg("%s\ngives: %s", cases[i], faults);
    }
}

static void test_every_example_that_is_shipped_is_valid(void **state)
{
    static const struct {
        const char *name;
        size_t agents;
    } examples[] = {{"orion", 1}, {"revu", 1}, {"lex", 1}, {"scribe", 1}, {"team", 3}};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        OWNED char *folder =
            memory_print("%.*s/../../deploy/examples/%s", (int)(strlen(TEST_DATA) - strlen("/data")),
                         TEST_DATA, examples[i].name);
        OWNED_BUFFER struct buffer faults = {0};
        struct roster *roster = roster_load(folder, &faults);
        if (!roster)
            fail_msg("%s: %s", examples[i].name, faults.data);
        assert_int_equal(roster->agent_count, examples[i].agents);
        roster_free(roster);
    }
}

static void test_the_articles_shortened_list_is_read_as_it_stands(void **state)
{
    struct roster *roster =
        parse("agents:\n  - name: orion\n    persona: ...\n    domain: \"Backend engineering\"\n"
              "    hints: [...]\n  - name: iris\n    persona: ...\n    hints: [...]\n");
    assert_int_equal(roster->agent_count, 2);
    assert_string_equal(roster->agents[1].persona, "...");
    roster_free(roster);
}

static void test_a_thousand_faults_are_two_hundred_lines_and_a_count(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "agents:\n");
    for (int i = 0; i < 1000; i++)
        buffer_print(&text, "  - {name: a%d, persona: 5}\n", i);
    OWNED char *faults = faults_of(text.data, text.length);
    size_t lines = 0;
    for (const char *c = faults; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 201);
    assert_non_null(strstr(faults, "\nagents.yaml:1:1: 800 more faults are not listed\n"));
}

static void test_ten_thousand_agents_are_read_and_found_and_one_more_is_refused(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "agents:\n");
    for (int i = 0; i < ROSTER_AGENTS_MAX; i++)
        buffer_print(&text, "- {name: a%d, persona: p, may_send_to: [a%d]}\n", i, ROSTER_AGENTS_MAX - 1 - i);
    struct roster *roster = parse(text.data);
    assert_int_equal(roster->agent_count, ROSTER_AGENTS_MAX);
    assert_string_equal(roster->agents[9].name, "a9");
    assert_ptr_equal(roster_find(roster, "a7777"), &roster->agents[7777]);
    roster_free(roster);
    buffer_text(&text, "- {name: b, persona: p}\n");
    OWNED char *faults = faults_of(text.data, text.length);
    assert_string_equal(faults, "agents.yaml:2:1: 10001 agents are too many; at most 10000 can be run\n");
}

static void
test_a_definition_comes_over_the_wire_whole_and_the_place_in_the_file_is_no_part_of_it(void **state)
{
    struct roster *roster = parse(whole);
    OWNED char *moved = memory_print("# a comment\n\n%s", whole);
    struct roster *again = parse(moved);
    for (size_t i = 0; i < roster->agent_count; i++) {
        OWNED_BUFFER struct buffer sent = {0}, same = {0}, back = {0};
        roster_encode(&roster->agents[i], &sent);
        roster_encode(&again->agents[i], &same);
        assert_string_equal(sent.data, same.data);
        struct roster_agent *copy = roster_decode(sent.data, sent.length);
        assert_non_null(copy);
        roster_encode(copy, &back);
        assert_string_equal(sent.data, back.data);
        assert_int_equal(copy->may_send_to_all, roster->agents[i].may_send_to_all);
        assert_int_equal(copy->throughput_class, roster->agents[i].throughput_class);
        assert_int_equal(copy->reward_audit.method, roster->agents[i].reward_audit.method);
        assert_int_equal(copy->watchdog.pause, roster->agents[i].watchdog.pause);
        assert_string_equal(copy->persona, roster->agents[i].persona);
        assert_int_equal(copy->schedule_count, roster->agents[i].schedule_count);
        roster_agent_free(copy);
    }
    roster_free(roster);
    roster_free(again);
}

static void test_a_definition_cut_off_or_twisted_is_none(void **state)
{
    struct roster *roster = parse(whole);
    OWNED_BUFFER struct buffer sent = {0};
    roster_encode(&roster->agents[0], &sent);
    for (size_t length = 0; length < sent.length; length++)
        assert_null(roster_decode(sent.data, length));
    static const char *const wrong[] = {
        "{}",
        "[]",
        "{\"name\":5,\"persona\":\"p\"}",
        "{\"name\":\"a\",\"persona\":\"p\",\"throughput_class\":9}",
        "{\"name\":\"a\",\"persona\":\"p\",\"throughput_class\":\"swift\"}",
        "{\"name\":\"a\",\"persona\":\"p\",\"hints\":[\"x\",5]}",
        "{\"name\":\"a\",\"persona\":\"p\",\"schedule\":[{\"cron\":\"x\"},5]}",
        "{\"name\":\"a\",\"persona\":\"p\",\"limits\":5}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_null(roster_decode(wrong[i], strlen(wrong[i])));
    roster_free(roster);
}

static void assert_load_fault(const char *folder, const char *expected)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_load(folder, &faults);
    if (roster || !strstr(faults.data, expected))
        fail_msg("%s", roster ? "it was loaded" : faults.data);
}

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(text, 1, length, file);
    fclose(file);
}

static void test_a_file_that_cannot_be_read_says_why_and_holds_nothing_up(void **state)
{
    char folder[] = "/tmp/agentos-roster-XXXXXX";
    assert_non_null(mkdtemp(folder));
    OWNED char *path = memory_print("%s/agents.yaml", folder), *there = memory_print("%s/there.yaml", folder);
    assert_load_fault("/tmp/agentos-no-such-folder",
                      "/tmp/agentos-no-such-folder/agents.yaml: there is no such directory");
    assert_load_fault(folder, "/agents.yaml: there is no such file; `agentos init` writes one");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_load_fault(folder, "/agents.yaml: is a directory, and must be a file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_load_fault(folder, "/agents.yaml: is no regular file");
    assert_int_equal(unlink(path), 0);
    write_file(path, "", 0);
    assert_load_fault(folder, "agents.yaml:1:1: the file is empty");
    write_file(path, "agents:\n- \xff", 11);
    assert_load_fault(folder, "agents.yaml:2:3: byte 0xff is not UTF-8");
    OWNED char *huge = memory_new(ROSTER_FILE_MAX + 1, 1);
    memset(huge, '\n', ROSTER_FILE_MAX + 1);
    write_file(path, huge, ROSTER_FILE_MAX + 1);
    assert_load_fault(folder, "/agents.yaml: is larger than 4 MiB");
    if (geteuid() != 0) {
        assert_int_equal(chmod(path, 0), 0);
        assert_load_fault(folder, "/agents.yaml: cannot be opened: Permission denied");
    }
    assert_int_equal(unlink(path), 0);
    write_file(there, ONE, sizeof ONE - 1);
    assert_int_equal(symlink("there.yaml", path), 0);
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_load(folder, &faults);
    assert_non_null(roster);
    roster_free(roster);
    unlink(path);
    unlink(there);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_articles_definition_gets_the_contracts_defaults),
        cmocka_unit_test(test_defaults_fill_in_key_by_key_and_an_agents_own_value_wins),
        cmocka_unit_test(test_what_holds_for_all_together_is_read),
        cmocka_unit_test(test_an_audit_whose_method_is_named_is_meant),
        cmocka_unit_test(test_every_fault_is_told_in_one_run_in_order_and_at_its_place),
        cmocka_unit_test(test_a_wrong_value_says_what_would_be_right),
        cmocka_unit_test(test_what_stands_for_all_is_checked_too),
        cmocka_unit_test(test_a_key_that_stands_twice_is_a_fault_whichever_value_is_longer),
        cmocka_unit_test(test_every_example_that_is_shipped_is_valid),
        cmocka_unit_test(test_the_articles_shortened_list_is_read_as_it_stands),
        cmocka_unit_test(test_a_thousand_faults_are_two_hundred_lines_and_a_count),
        cmocka_unit_test(test_ten_thousand_agents_are_read_and_found_and_one_more_is_refused),
        cmocka_unit_test(
            test_a_definition_comes_over_the_wire_whole_and_the_place_in_the_file_is_no_part_of_it),
        cmocka_unit_test(test_a_definition_cut_off_or_twisted_is_none),
        cmocka_unit_test(test_a_file_that_cannot_be_read_says_why_and_holds_nothing_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
