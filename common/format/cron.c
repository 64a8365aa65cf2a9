#include "common/format/cron.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct field {
    const char *name;
    unsigned least, most;
    const char *const *words; /* the first means `least` */
    size_t word_count;
    size_t offset;
} fields[] = {
    {"minute", 0, 59, NULL, 0, offsetof(struct cron, minutes)},
    {"hour", 0, 23, NULL, 0, offsetof(struct cron, hours)},
    {"day of month", 1, 31, NULL, 0, offsetof(struct cron, days)},
    {"month", 1, 12, months, 12, offsetof(struct cron, months)},
    {"day of week", 0, 7, weekdays, 7, offsetof(struct cron, weekdays)},
};

enum { FIELDS = sizeof fields / sizeof *fields, LINE_MAX_BYTES = 1024 };

static const struct {
    const char *word, *line;
} shorthands[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

/* A number or a name of the field at *text, which moves behind it. */
static bool value(const struct field *field, const char **text, unsigned *found)
{
    size_t length = strspn(*text, "0123456789");
    if (length > 0 && length <= 4) {
        *found = (unsigned)strtoul(*text, NULL, 10);
        *text += length;
        return *found >= field->least && *found <= field->most;
    }
    for (size_t i = 0; i < field->word_count; i++)
        if (strncasecmp(*text, field->words[i], 3) == 0) {
            *found = field->least + (unsigned)i;
            *text += 3;
            return true;
        }
    return false;
}

/* One item of a list: "*", "a", "a-b", the first and the last also with a step. */
static bool item(const struct field *field, const char *text, uint64_t *bits)
{
    unsigned first = field->least, last = field->most, step = 1;
    bool range = *text == '*';
    if (range) {
        text++;
    } else {
        if (!value(field, &text, &first))
            return false;
        last = first;
        range = *text == '-';
        if (range && (text++, !value(field, &text, &last)))
            return false;
    }
    if (*text == '/') {
        size_t length = strspn(++text, "0123456789");
        step = length > 0 && length <= 4 ? (unsigned)strtoul(text, NULL, 10) : 0;
        text += length;
        if (!range || step == 0 || step > field->most)
            return false;
    }
    if (*text != '\0' || first > last)
        return false;
    for (unsigned i = first; i <= last; i += step)
        *bits |= UINT64_C(1) << i;
    return true;
}

static bool list(const struct field *field, char *text, uint64_t *bits)
{
    for (char *part; (part = strsep(&text, ",")) != NULL;)
        if (!item(field, part, bits))
            return false;
    return true;
}

static bool day_exists(const struct cron *cron)
{
    static const unsigned lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (unsigned month = 1; month <= 12; month++)
        if (cron->months >> month & 1)
            for (unsigned day = 1; day <= lengths[month - 1]; day++)
                if (cron->days >> day & 1)
                    return true;
    return false;
}

bool cron_parse(struct cron *cron, const char *line, struct fault *fault)
{
    *cron = (struct cron){0};
    line += strspn(line, " \t");
    for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++)
        if (strcasecmp(line, shorthands[i].word) == 0)
            line = shorthands[i].line;
    if (*line == '@')
        return fault_set(fault, "'%.40s' is none of @hourly, @daily, @weekly, @monthly, @yearly", line);
    char copy[LINE_MAX_BYTES], *words[FIELDS + 1], *state;
    if (strlen(line) >= sizeof copy)
        return fault_set(fault, "a cron line of %zu bytes is too long", strlen(line));
    strcpy(copy, line);
    size_t count = 0;
    for (char *word = strtok_r(copy, " \t", &state); word && count <= FIELDS;
         word = strtok_r(NULL, " \t", &state))
        words[count++] = word;
    if (count != FIELDS)
        return fault_set(fault, "'%.60s' has %s five fields (minute hour day month weekday)", line,
                         count < FIELDS ? "fewer than" : "more than");
    cron->every_day = *words[2] == '*';
    cron->every_weekday = *words[4] == '*';
    for (size_t i = 0; i < FIELDS; i++) {
        char shown[41] = {0};
        strncpy(shown, words[i], sizeof shown - 1);
        if (!list(&fields[i], words[i], (uint64_t *)((char *)cron + fields[i].offset)))
            return fault_set(fault, "'%s' is no %s (%u to %u%s%s)", shown, fields[i].name, fields[i].least,
                             fields[i].most, fields[i].words ? ", or a name such as " : "",
                             fields[i].words ? fields[i].words[1] : "");
    }
    if (cron->weekdays >> 7 & 1)
        cron->weekdays = (cron->weekdays | 1) & 0x7f;
    if (cron->every_weekday && !day_exists(cron))
        return fault_set(fault, "'%.60s' means a day that no month has", line);
    return true;
}

/* --- times --- */

enum { MINUTE = 60, DAY = 86400, DAY_MINUTES = 1440, DAYS_AHEAD = 50 * 366 };

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static bool means_day(const struct cron *cron, int64_t day)
{
    struct tm date;
    time_t time = day * DAY;
    if (!gmtime_r(&time, &date) || !(cron->months >> (date.tm_mon + 1) & 1))
        return false;
    bool by_date = cron->days >> date.tm_mday & 1, by_weekday = cron->weekdays >> date.tm_wday & 1;
    return cron->every_day || cron->every_weekday ? by_date && by_weekday : by_date || by_weekday;
}

static bool means_minute(const struct cron *cron, int64_t minute)
{
    return (cron->hours >> (minute / 60) & 1) && (cron->minutes >> (minute % 60) & 1);
}

int64_t cron_next(const struct cron *cron, int64_t after)
{
    int64_t start = floor_divide(after, MINUTE) + 1, first_day = floor_divide(start, DAY_MINUTES);
    int64_t minute = start - first_day * DAY_MINUTES;
    for (int64_t day = first_day; day <= first_day + DAYS_AHEAD; day++, minute = 0)
        for (bool meant = means_day(cron, day); meant && minute < DAY_MINUTES; minute++)
            if (means_minute(cron, minute))
                return day * DAY + minute * MINUTE;
    return INT64_MAX;
}

bool cron_latest(const struct cron *cron, int64_t after, int64_t until, int64_t *time)
{
    int64_t end = floor_divide(until, MINUTE), last_day = floor_divide(end, DAY_MINUTES);
    int64_t minute = end - last_day * DAY_MINUTES;
    for (int64_t day = last_day; (day + 1) * DAY > after; day--, minute = DAY_MINUTES - 1)
        for (bool meant = means_day(cron, day); meant && minute >= 0; minute--)
            if (means_minute(cron, minute)) {
                *time = day * DAY + minute * MINUTE;
                return *time > after;
            }
    return false;
}
