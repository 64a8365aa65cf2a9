/* Notices when somebody sets the wall clock: everything that expires by it is to be looked at anew. (Waits and timers
 * go by the monotonic clock, which nobody sets.) */
#pragma once

#include "supervisor/process/loop.h"

struct wallclock;

/* Never NULL: where the kernel doesn't tell, changed is never called, and workers look again each minute. */
struct wallclock *wallclock_open(struct loop *loop, void (*changed)(void *context), void *context);
void wallclock_close(struct wallclock *wallclock); /* NULL is fine */
