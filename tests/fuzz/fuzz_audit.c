/* An auditor's case and its verdict are both made by others. As a case (first byte even) the rules must judge it
 * without harm, to the same end every time and never above the agent's own score; as a verdict (odd) it must be a score
 * with one line of reasons, or a fault. Bytes that are no JSON are judged as a text inside a case. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"
#include "worker/audit/rules.h"
#include "worker/audit/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

static void judge(const char *json, size_t length)
{
    struct fault fault = {{0}};
    struct audit_case subject;
    OWNED const struct audit_rule **broken = memory_new(audit_rule_count, sizeof *broken);
    size_t count, again;
    if (!audit_case_parse(&subject, json, length, &fault)) {
        require(*fault.text != '\0');
        return;
    }
    int score = audit_judge(&subject, broken, &count);
    require(score >= -1 && score <= subject.reward && count <= audit_rule_count);
    require((score < subject.reward) == (count > 0));
    require(audit_judge(&subject, broken, &again) == score && again == count);
    audit_case_free(&subject);
}

/* A task and an answer, parted by the first NUL, with the answer as a skill's body too. */
static void judge_texts(const char *text, size_t length)
{
    size_t task = strnlen(text, length);
    const char *rest = task < length ? text + task + 1 : text;
    OWNED char *asked = utf8_clean(text, task), *answer = utf8_clean(rest, length - (size_t)(rest - text));
    json_t *object = json_pack("{s:s, s:s, s:i, s:{s:s, s:s}}", "task", asked, "answer", answer, "reward", 1,
                               "skill", "name", "skill", "body", answer);
    OWNED char *json = object ? json_dumps(object, 0) : NULL;
    json_decref(object);
    require(json != NULL);
    judge(json, strlen(json));
}

static void read_verdict(const char *text, size_t length, bool loose)
{
    struct fault fault = {{0}};
    struct verdict verdict;
    OWNED char *clean = utf8_clean(text, length);
    if (!verdict_parse(&verdict, clean, strlen(clean), loose, &fault)) {
        require(*fault.text != '\0' && !verdict.reasons);
        return;
    }
    require(verdict.score >= -1 && verdict.score <= 1);
    require(utf8_valid(verdict.reasons, strlen(verdict.reasons)) && !strchr(verdict.reasons, '\n'));
    require(strlen(verdict.reasons) <= VERDICT_REASONS * (VERDICT_REASON_MAX + 2));
    verdict_free(&verdict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] % 4) {
    case 0:
        judge(text, size - 1);
        break;
    case 2:
        judge_texts(text, size - 1);
        break;
    default:
        read_verdict(text, size - 1, data[0] % 4 == 3);
    }
    return 0;
}
