/* Agents found by their name and by their worker's process, and counted, however many there are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "supervisor/agent/lifecycle.h"

struct agent;

LIST_HEAD(lookup_chain, agent);

enum { LOOKUP_NAMES = 4096, LOOKUP_PROCESSES = 1024 /* chains */ };

struct lookup { /* zeroed at first */
    struct lookup_chain names[LOOKUP_NAMES], processes[LOOKUP_PROCESSES];
    struct lookup_chain living; /* all agents with a pid */
    size_t settled;             /* agents that were ready once, or failed to become so */
    size_t with_process;        /* agents: life_has_process */
    /* Workers may be able to fork, and a worker's clock shows no child's work. */
    bool workers_fork;
};

void lookup_add(struct agent *agent);
void lookup_remove(struct agent *agent); /* the agent is about to be freed, and has no process */
/* Sets the agent's process, which is found by its pid from now on; 0: none. */
void lookup_set_process(struct agent *agent, pid_t pid);
void lookup_settle(struct agent *agent); /* the first time calls the agent's settled callback */
/* The agent's state is another. */
void lookup_count(struct agent *agent, enum life_state before);
/* NULL: there is none. */
struct agent *lookup_name(const struct lookup *lookup, const char *name);
struct agent *lookup_process(const struct lookup *lookup, pid_t pid);
