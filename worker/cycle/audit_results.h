/* The results of audits that no commit has taken yet (auditing.h says what a crash makes of them). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/usage.h"
#include "worker/memory/evicted_skill.h"

struct worker;

struct result {
    char *task;
    int score, reward; /* score: AUDIT_NONE when there is none */
    char *reasons;
    bool found;                  /* its entry waited for it */
    struct question_usage usage; /* of the model that was asked; zero: none was */
    char *displaced;       /* the skill that made room for the one it disputes; NULL: none, or not sought */
    struct displaced past; /* what the history has of it, if it has */
    bool has_past;
};

/* Zeroed but for look: there are none. */
struct audit_results {
    bool look;             /* entries may be pending: what was learned was read since they were looked for */
    struct result *items;  /* in the order in which they came */
    size_t count, applied; /* applied: in memory */
    uint64_t readings;     /* when they were applied */
    struct buffer note;    /* what they changed beside the scores */
    int64_t came_ms;       /* the first of them */
};

void audit_results_free(struct audit_results *results);
/* Takes the task; score: AUDIT_NONE when there is none. */
void audit_results_add(struct audit_results *results, char *task, int score, const char *reasons,
                       const struct question_usage *usage);
/* To be called after each look at what was learned: puts in the results that no commit has taken. When a file was read
 * anew since the last time, all are read anew and all results put in again, so it never matters which of them a person
 * changed meanwhile. */
void audit_results_apply(struct worker *worker);
/* A commit with everything that was learned: what it says of the results, and that it is durable. */
void audit_results_subject(const struct worker *worker,
                           struct buffer *subject); /* of a commit of their own */
void audit_results_note(const struct worker *worker, struct buffer *body);
void audit_results_kept(struct worker *worker, const char *commit);
