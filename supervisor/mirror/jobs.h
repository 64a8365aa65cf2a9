/* The pushes, due, under way and put off, the fetches and the looks: one for each agent, some at once. */
#pragma once

#include "supervisor/mirror/push.h"
#include "supervisor/process/loop.h"

enum job_run { JOB_PUSH, JOB_FETCH, JOB_LOOK };

enum {
    JOBS_AT_ONCE = 4,
    JOB_BUNDLE_MS = 1000, /* commits within this time are one push */
    /* libgit2 1.5 has no deadline for the network: a push that takes longer is killed, and gets twice the time, so that a
     * large history gets through a slow line at last. */
    JOB_DEADLINE_MS = 120 * 1000,
    JOB_DEADLINE_MAX_MS = 30 * 60 * 1000,
    JOB_PAUSE_MAX_MS = 10 * 60 * 1000,
};

struct jobs_owner {
    struct loop *loop;
    const char *data_dir, *remote; /* AGENTOS_GIT_REMOTE */
    enum sandbox_mode mode;
    void (*ended)(void *context, const char *agent, enum job_run run, enum push_end end, const char *text);
    void *context;
};

struct jobs;

struct jobs *jobs_new(const struct jobs_owner *owner);
/* The agent may have new commits: they are pushed within JOB_BUNDLE_MS, later while other jobs take the places or
 * after failures. */
void jobs_add(struct jobs *jobs, const char *agent);
/* Fetches the remote's branch of the agent into the file (a path below data_dir) as a git bundle; tried once. */
void jobs_fetch(struct jobs *jobs, const char *agent, const char *bundle);
void jobs_look(struct jobs *jobs,
               const char *agent); /* whether the remote has a branch of the agent; likewise */
