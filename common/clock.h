/* Two clocks: the wall clock for what people read and for TTLs, the monotonic one for waiting. */
#ifndef AGENTOS_COMMON_CLOCK_H
#define AGENTOS_COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_TEXT = 32 };

int64_t clock_now(void);          /* wall clock, seconds since 1970 UTC */
int64_t clock_now_ms(void);       /* wall clock, milliseconds since 1970 UTC */
int64_t clock_monotonic_ms(void); /* never goes back; meaningless between boots */

/* "2026-04-29T10:05:00Z" (20 characters). Returns text. Seconds out of the years 0000 to 9999 are clamped. */
const char *clock_format(int64_t seconds, char text[CLOCK_TEXT]);

/* ISO 8601 as people write it: date, 'T' or blank, time with optional seconds and fraction, 'Z', an offset
 * or nothing (then UTC); or the date alone. Blanks and quotes around it are fine. False: it is no such time. */
bool clock_parse(const char *text, int64_t *seconds);

#endif
