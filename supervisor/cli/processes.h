/* What the processes of a supervisor could still do, as /proc shows it. */
#pragma once

#include "common/buffer.h"

/* A line for the supervisor that runs on this data directory and for each process below it; none when there is none that
 * can be seen from here. */
void processes_list(const char *data_dir, struct buffer *lines);
