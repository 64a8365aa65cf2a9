#include "common/base_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* host: up to the path. What stands behind its last colon, unless that is a part of an address in brackets. */
static bool good_port(const char *host, size_t length)
{
    size_t at = length;
    while (at > 0 && isdigit((unsigned char)host[at - 1]))
        at--;
    if (at == 0 || host[at - 1] != ':')
        return !memchr(host, ':', length) || host[length - 1] == ']';
    long port = at < length && length - at < 6 ? strtol(host + at, NULL, 10) : 0;
    return port > 0 && port < 65536;
}

/* A base URL is joined with "/chat/completions": a query or fragment would swallow that, and a password in it
 * would stand in logs and errors, where a key never does. */
bool base_url_check(const char *value, struct fault *fault)
{
    if (strcmp(value, "offline") == 0)
        return true;
    size_t scheme = strncasecmp(value, "https://", 8) == 0  ? 8
                    : strncasecmp(value, "http://", 7) == 0 ? 7
                                                            : 0;
    if (!scheme)
        return fault_set(fault, "must start with http:// or https://, or be 'offline'");
    const char *host = value + scheme;
    size_t length = strcspn(host, "/?#");
    if (length == 0 || *host == ':')
        return fault_set(fault, "names no host");
    if (memchr(host, '@', length))
        return fault_set(fault, "must not hold a user name or password; the key belongs in LLM_API_KEY");
    if (strpbrk(host, "?#"))
        return fault_set(fault, "must not have a query or fragment ('?' or '#'), since "
                                "/chat/completions is put behind it");
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return fault_set(fault, "must not hold blanks or control characters");
    if (!good_port(host, length))
        return fault_set(fault, "has a port that is no number from 1 to 65535");
    return true;
}
