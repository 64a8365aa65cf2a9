/* The results of audits that no commit has taken yet (auditing.h argues the crash). */
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
    char *displaced;       /* the skill that made room for the disputed one; NULL: none, or not sought */
    struct displaced past; /* that skill in the history, if it is there */
    bool has_past;
};

/* Zeroed but for look: there are none. */
struct audit_results {
    /* entries may be pending: the learned files were read since the last search for such entries */
    bool look;
    struct result *items;  /* in the order in which they came */
    size_t count, applied; /* applied: in memory */
    uint64_t readings;     /* when they were applied */
    struct buffer note;    /* the changes of the results beside the scores */
    int64_t came_ms;       /* the first of them */
};

void audit_results_free(struct audit_results *results);
/* Takes the task; score: AUDIT_NONE when there is none. */
void audit_results_add(struct audit_results *results, char *task, int score, const char *reasons,
                       const struct question_usage *usage);
/* To be called after each look at the learned files: puts in the results that no commit has taken. When a file was read
 * anew since the last call, all files are read anew and all results put in again, so it never matters which file a
 * person changed meanwhile. */
void audit_results_apply(struct worker *worker);
/* A commit of all learned files: its words on the results, and the news that it is durable. */
void audit_results_subject(const struct worker *worker,
                           struct buffer *subject); /* of a commit of their own */
void audit_results_note(const struct worker *worker, struct buffer *body);
void audit_results_kept(struct worker *worker, const char *commit);
