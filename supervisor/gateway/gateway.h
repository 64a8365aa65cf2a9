/* The gateway: the supervisor's channel, libcurl's sockets and the waits of the scheduler, on one loop. */
#pragma once

#include "supervisor/gateway/keys.h"

/* Serves until the channel's other end closes. channel and keys are taken over. Returns the exit status. */
int gateway_run(int channel, struct keys *keys);
