/* The workers that start now: some for each processor, so that a start's time counts from its own beginning and a machine
 * that starts thousands is never late for each of them (contract section 10). Agents that are woken go before others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "supervisor/process/loop.h"

struct agent;
struct agents;

/* Of an agent. */
struct start {
    TAILQ_ENTRY(agent) link;
    enum { START_NONE, START_WAITS, START_RUNS } stage;
    bool woken;    /* it waits before those that start for the first time */
    bool has_work; /* though it starts for the first time */
    int64_t since; /* clock_monotonic_ms: it runs */
    int64_t stood; /* ms that its worker had waited for a processor, when that was asked last */
};

TAILQ_HEAD(start_list, agent);
struct starts {
    void (*start)(struct agent *agent);       /* its turn has come */
    struct start_list woken, others, running; /* in the order in which they came */
    size_t count, limit;                      /* of those that run */
    struct timer timer;
};

/* So many at once for each processor; start is called for an agent that waited, in its turn, from the loop. */
enum { STARTS_FOR_EACH_PROCESSOR = 4 };
void starts_begin(struct agents *agents, void (*start)(struct agent *agent));
void starts_end(struct agents *agents);
/* True: it may start now. False: it waits for its turn. */
bool starts_enter(struct agent *agent, bool woken);
/* There is work for it: where it waits, it waits before those that start for the first time. */
void starts_hurry(struct agent *agent);
/* The time of its start is over: so many ms more, since the machine is behind and not the worker; 0: none. What a worker
 * waited for a processor doesn't count, nor does it while it waits for the disk (no signal ends it then either), or before
 * its process is there. Where the kernel doesn't tell, the time isn't stretched. */
int64_t starts_stretch(struct agent *agent);
/* It is ready, or won't be, or is about to be freed. */
void starts_leave(struct agent *agent);
