/* The settings that a worker is born with: filled by the zygote from the supervisor's SPAWN message. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/format/roster.h"
#include "common/sandbox/sandbox.h"
#include "common/threads.h"

struct worker_start {
    struct roster_agent *agent; /* owned */
    uint64_t generation;        /* of this agent's workers; news from an older one is ignored */
    char *url;                  /* of the supervisor's socket for this agent */
    char *data_dir;
    int64_t poll_seconds;
    uint64_t epoch;   /* of the lease that the agent lives by; 0: there is none */
    bool paused;      /* the worker takes no work before it is told to */
    bool try_threads; /* before nng needs them (threads_for_nng) */
    pid_t supervisor;
    const struct sandbox *sandbox; /* the zygote's; entered by the worker */
    struct threads_before threads;
};

/* The whole life of a worker process, after the zygote's fork. Returns the exit status. */
int worker_live(struct worker_start *start);
