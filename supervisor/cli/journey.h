/* The way of one envelope through the agents' repositories: which commit wrote, moved or ended it (libgit2, read-only). */
#ifndef AGENTOS_CLI_JOURNEY_H
#define AGENTOS_CLI_JOURNEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"

struct step {
    int64_t time; /* epoch seconds */
    char *agent;  /* owned; in whose tree */
    char *what;   /* owned; "written to iac/outbox (pending)" */
    char commit[41];
    char *subject; /* owned; NULL with commit "": a step that its file tells of */
};

struct journey {
    struct step *steps;
    size_t count;
};

/* what is printed; subject and commit may be NULL. */
void journey_add(struct journey *journey, int64_t time, const char *agent, const char *what,
                 const char *commit, const char *subject);
/* Adds a step for each commit of the agent's that changed where ID.md lies in its iac/, or that says of itself that it
 * is about this id. After history_library_start. False and fault: the repository can't be read (to its beginning);
 * what was found is there. */
bool journey_read(struct journey *journey, const char *agent, const char *path, const char *id,
                  struct fault *fault);
void journey_sort(struct journey *journey); /* by time; what happened in one second as it was added */
void journey_free(struct journey *journey);

#endif
