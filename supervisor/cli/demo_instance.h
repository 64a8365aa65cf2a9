/* A data directory for one demonstration, with a supervisor of its own on the built-in offline model. */
#ifndef AGENTOS_SUPERVISOR_CLI_DEMO_INSTANCE_H
#define AGENTOS_SUPERVISOR_CLI_DEMO_INSTANCE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/fault.h"

struct scratch {
    char *path; /* owned; the data directory */
    pid_t supervisor;
};

/* Makes the directory with this agents.yaml, and starts `agentos run` on it; its log goes to PATH/log. */
bool scratch_start(struct scratch *scratch, const char *agents_yaml, struct fault *fault);
/* Has the supervisor ended by itself? Then the fault names its exit. */
bool scratch_ended(struct scratch *scratch, struct fault *fault);
/* Ends the supervisor as an operator would. False: it had to be killed, or ended with a fault. */
bool scratch_stop(struct scratch *scratch);
/* Removes the directory with all that is in it, and frees. */
void scratch_remove(struct scratch *scratch);

#endif
