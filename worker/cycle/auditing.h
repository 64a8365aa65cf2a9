/* The audit of finished tasks (contract section 8), beside the cycle and never in its way.
 *
 * A cycle's commit writes `- audit_score: pending`. That line is the whole memory of due audits: whatever is killed,
 * the next start finds the line and asks again, from outputs/TASK.md. One audit is under way at a time. The result
 * waits in memory for the next commit of the learned files, which takes it along, or gets a commit of its own when none
 * comes; until then rewards.md on disk still says pending, so a crash costs another audit and nothing else.
 *
 * A model that fails is asked again after a minute. A try that cost tokens counts: the pause doubles, to an hour at
 * most, and after AUDITING_PAID_TRIES the audit has no result, so that no audit spends without an end. A paused agent
 * asks no model.
 *
 * The next cycle's prompt should show both scores, so a cycle waits a quarter of a second at most for an auditor that
 * is a process, and never for a model's opinion. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "common/usage.h"
#include "worker/cycle/audit_results.h"

enum { AUDITING_PAID_TRIES = 8 };

struct worker;
struct auditing {
    struct audit_results results;
    bool asked; /* an audit is under way */
    bool of_model;
    char *task; /* of the audit that is under way */
    uint64_t serial;
    int64_t asked_ms, retry_ms;
    struct question_usage usage; /* of all its questions, those without a verdict too */
    unsigned paid_tries;         /* of its questions, those that cost tokens and brought no verdict */
    int64_t record_ms;           /* results are recorded no earlier (the storage fails) */
};

struct auditing *auditing_new(void);
void auditing_free(struct auditing *auditing); /* NULL is fine */

/* The audit score of a task that ends now: AUDIT_PENDING, or AUDIT_NONE when this agent isn't audited. */
int auditing_score(const struct worker *worker);

void auditing_step(struct worker *worker, int64_t now_ms); /* asks, and records when that is due */
int64_t auditing_due(const struct worker *worker);         /* monotonic ms of the next step; 0: none */
bool auditing_holds(const struct worker *worker);          /* the next cycle waits a moment */
bool auditing_busy(const struct worker *worker);           /* the worker should not leave now */
/* the worker leaves: record the results that are there */
void auditing_flush(struct worker *worker);

/* AUDITED, and an ANSWER whose serial is one of ours (AUDITING_SERIAL is set in it). Takes the text. */
#define AUDITING_SERIAL (UINT64_C(1) << 63)
void auditing_result(struct worker *worker, uint64_t serial, enum audit_end end, char *text);
void auditing_answer(struct worker *worker, uint64_t serial, enum answer_kind kind, char *text,
                     const struct question_usage *usage, int64_t retry_after_ms);
