#include "common/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base_url.h"
#include "common/memory.h"

void proxy_free(struct proxy *proxy)
{
    free(proxy->address);
    free(proxy->name);
    memory_wipe(proxy->user);
    memory_wipe(proxy->password);
    *proxy = (struct proxy){0};
}

/* [SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/…] */
static void parse(const char *value, struct proxy *proxy)
{
    const char *mark = strstr(value, "://"), *rest = mark ? mark + 3 : value;
    size_t length = strcspn(rest, "/");
    const char *at = memrchr(rest, '@', length), *host = at ? at + 1 : rest;
    proxy->name = memory_slice(host, (size_t)(rest + length - host));
    proxy->address =
        memory_print("%.*s%s", mark ? (int)(rest - value) : 7, mark ? value : "http://", proxy->name);
    if (!at)
        return;
    const char *colon = memchr(rest, ':', (size_t)(at - rest));
    proxy->user = memory_slice(rest, (size_t)((colon ? colon : at) - rest));
    proxy->password = colon ? memory_slice(colon + 1, (size_t)(at - colon - 1)) : memory_text("");
}

bool proxy_read(const char *entry, struct proxy *proxy)
{
    const char *equals = strchr(entry, '=');
    *proxy = (struct proxy){0};
    if (!equals || equals - entry < (int)strlen("all_proxy") || strncasecmp(equals - 6, "_proxy", 6) != 0)
        return false;
    parse(equals + 1, proxy);
    return true;
}

/* host: without a port and brackets. */
static bool in_network(const char *network, size_t length, const char *host)
{
    struct in_addr address, base;
    OWNED char *text = memory_slice(network, length);
    char *slash = strchr(text, '/');
    if (!slash)
        return false;
    *slash = '\0';
    char *end;
    long bits = strtol(slash + 1, &end, 10);
    if (end == slash + 1 || *end || bits < 0 || bits > 32 || inet_pton(AF_INET, text, &base) != 1 ||
        inet_pton(AF_INET, host, &address) != 1)
        return false;
    return bits == 0 || (ntohl(address.s_addr) ^ ntohl(base.s_addr)) >> (32 - bits) == 0;
}

static bool is_or_is_below(const char *name, size_t length, const char *host)
{
    if (length && *name == '.')
        name++, length--;
    size_t size = strlen(host);
    return length && size >= length && strncasecmp(host + size - length, name, length) == 0 &&
           (size == length || host[size - length - 1] == '.');
}

/* Whether no_proxy's list has the URL's host: a name with all below it, an address, an IPv4 network ("10.0.0.0/8"), "*". */
static bool proxy_is_exempt(const char *list, const char *url)
{
    OWNED char *place = base_url_host(url);
    char *host = *place == '[' ? place + 1 : place;
    host[strcspn(host, *place == '[' ? "]" : ":")] = '\0';
    for (size_t length; *(list += strspn(list, ", \t")); list += length) {
        length = strcspn(list, ", \t");
        if ((length == 1 && *list == '*') || is_or_is_below(list, length, host) ||
            in_network(list, length, host))
            return true;
    }
    return false;
}

bool proxy_find(const struct secrets *secrets, const char *url, struct proxy *proxy)
{
    static const char *const names[][4] = {{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"},
                                           {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}};
    const char *exempt = getenv("no_proxy") ? getenv("no_proxy") : getenv("NO_PROXY");
    const char *value = NULL;
    *proxy = (struct proxy){0};
    for (size_t i = 0; i < 4 && !(value && *value); i++)
        value = secrets_find(secrets, names[strncasecmp(url, "http://", 7) == 0][i]);
    if (!value || !*value || base_url_is_loopback(url) || (exempt && proxy_is_exempt(exempt, url)))
        return false;
    parse(value, proxy);
    return true;
}
