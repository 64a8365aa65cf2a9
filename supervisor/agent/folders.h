/* The agents' folders, DATA_DIR/agents/NAME. */
#pragma once

#include "common/fault.h"

/* data: descriptor of the data directory. The folder is made when it is missing. Returns its descriptor, which the
 * caller closes; -1 and fault. */
int trees_open(int data, const char *name, struct fault *fault);
/* Once, before the first trees_open: removes folders that a killed supervisor left unfinished. */
void trees_sweep(int data);
