/* When to ask again. Pure. */
#pragma once

#include <stdint.h>

enum { RETRY_BASE_MS = 500, RETRY_MOST_MS = 60 * 1000 };

/* Retry-After as seconds (fractions too) or as an HTTP date, and OpenAI's retry-after-ms, which goes first; NULL: no
 * such header. Milliseconds from now (epoch s), 0 to most; -1: neither header has a value that can be followed. */
int64_t retry_after(const char *retry_after, const char *retry_after_ms, int64_t now, int64_t most);

/* Exponential with full jitter: evenly between 0 and min(RETRY_MOST_MS, RETRY_BASE_MS * 2^attempt); attempt counts
 * from 0; chance is 32 random bits. */
int64_t retry_backoff(unsigned attempt, uint32_t chance);
