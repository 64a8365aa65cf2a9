/* A data directory for one demonstration, with a supervisor of its own on the built-in offline model. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/fault.h"

struct demo_instance {
    char *path; /* owned; the data directory */
    pid_t supervisor;
};

/* Makes the directory with this agents.yaml, and starts `agentos run` on it; its log goes to PATH/log. */
bool demo_instance_start(struct demo_instance *instance, const char *agents_yaml, struct fault *fault);
/* Whether the supervisor has ended by itself; then the fault names its exit. */
bool demo_instance_ended(struct demo_instance *instance, struct fault *fault);
/* Ends the supervisor as an operator would. False: it had to be killed, or ended with a fault. */
bool demo_instance_stop(struct demo_instance *instance);
/* Removes the directory with all its files, and frees. */
void demo_instance_remove(struct demo_instance *instance);
