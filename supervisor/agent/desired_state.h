/* The operator's orders for an agent, kept over restarts of the supervisor (contract section 10).
 *
 * The order lies in DATA_DIR/.run/wanted/NAME, also when AGENTOS_RUN_DIR is elsewhere: the run directory is often a
 * tmpfs, and an order must last as long as the data does. The agent's tree is no place for it, as its worker alone
 * writes there. No file: run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"

struct desired_state {
    bool stopped, paused;
    int64_t since; /* epoch seconds: when the operator ordered last; 0: run */
};

/* data: descriptor of DATA_DIR. False and fault: there may be an order, but it can't be read now. */
bool desired_state_load(int data, const char *agent, struct desired_state *desired, struct fault *fault);
/* False and fault: the order holds only until the supervisor ends. */
bool desired_state_save(int data, const char *agent, struct desired_state desired, struct fault *fault);
