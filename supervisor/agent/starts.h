/* The workers that start now: some for each processor, so that a start's time counts from its own beginning and a
 * machine that starts thousands is never late for each of them (contract section 10). Woken agents go before others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "supervisor/process/loop.h"

struct agent;
struct agents;

/* An agent's place among the starts. */
struct start {
    TAILQ_ENTRY(agent) link;
    enum { START_NONE, START_WAITS, START_RUNS } stage;
    bool woken;    /* the agent waits before others that start for the first time */
    bool has_work; /* the agent has, though it starts for the first time */
    int64_t since; /* clock_monotonic_ms: when the start began */
    int64_t stood; /* ms that the worker had waited for a processor, when that was asked last */
};

TAILQ_HEAD(start_list, agent);
struct starts {
    void (*start)(struct agent *agent);       /* the agent's turn has come */
    struct start_list woken, others, running; /* in the order in which they came */
    size_t count, limit;                      /* starts that run, and the most of them */
    struct timer timer;
};

/* The starts at once for each processor; start is called for an agent that waited, in its turn, from the loop. */
enum { STARTS_FOR_EACH_PROCESSOR = 4 };
void starts_begin(struct agents *agents, void (*start)(struct agent *agent));
void starts_end(struct agents *agents);
/* True: the agent may start now. False: it waits for its turn. */
bool starts_enter(struct agent *agent, bool woken);
/* The agent has work: where it waits, it waits before agents that start for the first time. */
void starts_hurry(struct agent *agent);
/* The time of the agent's start is over: milliseconds to add, as the machine is behind and not the worker; 0: none. A
 * worker's wait for a processor doesn't count, nor does its wait for the disk (no signal ends it then either), nor
 * the time before its process is there. Where the kernel doesn't tell, the time isn't stretched. */
int64_t starts_stretch(struct agent *agent);
/* The agent is ready, or won't be, or is about to be freed. */
void starts_leave(struct agent *agent);
