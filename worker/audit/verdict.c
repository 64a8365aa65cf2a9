#include "worker/audit/verdict.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/utf8.h"

enum { OBJECTS_MAX = 64 /* that are tried in a loose text */ };

/* 1, 1.0 and "+1" are all meant. */
static bool read_score(const json_t *value, int *score)
{
    double number = json_number_value(value);
    const char *text = json_string_value(value);
    char *end = NULL;
    if (text) {
        number = strtod(text, &end);
        if (end == text || *end)
            return false;
    } else if (!json_is_number(value)) {
        return false;
    }
    for (*score = -1; *score <= 1; ++*score)
        if (number >= *score && number <= *score)
            return true;
    return false;
}

static void add_reason(struct buffer *out, const char *text)
{
    size_t length = utf8_cut(text, strlen(text), VERDICT_REASON_MAX);
    if (length == 0)
        return;
    buffer_text(out, out->length ? "; " : "");
    for (size_t i = 0; i < length; i++) {
        bool control = (unsigned char)text[i] < ' ' || text[i] == 0x7f;
        buffer_add(out, control ? " " : text + i, 1);
    }
}

static char *read_reasons(const json_t *reasons)
{
    OWNED_BUFFER struct buffer out = {0};
    size_t index;
    const json_t *reason;
    if (json_is_string(reasons))
        add_reason(&out, json_string_value(reasons));
    json_array_foreach(reasons, index, reason)
    {
        if (index < VERDICT_REASONS && json_is_string(reason))
            add_reason(&out, json_string_value(reason));
    }
    return buffer_take(&out);
}

static bool read_object(struct verdict *verdict, const json_t *object)
{
    int score;
    if (!read_score(json_object_get(object, "audit_score"), &score))
        return false;
    verdict->score = score;
    free(verdict->reasons);
    verdict->reasons = read_reasons(json_object_get(object, "reasons"));
    return true;
}

static bool read_loosely(struct verdict *verdict, const char *text, size_t length)
{
    bool found = false;
    const char *at = text, *end = text + length;
    for (unsigned tried = 0; tried < OBJECTS_MAX && (at = memchr(at, '{', (size_t)(end - at))); tried++) {
        json_error_t error;
        json_auto_t *object = json_loadb(at, (size_t)(end - at), JSON_DISABLE_EOF_CHECK, &error);
        found = read_object(verdict, object) || found;
        at += object ? error.position : 1;
    }
    return found;
}

bool verdict_parse(struct verdict *verdict, const char *text, size_t length, bool loose, struct fault *fault)
{
    *verdict = (struct verdict){0};
    if (length > VERDICT_MAX)
        return fault_set(fault, "the auditor's output has %zu bytes, more than %d", length, VERDICT_MAX);
    json_error_t error;
    json_auto_t *object = json_loadb(text, length, 0, &error);
    bool found = read_object(verdict, object);
    bool is_object = json_is_object(object);
    if (found || (loose && read_loosely(verdict, text, length)))
        return true;
    if (length == 0)
        return fault_set(fault, "the auditor said nothing");
    return is_object ? fault_set(fault, "the auditor's output has no audit_score of -1, 0 or 1")
                     : fault_set(fault, "the auditor's output is no JSON object: %.*s",
                                 (int)utf8_cut(text, length, 60), text);
}

void verdict_free(struct verdict *verdict)
{
    free(verdict->reasons);
    verdict->reasons = NULL;
}
