/* A cron line: five fields (minute, hour, day of month, month, day of week) of numbers, names, ranges, lists and
 * steps, or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. Times are UTC. */
#ifndef AGENTOS_COMMON_CRON_H
#define AGENTOS_COMMON_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* bit n: n is meant; Sunday is 0 */
    bool every_day, every_weekday; /* the field starts with '*': only the other one decides */
};

/* False and a sentence that names the field: it is no such line, or a day that never comes (30 February). */
bool cron_parse(struct cron *cron, const char *line, struct fault *fault);

#endif
