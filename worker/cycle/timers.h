/* The worker's timers. Each timer has one owner, which arms it, and is told once when the timer's time has come.
 *
 * A timer is off, armed, or due. The loop turns the armed timers whose time has come into due ones, and sleeps until
 * the next armed one; a due timer never shortens the sleep, so an owner that can't act now costs nothing until it
 * does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum timer {
    TIMER_STOP,     /* a stopping worker abandons its cycle (worker.c) */
    TIMER_BACKOFF,  /* the storage, the provider or the budget allows the next try (cycle.c) */
    TIMER_DEFERRED, /* the next deferred task may be tried again (cycle.c) */
    TIMER_QUEUE,    /* a writer held back blocks of queue.md: look again (worker.c) */
    TIMER_TIDY,     /* history and queue are tidied (worker.c) */
    TIMER_FIGURES,  /* the supervisor gets the figures (report.c) */
    TIMER_EXPIRY,   /* the next task of the queue expires (task_ends.c) */
    TIMER_SETTLE,   /* the files of a commit are brought into place (worker.c) */
    TIMER_VERDICTS, /* verdicts are recorded (mail_step.c) */
    TIMER_MAIL,     /* look at the envelopes again (mail_step.c) */
    TIMER_AUDIT,    /* the auditing has something to do (auditing.c) */
    TIMER_LEASES,   /* the supervisor's answer about a lock is overdue (leases.c) */
    TIMER_COUNT
};

/* Zeroed: all are off. */
struct timers {
    struct {
        int64_t at_ms; /* monotonic; 0: not armed */
        bool due;
    } timer[TIMER_COUNT];
};

/* Arms for a time of clock_monotonic_ms (0: none, the timer is off); a time that was armed or due before is forgotten.
 * A time in the past is due with the next timers_ring. */
void timers_arm(struct timers *timers, enum timer which, int64_t at_ms);
void timers_arm_within(struct timers *timers, enum timer which,
                       int64_t at_ms); /* an armed or due one stays */
void timers_disarm(struct timers *timers, enum timer which);
int64_t timers_at(const struct timers *timers, enum timer which); /* armed for; 0: not armed */
bool timers_armed(const struct timers *timers, enum timer which); /* its time has not come */
bool timers_on(const struct timers *timers, enum timer which);    /* armed or due */
bool timers_due(const struct timers *timers, enum timer which);
/* true once, when the timer is due: the timer is off then */
bool timers_take(struct timers *timers, enum timer which);
/* Every timer that is armed for now_ms or earlier is due from here on. */
void timers_ring(struct timers *timers, int64_t now_ms);
/* For poll: how long until an armed timer rings, at most an hour; -1: none is armed. */
int timers_sleep_ms(const struct timers *timers, int64_t now_ms);
