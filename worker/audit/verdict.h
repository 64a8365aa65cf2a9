/* The verdict of an auditor: {"audit_score": -1|0|1, "reasons": ["…"]} (contract section 8), read with suspicion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

enum {
    VERDICT_MAX = 64 * 1024, /* bytes that are looked at */
    VERDICT_REASONS = 5,
    VERDICT_REASON_MAX = 300, /* bytes of one */
};

struct verdict {
    int score;
    char *reasons; /* owned; one line, "; " between; "" for a verdict without reasons */
};

/* loose: a model's reply, in which the object may stand anywhere, and its keys may lack quotes' finer points; the last one
 * text is the object and nothing else. False and fault: there is no score. */
bool verdict_parse(struct verdict *verdict, const char *text, size_t length, bool loose, struct fault *fault);
void verdict_free(struct verdict *verdict);
