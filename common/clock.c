#include "common/clock.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/test_clock.h"

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t clock_now(void)
{
    return clock_now_ms() / 1000;
}

int64_t clock_now_ms(void)
{
    return nanoseconds(CLOCK_REALTIME) / 1000000 + TEST_CLOCK_WALL_MS;
}

int64_t clock_monotonic_ms(void)
{
    return nanoseconds(CLOCK_MONOTONIC) / 1000000 + TEST_CLOCK_MONOTONIC_MS;
}

int64_t clock_boot_ms(void)
{
    return nanoseconds(CLOCK_BOOTTIME) / 1000000 + TEST_CLOCK_MONOTONIC_MS;
}

int64_t clock_kernel_ns(void)
{
    return nanoseconds(CLOCK_REALTIME);
}

int64_t clock_kernel_monotonic_us(void)
{
    return nanoseconds(CLOCK_MONOTONIC) / 1000;
}

int clock_wait_ms(int wait_ms)
{
    return TEST_CLOCK_WAIT(wait_ms);
}

/* A timer that never rings, but is cancelled when the wall clock is set. */
static bool arm(int fd)
{
    const struct itimerspec never = {.it_value.tv_sec = INT64_C(1) << 40};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

int clock_set_open(void)
{
    int fd = TEST_CLOCK_SET_OPEN();
    if (fd >= 0)
        return fd;
    fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd >= 0 && !arm(fd)) {
        close(fd);
        return -1;
    }
    return fd;
}

enum clock_set clock_set_read(int fd)
{
    char news[4096]; /* the timer gives eight bytes or ECANCELED; a moved test clock gives an inotify event */
    ssize_t got = read(fd, news, sizeof news);
    if (got < 0 && errno == EAGAIN)
        return CLOCK_NOT_SET;
    return got > 0 || arm(fd) ? CLOCK_SET : CLOCK_SET_AND_BLIND;
}

/* Every envelope, event and line of the log has a time; strftime asks for the locale's ways at each. */
static char *digits(char *text, int value, int count)
{
    for (int i = count; i-- > 0; value /= 10)
        text[i] = (char)('0' + value % 10);
    return text + count;
}

static char *mark(char *text, char character)
{
    *text = character;
    return text + 1;
}

const char *clock_format(int64_t seconds, char text[CLOCK_TEXT])
{
    const int64_t first = -62167219200, last = 253402300799; /* the years 0000 and 9999 */
    time_t time = (time_t)(seconds < first ? first : seconds > last ? last : seconds);
    struct tm parts;
    gmtime_r(&time, &parts);
    char *end = digits(text, parts.tm_year + 1900, 4);
    end = digits(mark(end, '-'), parts.tm_mon + 1, 2);
    end = digits(mark(end, '-'), parts.tm_mday, 2);
    end = digits(mark(end, 'T'), parts.tm_hour, 2);
    end = digits(mark(end, ':'), parts.tm_min, 2);
    end = digits(mark(end, ':'), parts.tm_sec, 2);
    *mark(end, 'Z') = '\0';
    return text;
}

/* Reads exactly `digits` digits; returns what follows them, or NULL. */
static const char *number(const char *text, int digits, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)text[i]))
            return NULL;
        *value = *value * 10 + (text[i] - '0');
    }
    return text + digits;
}

/* "Z", "+02:00", "-0530", "+02" or nothing. Returns what follows, or NULL. */
static const char *offset(const char *text, int *minutes)
{
    *minutes = 0;
    if (*text == 'Z' || *text == 'z')
        return text + 1;
    if (*text != '+' && *text != '-')
        return text;
    int sign = *text == '-' ? -1 : 1, hours, rest = 0;
    text = number(text + 1, 2, &hours);
    if (!text)
        return NULL;
    if (*text == ':' || isdigit((unsigned char)*text)) {
        text = number(*text == ':' ? text + 1 : text, 2, &rest);
        if (!text)
            return NULL;
    }
    *minutes = sign * (hours * 60 + rest);
    return hours <= 15 && rest <= 59 ? text : NULL;
}

static const char *time_of_day(const char *text, struct tm *parts)
{
    text = number(text, 2, &parts->tm_hour);
    if (!text || *text != ':')
        return NULL;
    text = number(text + 1, 2, &parts->tm_min);
    if (text && *text == ':')
        text = number(text + 1, 2, &parts->tm_sec);
    if (text && (*text == '.' || *text == ','))
        for (text++; isdigit((unsigned char)*text);)
            text++;
    return text;
}

bool clock_parse(const char *text, int64_t *seconds)
{
    text += strspn(text, " \t\"'");
    struct tm parts = {0};
    int year, minutes = 0;
    text = number(text, 4, &year);
    if (text && *text == '-')
        text = number(text + 1, 2, &parts.tm_mon);
    else
        return false;
    if (text && *text == '-')
        text = number(text + 1, 2, &parts.tm_mday);
    else
        return false;
    if (text && (*text == 'T' || *text == 't' || (*text == ' ' && isdigit((unsigned char)text[1])))) {
        text = time_of_day(text + 1, &parts);
        if (text)
            text = offset(text, &minutes);
    }
    if (!text || text[strspn(text, " \t\r\n\"'")] != '\0')
        return false;
    if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
        parts.tm_hour > 24 || parts.tm_min > 59 || parts.tm_sec > 60)
        return false;
    parts.tm_year = year - 1900;
    parts.tm_mon -= 1;
    *seconds = (int64_t)timegm(&parts) - (int64_t)minutes * 60;
    return true;
}
