/* Walks by chance: each seed is a walk of its own, and SEED=N in the environment repeats one. */
#ifndef AGENTOS_TESTS_UNIT_SEEDS_H
#define AGENTOS_TESTS_UNIT_SEEDS_H

#include <stdlib.h>

static inline void walk_each(void (*walk)(unsigned seed), unsigned seeds)
{
    const char *only = getenv("SEED");
    for (unsigned seed = 1; seed <= (only ? 1 : seeds); seed++)
        walk(only ? (unsigned)atoi(only) : seed);
}

#endif
