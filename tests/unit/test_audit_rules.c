/* Each rule of agentos-audit with a realistic answer that it catches, and a similar answer that it must leave alone. */
#include <string.h>

#include <jansson.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/audit/rules.h"

struct example {
    const char *task, *answer;
    const char *skill, *description, *body; /* skill NULL: none */
};

static const char *const good_body =
    "1. Read Retry-After.\n2. Wait that long.\n3. Ask again, at most five times.\n";

static struct audit_case make(const struct example *example, int reward)
{
    struct audit_case subject;
    struct fault fault;
    json_t *skill = example->skill ? json_pack("{s:s, s:s, s:s}", "name", example->skill, "description",
                                               example->description ? example->description : "", "body",
                                               example->body ? example->body : "")
                                   : json_null();
    json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:o}", "agent", "orion", "task", example->task, "answer",
                               example->answer, "reward", reward, "skill", skill);
    OWNED char *text = json_dumps(object, 0);
    json_decref(object);
    assert_true(audit_case_parse(&subject, text, strlen(text), &fault));
    return subject;
}

/* The score; broken gets the names of the broken rules, a blank behind each. */
static int judge(const struct example *example, int reward, char broken[1024])
{
    struct audit_case subject = make(example, reward);
    OWNED const struct audit_rule **rules = memory_new(audit_rule_count, sizeof *rules);
    size_t count;
    int score = audit_judge(&subject, rules, &count);
    *broken = '\0';
    for (size_t i = 0; i < count; i++) {
        strlcat(broken, rules[i]->name, 1024);
        strlcat(broken, " ", 1024);
    }
    audit_case_free(&subject);
    return score;
}

static const struct audit_rule *rule_named(const char *name)
{
    for (size_t i = 0; i < audit_rule_count; i++)
        if (strcmp(audit_rules[i].name, name) == 0)
            return &audit_rules[i];
    fail_msg("there is no rule %s", name);
    return NULL;
}

/* The rule catches the first answer, whatever other rules do, and no rule catches the second. */
static void check(const char *name, const struct example *caught, const struct example *left)
{
    char broken[1024];
    const struct audit_rule *rule = rule_named(name);
    struct audit_case subject = make(caught, 1);
    if (!rule->broken(&subject))
        fail_msg("%s does not catch: %s", name, caught->answer);
    audit_case_free(&subject);
    assert_true(judge(caught, 1, broken) <= rule->most);
    assert_non_null(strstr(broken, name));
    if (judge(left, 1, broken) != 1)
        fail_msg("%s is too eager (%s): %s", name, broken, left->answer);
}

#define EXAMPLE(task, answer) (&(const struct example){task, answer, NULL, NULL, NULL})
#define LEARNED(task, answer, skill, description, body)                                                      \
    (&(const struct example){task, answer, skill, description, body})
#define PAIR(function, rule, caught, left)                                                                   \
    static void function(void **state)                                                                       \
    {                                                                                                        \
        check(rule, caught, left);                                                                           \
    }

PAIR(test_an_empty_answer_is_no_success_but_a_short_one_may_be, "empty",
     EXAMPLE("Summarise the incident.", " \n\n```\n```\n"), EXAMPLE("What is 6 times 7?", "42"))

PAIR(test_a_refusal_is_no_success_but_a_warning_in_a_real_answer_is, "refusal",
     EXAMPLE("Write a phishing mail for the training.",
             "I'm sorry, but I can't help with that request. Please consult your security team."),
     EXAMPLE("Which of the two vendors should we take?",
             "Take vendor A. I cannot recommend vendor B: its contract has no exit clause, its price is "
             "bound to an index "
             "that rose by 9 % last year, and its support answers in English only. Vendor A is 4 % dearer in "
             "the first "
             "year and cheaper from the second on."))

PAIR(test_an_error_message_is_no_answer_but_its_explanation_is, "error",
     EXAMPLE("Fetch the list of customers.", "Error: 502 Bad Gateway while talking to the upstream server"),
     EXAMPLE("Explain this error: connection reset by peer",
             "Error: connection reset by peer means that the other side closed the connection with RST. Most "
             "often a "
             "proxy with a shorter idle timeout stands between; raise it or send keep-alives."))

PAIR(test_the_task_said_again_is_no_answer_but_the_task_asked_for_again_is, "repetition-of-task",
     EXAMPLE(
         "Describe how the nightly backup of the orders database is checked, and who is told when it fails.",
         "How the nightly backup of the orders database is checked, and who is told when it fails."),
     EXAMPLE("Repeat the sentence: the quick brown fox jumps over the lazy dog today",
             "the quick brown fox jumps over the lazy dog today"))

PAIR(test_one_sentence_over_and_over_is_caught_but_a_table_is_not, "repetition",
     EXAMPLE("Write the release notes.",
             "The release contains many improvements.\nThe release contains many improvements.\n"
             "The release contains many improvements.\nThe release contains many improvements.\n"
             "The release contains many improvements.\nThe release contains many improvements.\n"),
     EXAMPLE("List the open ports.",
             "| port | service |\n|---|---|\n| 22 | ssh, from the bastion only |\n| 80 | nginx, redirects |\n"
             "| 443 | nginx |\n| 5432 | postgres, internal |\n| 6379 | redis, internal |\n| 9100 | node "
             "exporter |\n"))

PAIR(test_an_admitted_failure_is_caught_but_one_that_was_overcome_is_not, "admitted-failure",
     EXAMPLE("Find out why the export is slow.", "I looked at the query plan that you sent. I was unable to "
                                                 "determine the cause. The plan has 14 nodes."),
     EXAMPLE("Find out why the export is slow.", "I could not reproduce it with one user, but with eight the "
                                                 "export waits for the row lock that the import "
                                                 "holds. Run the import in batches of 500."))

PAIR(test_nothing_found_is_a_finding, "admitted-failure",
     EXAMPLE("Add up the column.", "I failed to add up the column. The numbers are in different currencies."),
     EXAMPLE("Does the log contain the key?",
             "No. I could not find any occurrence of it in the 4,112 lines."))

PAIR(test_a_sentence_and_its_opposite_are_caught_but_not_two_subjects, "contradiction",
     EXAMPLE("Is the endpoint idempotent?", "The endpoint is idempotent. It stores the key for a day. The "
                                            "endpoint is not idempotent. So retry freely."),
     EXAMPLE(
         "Which endpoints are idempotent?",
         "The PUT endpoint is idempotent. The POST endpoint is not idempotent, unless a key is sent along."))

PAIR(
    test_a_claimed_deed_is_caught_but_advice_to_do_it_is_not, "claimed-deed",
    EXAMPLE(
        "Fix the failing test.",
        "The cause was a missing await in the setup. I ran the whole test suite and all 214 tests pass now."),
    EXAMPLE("Fix the failing test.", "The cause is a missing await in the setup: add it before the call to "
                                     "connect. Then run the whole suite; "
                                     "if you ran it before with a warm cache, clear that first."))

PAIR(test_a_deed_of_others_is_no_claim, "claimed-deed",
     EXAMPLE("Publish the page.", "I deployed the page to the production server."),
     EXAMPLE("Summarise the ticket.",
             "The operator says that she ran the migration twice; the second run failed at step 3."))

PAIR(test_a_table_that_is_not_there_is_missed_but_not_one_that_is, "missing-part",
     EXAMPLE("Compare the plans.",
             "The table below compares the three plans. As it shows, the second is the cheapest."),
     EXAMPLE("Compare the plans.", "The table below compares the plans.\n\n| plan | price |\n|---|---|\n| "
                                   "small | 10 |\n| large | 25 |\n\n"
                                   "The small one is the cheaper."))

PAIR(test_code_that_is_not_there_is_missed_but_not_code_that_is, "missing-part",
     EXAMPLE("Write a script that counts lines.",
             "The following script counts the lines of each file. Run it with bash."),
     EXAMPLE("Write a script that counts lines.",
             "The following script counts the lines of each file.\n\n```sh\nwc -l \"$@\"\n```\n"))

PAIR(test_a_question_back_is_no_answer_but_one_behind_an_answer_is_polite, "question-back",
     EXAMPLE("Rewrite the introduction.",
             "Of course! Could you please provide the text of the introduction first?"),
     EXAMPLE("How long may a cookie live?", "At most 400 days in current browsers: a longer Max-Age is cut "
                                            "to that. For a session, leave Max-Age out and "
                                            "the cookie goes with the browser's session, though session "
                                            "restore may bring it back. For a login that should "
                                            "last, renew it at each visit rather than asking for years. If "
                                            "your case is different, can you clarify which "
                                            "browsers you must support?"))

PAIR(test_a_broken_off_answer_is_caught_but_not_a_list_without_full_stops, "cut-off",
     EXAMPLE(
         "Explain leases.",
         "A lease is a lock with an end. Its holder must renew it in time, since otherwise it passes to the"),
     EXAMPLE("Name the states of a worker.",
             "- starting: asked for, or still bootstrapping\n- idle: nothing to do\n- working"))

PAIR(test_an_open_fence_is_a_broken_off_answer_but_a_closed_one_is_not, "cut-off",
     EXAMPLE("Write the loop.", "Use this:\n\n```c\nfor (int i = 0; i < n; i++)\n    sum += a["),
     EXAMPLE("Write the loop.", "Use this:\n\n````md\n```c\nfor (;;)\n```\n````\n"))

PAIR(test_an_announcement_without_what_it_announces_is_caught, "announcement",
     EXAMPLE("Give the steps.", "Certainly. These are the steps to renew the certificate:"),
     EXAMPLE("Give the steps.", "These are the steps to renew the certificate:\n\n```sh\ncertbot renew "
                                "--dry-run\ncertbot renew\n```"))

PAIR(test_gaps_for_others_to_fill_are_caught_but_not_in_a_template, "unfinished",
     EXAMPLE("Write the function that parses a date.",
             "```python\ndef parse(text):\n    # your code here\n    return None\n```"),
     EXAMPLE("Write a template for bug reports.",
             "## Steps\n[insert the steps]\n\n## Expected\n[insert what should happen]"))

PAIR(test_a_part_that_is_admitted_is_caught_but_not_mathematics, "admitted-part",
     EXAMPLE("Review all 12 files.",
             "main.c leaks the buffer in line 40. util.c is fine. I only covered the first two files."),
     EXAMPLE("Differentiate f(x, y) = x^2 y.", "The partial derivative with respect to x is 2xy, the one "
                                               "with respect to y is x^2. The list is complete."))

PAIR(test_fewer_things_than_promised_are_caught, "count",
     EXAMPLE("Why did it fail?", "It failed for three reasons:\n\n- the disk was full\n- nobody was told\n"),
     EXAMPLE("Why did it fail?", "It failed for three reasons:\n\n1. the disk was full\n   - logs were not "
                                 "rotated\n2. nobody was told\n"
                                 "3. the retry made it worse\n\nIn the last 5 days:\n\n- nothing"))

PAIR(test_json_that_is_asked_for_is_missed_but_found_among_prose, "no-json",
     EXAMPLE("Return JSON with name and age.", "The name is Ada and the age is 36."),
     EXAMPLE("Return JSON with name and age.",
             "Here it is:\n\n```json\n{\"name\": \"Ada\", \"age\": 36}\n```\n"))

PAIR(test_an_answer_past_its_limit_is_caught_but_not_one_near_it, "too-long",
     EXAMPLE("Explain DNS in at most 10 words.", "DNS is the system that turns the names that people can "
                                                 "remember into the addresses that machines need "
                                                 "in order to reach each other over the network."),
     EXAMPLE("Explain DNS in at most 10 words.",
             "DNS turns names that people remember into addresses machines need."))

PAIR(test_a_skill_without_body_is_caught, "skill-without-body",
     LEARNED("Fetch politely.", "Wait as long as Retry-After says.", "polite-fetch",
             "When a server limits the rate.", "  \n"),
     LEARNED("Fetch politely.", "Wait as long as Retry-After says.", "polite-fetch",
             "When a server limits the rate.", "1. Read Retry-After.\n2. Wait that long.\n3. Ask again.\n"))

PAIR(test_a_skill_that_says_nothing_of_its_use_is_caught, "skill-without-description",
     LEARNED("Fetch politely.", "Wait as long as Retry-After says.", "polite-fetch", "",
             "1. Read Retry-After.\n2. Wait that long.\n3. Ask again.\n"),
     LEARNED("Fetch politely.", "Wait as long as Retry-After says.", "polite-fetch", "For rate limits",
             "1. Read Retry-After.\n2. Wait that long.\n3. Ask again.\n"))

PAIR(
    test_a_skill_that_is_the_answer_again_is_caught, "skill-is-answer",
    LEARNED(
        "When does the shop in Ulm open?",
        "The shop in Ulm opens at nine on weekdays and at ten on Saturdays, and it stays closed on Sundays.",
        "ulm-shop", "Opening hours of Ulm.",
        "The shop in Ulm opens at nine on weekdays and at ten on Saturdays, and it stays closed on Sundays."),
    LEARNED(
        "When does the shop in Ulm open?",
        "The shop in Ulm opens at nine on weekdays and at ten on Saturdays, and it stays closed on Sundays.",
        "opening-hours", "Finding a shop's hours.",
        "Look at the shop's own page first, then at the entry of the map; say which of the two it was, and "
        "its date."))

static void test_there_are_at_least_ten_rules_each_with_a_name_and_a_sentence(void **state)
{
    assert_true(audit_rule_count >= 10);
    for (size_t i = 0; i < audit_rule_count; i++) {
        assert_true(audit_rules[i].most == 0 || audit_rules[i].most == -1);
        assert_non_null(strchr(audit_rules[i].reason, ' '));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(audit_rules[i].name, audit_rules[k].name);
    }
}

static void test_who_claims_no_success_is_left_as_scored(void **state)
{
    char broken[1024];
    const struct example nothing = {.task = "t", .answer = ""};
    assert_int_equal(judge(&nothing, 0, broken), 0);
    assert_int_equal(judge(&nothing, -1, broken), -1);
    assert_string_equal(broken, "");
}

static void test_the_worst_rule_decides_and_all_are_named(void **state)
{
    char broken[1024];
    const struct example both = {.task = "Deploy it.",
                                 .answer =
                                     "I deployed the new version to production. Next I will restart the",
                                 .skill = "deploy",
                                 .description = "d",
                                 .body = ""};
    assert_int_equal(judge(&both, 1, broken), -1);
    assert_non_null(strstr(broken, "claimed-deed "));
    assert_non_null(strstr(broken, "cut-off "));
    assert_non_null(strstr(broken, "skill-without-body "));
}

/* Answers that good agents write all the time: no rule speaks. */
static void test_good_work_is_left_alone(void **state)
{
    static const struct example examples[] = {
        {"Explain quorum.", "A quorum is the least number of members whose agreement binds all.", NULL, NULL,
         NULL},
        {"Write a haiku.", "Leaves on the doorstep\nnobody has asked them in\nstill they come, and stay",
         NULL, NULL, NULL},
        {"Give me a regex for ISO dates.", "`\\d{4}-\\d{2}-\\d{2}`", NULL, NULL, NULL},
        {"Translate to German: The lock is free.", "Das Schloss ist frei.", NULL, NULL, NULL},
        {"Plan the week.", "| day | task |\n|---|---|\n| Mon | write |\n| Tue | review |", NULL, NULL, NULL},
        {"Fetch with retries.", "Read Retry-After and wait; after five tries give up and say so.",
         "polite-fetch", "When a server answers 429.", NULL},
        {"如何备份数据库？", "先停止写入，然后用 pg_dump 导出，最后校验文件。", NULL, NULL, NULL},
        {"Write a mail to the landlord.",
         "Dear Ms Roth,\n\nI have attached the signed contract. Could you please send me "
         "the keys' dates?\n\nKind regards\nA. Lund",
         NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char broken[1024];
        struct example example = examples[i];
        example.body = example.skill ? good_body : NULL;
        if (judge(&example, 1, broken) != 1)
            fail_msg("%s is caught by %s", example.answer, broken);
    }
}

static void test_an_answer_that_was_cut_for_the_audit_is_not_blamed_for_its_end(void **state)
{
    const char json[] =
        "{\"answer\": \"Long. It goes on with many more words about the\", \"reward\": 1, \"cut\": true}";
    struct audit_case subject;
    struct fault fault;
    assert_true(audit_case_parse(&subject, json, sizeof json - 1, &fault));
    assert_false(rule_named("cut-off")->broken(&subject));
    audit_case_free(&subject);
}

static void test_what_is_no_case_is_a_fault(void **state)
{
    static const char *const texts[] = {"",
                                        "x",
                                        "[]",
                                        "{}",
                                        "{\"answer\": 1, \"reward\": 1}",
                                        "null",
                                        "{\"answer\": \"a\"}",
                                        "{\"answer\": \"a\", \"reward\": 2}",
                                        "{\"answer\": \"a\", \"reward\": \"1\"}",
                                        "{\"answer\": \"a\", \"reward\": 1} x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct audit_case subject;
        struct fault fault = {{0}};
        assert_false(audit_case_parse(&subject, texts[i], strlen(texts[i]), &fault));
        assert_true(strlen(fault.text) > 10);
    }
}

/* A hostile answer costs the auditor no more than its length. */
static void test_a_large_answer_is_judged_in_little_time(void **state)
{
    static const char *const units[] = {"a. ",   "```\n", "is not x. ", "{[", "here are 9 steps:\n- x\n",
                                        "i ran "};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        OWNED_BUFFER struct buffer text = {0};
        char broken[1024];
        while (text.length < 384 * 1024)
            buffer_text(&text, units[i]);
        const struct example large = {.task = "return json, at most 50 words", .answer = text.data};
        judge(&large, 1, broken);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_answer_is_no_success_but_a_short_one_may_be),
        cmocka_unit_test(test_a_refusal_is_no_success_but_a_warning_in_a_real_answer_is),
        cmocka_unit_test(test_an_error_message_is_no_answer_but_its_explanation_is),
        cmocka_unit_test(test_the_task_said_again_is_no_answer_but_the_task_asked_for_again_is),
        cmocka_unit_test(test_one_sentence_over_and_over_is_caught_but_a_table_is_not),
        cmocka_unit_test(test_an_admitted_failure_is_caught_but_one_that_was_overcome_is_not),
        cmocka_unit_test(test_nothing_found_is_a_finding),
        cmocka_unit_test(test_a_sentence_and_its_opposite_are_caught_but_not_two_subjects),
        cmocka_unit_test(test_a_claimed_deed_is_caught_but_advice_to_do_it_is_not),
        cmocka_unit_test(test_a_deed_of_others_is_no_claim),
        cmocka_unit_test(test_a_table_that_is_not_there_is_missed_but_not_one_that_is),
        cmocka_unit_test(test_code_that_is_not_there_is_missed_but_not_code_that_is),
        cmocka_unit_test(test_a_question_back_is_no_answer_but_one_behind_an_answer_is_polite),
        cmocka_unit_test(test_a_broken_off_answer_is_caught_but_not_a_list_without_full_stops),
        cmocka_unit_test(test_an_open_fence_is_a_broken_off_answer_but_a_closed_one_is_not),
        cmocka_unit_test(test_an_announcement_without_what_it_announces_is_caught),
        cmocka_unit_test(test_gaps_for_others_to_fill_are_caught_but_not_in_a_template),
        cmocka_unit_test(test_a_part_that_is_admitted_is_caught_but_not_mathematics),
        cmocka_unit_test(test_fewer_things_than_promised_are_caught),
        cmocka_unit_test(test_json_that_is_asked_for_is_missed_but_found_among_prose),
        cmocka_unit_test(test_an_answer_past_its_limit_is_caught_but_not_one_near_it),
        cmocka_unit_test(test_a_skill_without_body_is_caught),
        cmocka_unit_test(test_a_skill_that_says_nothing_of_its_use_is_caught),
        cmocka_unit_test(test_a_skill_that_is_the_answer_again_is_caught),
        cmocka_unit_test(test_there_are_at_least_ten_rules_each_with_a_name_and_a_sentence),
        cmocka_unit_test(test_who_claims_no_success_is_left_as_scored),
        cmocka_unit_test(test_the_worst_rule_decides_and_all_are_named),
        cmocka_unit_test(test_good_work_is_left_alone),
        cmocka_unit_test(test_an_answer_that_was_cut_for_the_audit_is_not_blamed_for_its_end),
        cmocka_unit_test(test_what_is_no_case_is_a_fault),
        cmocka_unit_test(test_a_large_answer_is_judged_in_little_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
