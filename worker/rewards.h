/* rewards.md (contract section 8): how the last 30 tasks went. The oldest stands first. */
#ifndef AGENTOS_WORKER_REWARDS_H
#define AGENTOS_WORKER_REWARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "worker/entries.h"

extern const char rewards_preamble[]; /* the file as it begins */

struct reward_note {
    const char *task_id;
    int reward;      /* -1, 0, 1 */
    int audit_score; /* -1, 0, 1 or AUDIT_NONE */
    int64_t at;
    const char *reason; /* NULL: none */
    uint64_t tokens;
};

/* Adds one and drops the oldest beyond 30. */
void rewards_add(struct entries *rewards, const struct reward_note *note);

/* -1, 0, 1; false: the line is missing or says nothing of the kind (a person's entry). */
bool rewards_value(const struct entry *entry, int *reward);
bool rewards_audit(const struct entry *entry, int *score); /* likewise; false also when there was no audit */

int rewards_negative_streak(
    const struct entries *rewards); /* -1s at the end, without one that isn't -1 between */

/* A goal that the last rewards call for, or NULL. The newest must be a part of it, so that nothing is called for
 * twice by a task that has nothing to do with it:
 * - repeated failure: the newest is -1, and at least 3 of the last 10 are -1 for a reason of the same kind
 *   (relevance_same_kind: half of the words of the shorter one);
 * - the audit disagreed with the agent's own score in each of the last 3.
 * Caller frees. */
char *rewards_call_for_goal(const struct entries *rewards);

/* The newest that fit in budget bytes, oldest first, a line each. */
void rewards_prompt(const struct entries *rewards, size_t budget, struct buffer *out);

#endif
