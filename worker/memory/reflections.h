/* reflections.md (contract section 8): the agent's notes about its last 15 tasks worth noting; oldest first. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/format/entries.h"

extern const char reflections_preamble[]; /* the file as it begins */

/* text: the agent's own words, faults: the faults of its reply; each may be NULL. No entry is added when both are
 * empty. Drops the oldest beyond 15. */
void reflections_add(struct entries *reflections, const char *task_id, int64_t at, const char *text,
                     const char *faults);

/* The newest that fit in budget bytes, oldest first, a line each; the very newest whatever its length. */
void reflections_prompt(const struct entries *reflections, size_t budget, struct buffer *out);
