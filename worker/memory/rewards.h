/* rewards.md (contract section 8): how the last 30 tasks went. The oldest stands first. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/format/entries.h"

extern const char rewards_preamble[]; /* the file as it begins */

struct reward_note {
    const char *task_id;
    int reward;      /* -1, 0, 1 */
    int audit_score; /* -1, 0, 1, AUDIT_NONE or AUDIT_PENDING */
    int64_t at;
    const char *reason; /* NULL: none */
    uint64_t tokens;
};

/* Adds one and drops the oldest beyond 30. */
void rewards_add(struct entries *rewards, const struct reward_note *note);

/* -1, 0, 1; false: the line is missing or says nothing of the kind (a person's entry). */
bool rewards_value(const struct entry *entry, int *reward);
const char *rewards_sign(int value); /* "+1", "0", "-1" */

/* An entry that waits for its audit. An audited one says which skill its success is evidence for (- skill: NAME), and
 * while it waits, when that skill's last success had been before (- skill_before: TIME). */
struct entry *rewards_pending(const struct entries *rewards,
                              const char *task_id); /* the oldest; NULL: of any task */
void rewards_credit(struct entries *rewards, const char *skill, const char *before); /* of the newest entry */
/* The time of the skill's last success that no audit disputes, among the entries here but the given one. NULL: no entry
 * has one. Caller frees. */
char *rewards_other_success(const struct entries *rewards, const char *skill, const struct entry *without);
/* Entries that remember `at` as the success before theirs remember `before` instead. */
void rewards_move_credit(struct entries *rewards, const char *skill, const char *at, const char *before);
/* Which skill had to go when the newest entry's was earned (- skill_displaced: NAME), while that entry waits. */
void rewards_displaced(struct entries *rewards, const char *skill);
/* Another entry that waits and claims the same skill remembers it from now on, if there is one. */
void rewards_pass_displaced(struct entries *rewards, const struct entry *from, const char *skill,
                            const char *displaced);
/* A skill that made room for a skill that has gone itself made room for the skill that came in its place. */
void rewards_move_displaced(struct entries *rewards, const char *gone, const char *displaced);
void rewards_judge(struct entry *entry, int audit_score, const char *reasons); /* the entry waits no more */

int rewards_negative_streak(
    const struct entries *rewards); /* -1s at the end, without another reward between */

/* A goal that the last rewards call for, or NULL. The newest must be a part of it, so that nothing is called for
 * twice by a task that has nothing to do with it:
 * - repeated failure: the newest is -1, and at least 3 of the last 10 are -1 for a reason of the same kind
 *   (relevance_same_kind: half of the words of the shorter one);
 * - the audit disagreed with the agent's own score in each of the last 3 that were audited.
 * Caller frees. */
char *rewards_call_for_goal(const struct entries *rewards);
/* Only the second, for an entry whose audit has come late: NULL also when a later one was audited before it. */
char *rewards_call_for_honesty(const struct entries *rewards, const struct entry *entry);

/* The newest that fit in budget bytes, oldest first, a line each; the very newest whatever its length. */
void rewards_prompt(const struct entries *rewards, size_t budget, struct buffer *out);
