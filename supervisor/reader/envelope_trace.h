/* The way of an envelope through the agents' repositories: the commits that wrote, moved or ended it (libgit2,
 * read-only). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"

/* In the order of an envelope's life. */
enum step_rank { RANK_CREATED, RANK_SENT, RANK_DELIVERED, RANK_READ, RANK_ENDED, RANK_RECORDED };

struct step {
    int64_t time; /* epoch seconds */
    char *agent;  /* owned; the agent whose tree it was */
    char *what;   /* owned; "written to iac/outbox (pending)" */
    char commit[41];
    char *subject;       /* owned; NULL with commit "": a step of which the envelope's file tells */
    enum step_rank rank; /* the order of steps within a second */
};

struct envelope_trace {
    struct step *steps;
    size_t count;
};

/* A step that no commit tells of. */
void envelope_trace_add(struct envelope_trace *route, int64_t time, const char *agent, const char *what,
                        enum step_rank rank);
/* Adds a step for each commit of the agent that changed the place of ID.md in its iac/, or that names this id. After
 * repository_library_start. False and fault: the repository can't be read (to its beginning); the steps found so far
 * are there. */
bool envelope_trace_read(struct envelope_trace *route, const char *agent, const char *path, const char *id,
                         struct fault *fault);
void envelope_trace_sort(struct envelope_trace *route); /* by time and rank */
void envelope_trace_free(struct envelope_trace *route);
