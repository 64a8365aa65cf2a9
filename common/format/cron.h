/* A cron line: five fields (minute, hour, day of month, month, day of week) of numbers, names, ranges, lists and
 * steps, or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. Times are UTC. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* bit n: n is meant; Sunday is 0 */
    bool every_day, every_weekday; /* the field starts with '*': both must be met, else either is enough */
};

/* False and a sentence that names the field: the text is no such line, or names a day that never comes (30
 * February). */
bool cron_parse(struct cron *cron, const char *line, struct fault *fault);

/* The first time that is meant after `after`; INT64_MAX: none within fifty years. Epoch seconds, whole minutes. */
int64_t cron_next(const struct cron *cron, int64_t after);
/* The last time that is meant after `after` and not after `until`. False: there is none. */
bool cron_latest(const struct cron *cron, int64_t after, int64_t until, int64_t *time);
