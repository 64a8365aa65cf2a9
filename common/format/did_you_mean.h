/* "Did you mean …?": the known word nearest to a mistyped word. */
#pragma once

#include <stddef.h>

/* The nearest of count words (word i is words(context, i)), or NULL when none is near enough to be meant. */
const char *did_you_mean(const char *word, const char *(*words)(const void *context, size_t i),
                         const void *context, size_t count);
