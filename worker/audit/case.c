#include "worker/audit/case.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/memory.h"
#include "worker/audit/text.h"

static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return memory_text(text ? text : "");
}

static bool read(struct audit_case *subject, const json_t *object, struct fault *fault)
{
    const json_t *reward = json_object_get(object, "reward"), *answer = json_object_get(object, "answer");
    if (!json_is_object(object))
        return fault_set(fault, "the case is no JSON object");
    if (!json_is_string(answer))
        return fault_set(fault, "the case has no answer");
    json_int_t value = json_integer_value(reward);
    if (!json_is_integer(reward) || value < -1 || value > 1)
        return fault_set(fault, "the case has no reward of -1, 0 or 1");
    const json_t *skill = json_object_get(object, "skill");
    subject->agent = text_of(object, "agent");
    subject->task = text_of(object, "task");
    subject->answer = text_of(object, "answer");
    subject->reward = (int)value;
    subject->cut = json_is_true(json_object_get(object, "cut"));
    subject->skill.name = text_of(skill, "name");
    subject->skill.description = text_of(skill, "description");
    subject->skill.body = text_of(skill, "body");
    subject->prose = text_prose(subject->answer, &subject->fence_closed);
    subject->asked = text_prose(subject->task, NULL);
    return true;
}

bool audit_case_parse(struct audit_case *subject, const char *json, size_t length, struct fault *fault)
{
    json_error_t error;
    *subject = (struct audit_case){0};
    if (length > AUDIT_CASE_MAX)
        return fault_set(fault, "the case has more than %d bytes", AUDIT_CASE_MAX);
    json_auto_t *object = json_loadb(json, length, 0, &error);
    if (!object)
        return fault_set(fault, "the case is no JSON: %s", error.text);
    return read(subject, object, fault);
}

void audit_case_free(struct audit_case *subject)
{
    char *const texts[] = {subject->agent,
                           subject->task,
                           subject->answer,
                           subject->prose,
                           subject->asked,
                           subject->skill.name,
                           subject->skill.description,
                           subject->skill.body};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    *subject = (struct audit_case){0};
}
