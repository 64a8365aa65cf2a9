/* How many threads a library makes, and how large their stacks are.
 *
 * nng makes threads by the number of CPUs, 13 at two and 87 at 64, and would take 8 MiB of address space for each
 * stack, which counts against the memory limit (common/sandbox/sandbox.h). Between threads_begin_few and threads_end_few the
 * process is bound to one CPU and new threads get small stacks; nng then makes ten, if it can't look the number up in
 * /sys or /proc (in a sandbox it can't). */
#pragma once

#include <sched.h>
#include <stdbool.h>

#include "common/fault.h"

enum { THREADS_STACK = 256 * 1024 /* bytes */ };

struct threads_before {
    cpu_set_t cpus;
    int tasks; /* folder of our threads; -1: there is no step to undo */
};

/* The first step looks into /proc, so it comes before the sandbox; the other steps may be inside. */
void threads_look(struct threads_before *before);
void threads_begin_few(const struct threads_before *before);
void threads_end_few(struct threads_before *before); /* all threads may run where the process could before */

/* nng 1.5 crashes where it can't have its threads (nni_taskq_fini joins some that were never made). So as many as it
 * makes here are made before it is used for the first time, and ended. False and fault: this process can't have them,
 * and must not use nng. */
bool threads_for_nng(struct fault *fault);
