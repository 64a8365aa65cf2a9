/* An agent's commits, read for people (libgit2, read-only). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/usage.h"

struct logged_commit {
    char commit[41];
    int64_t time; /* epoch seconds */
    char *author, *subject;
    char *notes; /* the body without its trailers; "" none */
    char *task;  /* NULL: this commit finished no task; the next three fields mean nothing then */
    char *end;
    int reward;
    struct question_usage usage; /* of all requests for its answer */
    char *audit; /* the audit of the task: "-1, the agent said +1: why"; NULL: none is recorded */
    char audit_commit[41];
    /* Of a model that audited the task; zero: none did, or it is not recorded. */
    struct question_usage audit_usage;
};

struct commit_log {
    struct logged_commit *entries; /* newest first */
    size_t count;
};

/* path: the agent's folder; most: the number of newest commits (SIZE_MAX: all). Starts libgit2 when no caller has. An
 * empty repository is an empty commit log. False and fault. */
bool commit_log_read(struct commit_log *history, const char *path, size_t most, struct fault *fault);
/* As commit_log_read, one by one, as the commits are read; visitor: false ends the walk. */
bool commit_log_each(const char *path, size_t most,
                     bool (*visitor)(void *context, const struct logged_commit *entry), void *context,
                     struct fault *fault);
void commit_log_free(struct commit_log *history);
#define OWNED_LOG __attribute__((cleanup(commit_log_free)))
json_t *
logged_commit_json(const struct logged_commit *entry); /* as `agentos log --json` has it; a new reference */
