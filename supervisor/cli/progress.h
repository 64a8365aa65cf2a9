/* The reason for a wait for a task, on standard error: one line that changes where that is a terminal, else a line
 * for each change. */
#pragma once

#include <stdint.h>

#include "supervisor/cli/terminal/invocation.h"

struct progress {
    const struct invocation *invocation;
    const char *agent, *task; /* borrowed; task NULL: any */
    char *said;               /* owned */
    int64_t looked_ms;        /* monotonic, when the supervisor was asked last */
};

/* folder: the agent's. Cheap: looks once a second at most. */
void progress_say(struct progress *progress, int folder);
/* Call before any other output. */
void progress_end(struct progress *progress);
/* Says that --timeout is over: 75. */
int progress_say_over(const struct progress *progress);
