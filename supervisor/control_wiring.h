/* The control server and the rest of the supervisor: the server's verbs and listings get here the facts that only the
 * supervisor knows. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/fault.h"

struct control;
struct supervisor;

/* Once post, shared state and nodes are open. NULL and fault: the control socket can't be made. */
struct control *control_wiring_open(struct supervisor *supervisor, struct fault *fault);
/* As far_reads_told: the other nodes' answer goes to the client that asked. */
void control_wiring_told(void *supervisor, uint64_t ticket, json_t *answer);
