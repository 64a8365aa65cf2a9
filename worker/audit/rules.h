/* The rules of the built-in auditor (contract section 8). Each rule knows one way in which an agent's own score and its
 * answer fall apart, and speaks only when it is sure: a wrong word costs an honest agent its evidence. An answer that
 * no rule speaks against keeps the agent's score, for rules can't tell good work from bad. */
#pragma once

#include <stddef.h>

#include "worker/audit/case.h"

struct audit_rule {
    const char *name;
    int most; /* the highest score that it leaves */
    bool (*broken)(const struct audit_case *subject);
    const char *reason; /* a sentence */
};

extern const struct audit_rule audit_rules[];
extern const size_t audit_rule_count;

/* The agent's own score, or less. broken: room for audit_rule_count; gets the broken rules, in the table's order, and
 * *count their number. */
int audit_judge(const struct audit_case *subject, const struct audit_rule **broken, size_t *count);
