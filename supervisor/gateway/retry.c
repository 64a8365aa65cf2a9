#include "supervisor/gateway/retry.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int64_t clamp(double milliseconds, int64_t most)
{
    if (milliseconds < 0)
        return -1; /* a time in the past, or a negative number: the server's clock is no guide */
    return milliseconds > (double)most ? most : (int64_t)milliseconds;
}

/* strtod alone would also take "inf", "nan" and hexadecimal. */
static int64_t number(const char *text, double scale, int64_t most)
{
    text += strspn(text, " \t");
    if (!isdigit((unsigned char)*text) || strspn(text, "0123456789.") != strcspn(text, " \t\r\n;,"))
        return -1;
    return clamp(strtod(text, NULL) * scale, most);
}

int64_t retry_after(const char *seconds, const char *milliseconds, int64_t now, int64_t most)
{
    int64_t wait = milliseconds ? number(milliseconds, 1, most) : -1;
    if (wait < 0 && seconds)
        wait = number(seconds, 1000, most);
    /* A date has a comma or letters; curl_getdate would also read "12" as a day. */
    if (wait < 0 && seconds && isalpha((unsigned char)seconds[strspn(seconds, " \t")])) {
        time_t date = curl_getdate(seconds, NULL);
        wait = date == -1 ? -1 : clamp(((double)date - (double)now) * 1000, most);
    }
    return wait;
}

int64_t retry_backoff(unsigned attempt, uint32_t chance)
{
    int64_t most = attempt < 7 ? (int64_t)RETRY_BASE_MS << attempt : RETRY_MOST_MS;
    if (most > RETRY_MOST_MS)
        most = RETRY_MOST_MS;
    return (int64_t)(((uint64_t)most * chance) >> 32);
}
