/* The run directory may be taken away while the supervisor runs: by rm -rf, by a cleaner of /tmp, by a tmpfs that is
 * mounted over it. The scan makes the directory again, with the supervisor's present state. */
#pragma once

#include "supervisor/supervisor.h"

/* Makes the folder of the workers' sockets. False and fault. */
bool run_dir_begin(struct supervisor *supervisor, struct fault *fault);
void run_dir_scan(struct supervisor *supervisor);
