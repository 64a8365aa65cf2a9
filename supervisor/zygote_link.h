/* The supervisor's side of the zygote, the process that forks the workers. */
#ifndef AGENTOS_SUPERVISOR_ZYGOTE_LINK_H
#define AGENTOS_SUPERVISOR_ZYGOTE_LINK_H

#include <stdbool.h>

struct supervisor;

/* Starts it; before nng makes threads. False: it can't be started. */
bool zygote_link_open(struct supervisor *supervisor);

#endif
