/* A reward as models write it. */
#pragma once

#include "worker/reply/span.h"

/* "+1", "1/1", "**-1** (failure)", full-width digits, keycaps, "success" and the like: 1, 0 or -1. False: it is none. */
bool reward_read(struct span text, int *reward);
