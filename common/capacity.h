/* The limits of the machine that bound how many agents can run, and the needs of so many agents: descriptors of the
 * supervisor, threads of all processes, inotify watches.
 *
 * The figures are measured on running systems: an agent whose worker is connected takes 5 descriptors of the
 * supervisor, with a descriptor of the worker before it that stays open for a while, 11 threads (nng's ten and the
 * worker's own) and a watch for each of three folders; a hibernating agent takes one watch. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/fault.h"

enum {
    CAPACITY_LIMITS = 7,          /* that are looked at */
    CAPACITY_DESCRIPTORS_LAST = 8 /* so many descriptors are kept free for files, when clients come */
};

struct capacity {
    const char *limit;  /* its name: "RLIMIT_NPROC" */
    const char *words;  /* the meaning of the name */
    const char *things; /* "threads" */
    int64_t most;       /* the number that the limit allows; -1: any, or not known */
    int64_t would_do;   /* the number for all workers, and the number that other processes have taken */
    size_t agents, workers;
    size_t fits; /* so many of the workers */
    bool soft;   /* too little of it costs speed, and no agent */
};

/* The needs of `agents` agents, of which `warm` have a worker and the others hibernate, compared with each limit.
 * supervisor: the process whose limits count and whose own threads (its children's, too) are not counted as taken by
 * others; 0: the caller's limits. The number of limits. */
size_t capacity_list(size_t agents, size_t warm, pid_t supervisor, struct capacity list[CAPACITY_LIMITS]);
/* A sentence for a limit that is too low; NULL: the limit is high enough. Caller frees. */
char *capacity_lack(const struct capacity *capacity);

/* Whether one more worker fits, by the descriptors, threads and watches that are free at this moment. agents: all
 * agents; connecting: the agents whose workers are about to take their share. False and fault. *ample: there
 * are threads for several times as many, so a worker needn't try whether it gets its own. */
bool capacity_for_worker(size_t agents, size_t connecting, bool *ample, struct fault *fault);

/* The number that the limit of descriptors may be raised to. */
void capacity_raise_descriptors(void);
/* Whether a client that was just accepted as this descriptor may stay. */
bool capacity_for_client(int descriptor);
