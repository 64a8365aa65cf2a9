/* The shared parts of the benchmarks' own programs: the times of events, and the words about durations. */
#ifndef AGENTOS_BENCH_MEASURED_H
#define AGENTOS_BENCH_MEASURED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline int64_t measured_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int measured_by_size(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* One line: the number a second, the median of their milliseconds, the 99th percentile and the 99.9th. Sorts. */
static inline void measured_say(double *ms, long count, int64_t begun_ns)
{
    static const double shares[] = {0.5, 0.99, 0.999};
    double seconds = (double)(measured_now_ns() - begun_ns) / 1e9;
    qsort(ms, (size_t)count, sizeof *ms, measured_by_size);
    printf("%.1f", (double)count / seconds);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        printf(" %.4f", ms[(long)((double)(count - 1) * shares[i])]);
    printf("\n");
}

#endif
