/* The rules that rules.c takes into its table from rules_words.c. */
#pragma once

#include "worker/audit/rules.h"

bool admits_failure(const struct audit_case *subject);
bool admits_a_part(const struct audit_case *subject);
bool claims_deeds(const struct audit_case *subject);
bool counts_wrong(const struct audit_case *subject);
bool contradicts_itself(const struct audit_case *subject);
bool says_one_thing_over_and_over(const struct audit_case *subject);
