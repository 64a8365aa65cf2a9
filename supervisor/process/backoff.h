/* The wait of a program that has ended by itself before its next start. */
#pragma once

#include <stdint.h>

enum {
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 60 * 1000,
    BACKOFF_HEALTHY_MS = 60 * 1000, /* a process that was well for this time has no failures behind it */
};

/* The wait before the nth restart in a row (from 0), without jitter: 0, 100, 200 … 60000. */
int64_t backoff_ms(unsigned failures);
