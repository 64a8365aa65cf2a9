#include <string.h>

#include "common/buffer.h"
#include "tests/unit/cmocka.h"
#include "worker/audit/verdict.h"

enum { NO_SCORE = 7 };

static int score_of(const char *text, bool loose)
{
    struct verdict verdict;
    struct fault fault = {{0}};
    if (!verdict_parse(&verdict, text, strlen(text), loose, &fault)) {
        assert_true(strlen(fault.text) > 10);
        assert_null(verdict.reasons);
        return NO_SCORE;
    }
    int score = verdict.score;
    verdict_free(&verdict);
    return score;
}

static void test_scores_are_read_as_they_are_meant(void **state)
{
    static const struct {
        const char *text;
        int score;
    } examples[] = {
        {"{\"audit_score\": 1, \"reasons\": []}\n", 1},
        {"{\"audit_score\": 0}", 0},
        {"{\"audit_score\": -1, \"reasons\": [\"no\"], \"more\": {}}", -1},
        {"{\"audit_score\": 1.0}", 1},
        {"{\"audit_score\": \"-1\"}", -1},
        {"{\"audit_score\": \"+1\"}", 1},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        assert_int_equal(score_of(examples[i].text, false), examples[i].score);
}

static void test_what_is_no_verdict_has_no_score(void **state)
{
    static const char *const texts[] = {
        "",
        "yes",
        "1",
        "[]",
        "[1]",
        "null",
        "{}",
        "{\"audit_score\": 2}",
        "{\"audit_score\": 0.5}",
        "{\"audit_score\": null}",
        "{\"audit_score\": true}",
        "{\"audit_score\": \"nan\"}",
        "{\"audit_score\": \"\"}",
        "{\"audit_score\": 1e999}",
        "{\"audit_score\": 1",
        "{\"audit_score\": 1} {\"audit_score\": -1}",
        "{\"audit_score\": 1}\n{\"audit_score\": 1, \"task\": \"a later one\"}",
        "ok {\"audit_score\": 1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (score_of(texts[i], false) != NO_SCORE)
            fail_msg("a score was read from: %s", texts[i]);
}

static void test_a_model_may_talk_around_its_verdict(void **state)
{
    assert_int_equal(
        score_of("Here it is:\n```json\n{\"audit_score\": -1, \"reasons\": []}\n```\nBye.", true), -1);
    assert_int_equal(score_of("A {brace} and {\"audit_score\": 0}", true), 0);
    assert_int_equal(score_of("{\"audit_score\": 1} on second thought {\"audit_score\": -1}", true), -1);
    assert_int_equal(score_of("{\"audit_score\": 1}, not {\"audit_score\": 12}", true), 1);
    assert_int_equal(score_of("I would say 1", true), NO_SCORE);
}

static void test_reasons_become_one_line_of_bounded_length(void **state)
{
    struct verdict verdict;
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "{\"audit_score\": 0, \"reasons\": [\"first\\n## heading\", 7, \"\", \"third\"");
    for (int i = 0; i < 50; i++)
        buffer_print(&text, ", \"%0500d\"", i);
    buffer_text(&text, "]}");
    assert_true(verdict_parse(&verdict, text.data, text.length, false, NULL));
    assert_memory_equal(verdict.reasons, "first ## heading; third", 23);
    assert_null(strchr(verdict.reasons, '\n'));
    assert_true(strlen(verdict.reasons) <= VERDICT_REASONS * (VERDICT_REASON_MAX + 2));
    verdict_free(&verdict);
    assert_true(verdict_parse(&verdict, "{\"audit_score\":1,\"reasons\":\"one\"}", 33, false, NULL));
    assert_string_equal(verdict.reasons, "one");
    verdict_free(&verdict);
}

static void test_more_than_the_limit_is_no_verdict(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "{\"audit_score\": 1}");
    while (text.length <= VERDICT_MAX)
        buffer_text(&text, "                                ");
    assert_int_equal(score_of(text.data, false), NO_SCORE);
    assert_int_equal(score_of(text.data, true), NO_SCORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_are_read_as_they_are_meant),
        cmocka_unit_test(test_what_is_no_verdict_has_no_score),
        cmocka_unit_test(test_a_model_may_talk_around_its_verdict),
        cmocka_unit_test(test_reasons_become_one_line_of_bounded_length),
        cmocka_unit_test(test_more_than_the_limit_is_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
