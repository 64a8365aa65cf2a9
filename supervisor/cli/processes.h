/* The remaining powers of a supervisor's processes, as /proc shows them. */
#pragma once

#include "common/buffer.h"

/* Adds a line for the supervisor that runs on this data directory and for each process below it; none when none can
 * be seen from here. */
void processes_list(const char *data_dir, struct buffer *lines);
