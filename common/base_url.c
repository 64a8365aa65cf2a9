#include "common/base_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"

/* host: up to the path. The port stands behind its last colon, unless the colon is in an address in brackets. */
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

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t size = strlen(end);
    return length >= size && strncasecmp(text + length - size, end, size) == 0;
}

/* Of the path: up to the query, without the last slashes. */
static size_t path_end(const char *url)
{
    size_t length = strcspn(url, "?");
    while (length && url[length - 1] == '/')
        length--;
    return length;
}

/* ?key=…, &access_token=…: a key in a query would stand in logs and errors, where no key may stand. */
static bool has_key_in_query(const char *url)
{
    static const char *const names[] = {"key", "token", "sig", "secret", "password"};
    const char *at = strchr(url, '?');
    for (; at; at = strchr(at + 1, '&'))
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (ends_with(at, strcspn(at, "="), names[i]))
                return true;
    return false;
}

static bool check_path(const char *url, struct fault *fault)
{
    size_t length = path_end(url);
    if (!ends_with(url, length, "/completions"))
        return true;
    length -= strlen(ends_with(url, length, "/chat/completions") ? "/chat/completions" : "/completions");
    return fault_set(fault, "must end before /chat/completions, which is put behind it: %.*s%s", (int)length,
                     url, url + strcspn(url, "?"));
}

static size_t scheme_length(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;
}

bool base_url_is_http(const char *value, struct fault *fault)
{
    size_t scheme = scheme_length(value);
    if (!scheme)
        return fault_set(fault, "must start with http:// or https://");
    const char *host = value + scheme;
    size_t length = strcspn(host, "/?#");
    if (length == 0 || *host == ':')
        return fault_set(fault, "names no host");
    if (memchr(host, '@', length))
        return fault_set(fault, "must not hold a user name or password");
    if (strchr(host, '#'))
        return fault_set(fault, "must not have a fragment ('#')");
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return fault_set(fault, "must not hold blanks or control characters");
    return good_port(host, length) || fault_set(fault, "has a port that is no number from 1 to 65535");
}

bool base_url_check(const char *value, struct fault *fault)
{
    if (strcmp(value, "offline") == 0)
        return true;
    if (*value == '"' || *value == '\'')
        return fault_set(fault, "stands in quotes, which have become a part of it; leave them out");
    size_t scheme = scheme_length(value);
    const char *host = value + scheme;
    if (!scheme)
        return fault_set(fault, "must start with http:// or https://, or be 'offline'");
    if (memchr(host, '@', strcspn(host, "/?#")))
        return fault_set(fault, "must not hold a user name or password; the key belongs in LLM_API_KEY");
    if (has_key_in_query(host))
        return fault_set(fault, "must not hold a key in its query; the key belongs in LLM_API_KEY");
    return base_url_is_http(value, fault) && check_path(value, fault);
}

char *base_url_join(const char *base, const char *path)
{
    return memory_print("%.*s%s%s", (int)path_end(base), base, path, base + strcspn(base, "?"));
}

char *base_url_host(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return memory_slice(host, strcspn(host, "/?"));
}

bool base_url_is_loopback(const char *url)
{
    OWNED char *host = base_url_host(url);
    bool bracketed = *host == '[';
    size_t length = bracketed ? strcspn(host, "]") + 1 : strcspn(host, ":");
    host[length < strlen(host) ? length : strlen(host)] = '\0';
    return strcmp(host, "[::1]") == 0 || strcasecmp(host, "localhost") == 0 ||
           ends_with(host, strlen(host), ".localhost") ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

bool base_url_lacks_version(const char *url)
{
    for (const char *at = url; (at = strstr(at, "/v")); at++)
        if (isdigit((unsigned char)at[2]))
            return false;
    return !strchr(url, '?');
}
