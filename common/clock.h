/* Two clocks: the wall clock for what people read and for TTLs, the monotonic one for waiting. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_TEXT = 32 };

int64_t clock_now(void);          /* wall clock, seconds since 1970 UTC */
int64_t clock_now_ms(void);       /* wall clock, milliseconds since 1970 UTC */
int64_t clock_monotonic_ms(void); /* never goes back; meaningless between boots */
int64_t clock_boot_ms(void);      /* the same, and it goes on while the machine sleeps */

/* The kernel's own clocks, which no test moves: the wall clock in nanoseconds, to compare with a file's times, and the
 * monotonic clock in microseconds, for another program that reads it too. */
int64_t clock_kernel_ns(void);
int64_t clock_kernel_monotonic_us(void);

/* How long poll or epoll_wait is to wait (-1: without end) when wait_ms is left until the next deadline. Every wait that
 * ends with a deadline goes through here, so that a test that moves the clock is noticed; otherwise this is wait_ms. */
int clock_wait_ms(int wait_ms);

enum clock_set { CLOCK_NOT_SET, CLOCK_SET, CLOCK_SET_AND_BLIND /* the kernel will not tell again */ };

/* A descriptor that is readable once somebody has set the wall clock; -1: the kernel doesn't tell. Caller closes. */
int clock_set_open(void);
enum clock_set clock_set_read(int fd);

/* "2026-04-29T10:05:00Z" (20 characters). Returns text. Seconds out of the years 0000 to 9999 are clamped. */
const char *clock_format(int64_t seconds, char text[CLOCK_TEXT]);

/* ISO 8601 as people write it: date, 'T' or blank, time with optional seconds and fraction, 'Z', an offset or nothing
 * (then UTC); or the date alone. Blanks and quotes around the time are fine. False: the text is no such time. */
bool clock_parse(const char *text, int64_t *seconds);
