/* "Did you mean …?": the known word nearest to one that was mistyped. */
#ifndef AGENTOS_COMMON_FORMAT_DID_YOU_MEAN_H
#define AGENTOS_COMMON_FORMAT_DID_YOU_MEAN_H

#include <stddef.h>

/* Edits (a character put in, left out, changed, or two neighbours swapped) between two words; more than limit
 * gives limit + 1. Words over 64 bytes are never near. */
size_t did_you_mean_distance(const char *a, const char *b, size_t limit);

/* The nearest of count words (word i is words(context, i)), or NULL when none is near enough to be meant. */
const char *did_you_mean(const char *word, const char *(*words)(const void *context, size_t i),
                         const void *context, size_t count);

#endif
