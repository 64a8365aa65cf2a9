/* The count of attempts at a task that took their worker down (contract section 5, poison tasks): .agentos/attempts.
 * The count is written before the attempt (one pwrite of a line; the count must outlive a kill, not a power cut, so it
 * isn't flushed) and taken back when the attempt ends in any orderly way. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"

enum { ATTEMPTS_MAX = 3 };

struct attempts;
/* tree: descriptor of the agent's folder; borrowed. A damaged file, or a damaged line, counts as empty. NULL and fault:
 * the file can't be read now. */
struct attempts *attempts_open(int tree, struct fault *fault);
void attempts_close(struct attempts *attempts); /* NULL is fine */
/* The number of attempts at this task that ended with the worker's death, as of attempts_open: an attempt that this
 * process has begun doesn't count yet. */
unsigned attempts_failed(const struct attempts *attempts, const char *id, uint64_t hash);
/* To be called before each attempt; a second call for the same attempt is fine. False and fault: the attempt couldn't
 * be noted. */
bool attempts_begin(struct attempts *attempts, const char *id, uint64_t hash, struct fault *fault);
void attempts_end(struct attempts *attempts, const char *id, uint64_t hash); /* orderly: forget it */
