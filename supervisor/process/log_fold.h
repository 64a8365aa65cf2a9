/* Warnings that repeat themselves: of one agent and one kind (the text, numbers aside), the first two are told;
 * further ones within a minute are counted, and told as one line with the last text. INFO and DEBUG lines all pass:
 * two lines of a kind are two events. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/log.h"

enum {
    LOG_FOLD_TOLD = 2,
    LOG_FOLD_MS = 60 * 1000,
    LOG_FOLD_KINDS = 512 /* past that number no further line is folded */
};

struct log_fold { /* zeroed at first */
    struct log_fold_kind *kinds;
    size_t count;
};

/* component: static. agent may be NULL. Tells the line, or counts it. */
void log_fold_add(struct log_fold *fold, enum log_level level, const char *component, const char *agent,
                  const char *message);
/* Tells the counts of kinds whose minute is over, and forgets these kinds; all: of every kind. */
void log_fold_tell(struct log_fold *fold, bool all);
