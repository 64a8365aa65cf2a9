/* How many descriptors are left to this process. An agent takes some for as long as it has a worker, so agents and
 * clients leave a reserve alone: without it nobody could be served, and no file be opened any more. */
#ifndef AGENTOS_SUPERVISOR_PROCESS_DESCRIPTORS_H
#define AGENTOS_SUPERVISOR_PROCESS_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

enum {
    DESCRIPTORS_RESERVE = 16,  /* for clients, files, and workers' connections that come back */
    DESCRIPTORS_LAST = 8,      /* of these, not for clients */
    DESCRIPTORS_OF_AGENT = 11, /* with its worker connected */
};

/* Up to what the limit may be raised to. */
void descriptors_raise_limit(void);
/* Whether one more agent may have a worker. agents: there are; connecting: of them, workers that take their
 * descriptors soon. False and fault. */
bool descriptors_for_agent(size_t agents, size_t connecting, struct fault *fault);
/* Whether a client that was just accepted as this descriptor may stay. */
bool descriptors_for_client(int descriptor);

#endif
