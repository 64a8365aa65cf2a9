/* The bus: carries out the supervisor's requests over the connection as long as that, the stream and the bucket are
 * there. */
#pragma once

#include "common/fault.h"
#include "common/format/bus_address.h"
#include "supervisor/bus/credentials.h"

/* Runs until the supervisor ends; returns only with a fault. channel: a descriptor, owned. */
void bus_run(int channel, const struct bus_servers *servers, const struct credentials *credentials,
             struct fault *fault);
