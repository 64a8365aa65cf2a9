#include "worker/cycle/timers.h"

enum { SLEEP_MAX_MS = 60 * 60 * 1000 };

void timers_arm(struct timers *timers, enum timer which, int64_t at_ms)
{
    timers->timer[which].at_ms = at_ms;
    timers->timer[which].due = false;
}

void timers_arm_within(struct timers *timers, enum timer which, int64_t at_ms)
{
    if (!timers_on(timers, which))
        timers_arm(timers, which, at_ms);
}

void timers_disarm(struct timers *timers, enum timer which)
{
    timers->timer[which].at_ms = 0;
    timers->timer[which].due = false;
}

int64_t timers_at(const struct timers *timers, enum timer which)
{
    return timers->timer[which].at_ms;
}

bool timers_armed(const struct timers *timers, enum timer which)
{
    return timers->timer[which].at_ms != 0;
}

bool timers_due(const struct timers *timers, enum timer which)
{
    return timers->timer[which].due;
}

bool timers_on(const struct timers *timers, enum timer which)
{
    return timers_armed(timers, which) || timers_due(timers, which);
}

bool timers_take(struct timers *timers, enum timer which)
{
    bool due = timers->timer[which].due;
    timers->timer[which].due = false;
    return due;
}

void timers_ring(struct timers *timers, int64_t now_ms)
{
    for (int i = 0; i < TIMER_COUNT; i++)
        if (timers->timer[i].at_ms != 0 && timers->timer[i].at_ms <= now_ms) {
            timers->timer[i].at_ms = 0;
            timers->timer[i].due = true;
        }
}

int timers_sleep_ms(const struct timers *timers, int64_t now_ms)
{
    int64_t left = SLEEP_MAX_MS;
    bool armed = false;
    for (int i = 0; i < TIMER_COUNT; i++)
        if (timers->timer[i].at_ms != 0) {
            armed = true;
            if (timers->timer[i].at_ms - now_ms < left)
                left = timers->timer[i].at_ms - now_ms;
        }
    return !armed ? -1 : left < 0 ? 0 : (int)left;
}
