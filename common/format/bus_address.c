#include "common/format/bus_address.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/settings.h"

enum { DEFAULT_PORT = 4222 };

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    long number = strtol(text, &end, 10);
    *port = (uint16_t)number;
    return isdigit((unsigned char)*text) && !*end && number > 0 && number < 65536;
}

/* "host", "host:port", "[address]:port", in place. */
static bool parse_host(char *text, struct bus_server *server, struct fault *fault)
{
    char *end = *text == '[' ? strchr(text, ']') : NULL;
    char *colon = strchr(end ? end : text, ':');
    server->port = DEFAULT_PORT;
    if (strchr(text, '@'))
        return fault_set(
            fault,
            "has a user or a password in it, which the log would show: put user:password into the file "
            "that AGENTOS_BUS_CREDS_FILE names");
    if (end && end[1] && end + 1 != colon)
        return fault_set(fault, "has something between an address in brackets and its port");
    if (colon && !parse_port(colon + 1, &server->port))
        return fault_set(fault,
                         "has a port that is no number from 1 to 65535 (an IPv6 address stands in brackets)");
    if (colon)
        *colon = '\0';
    if (end)
        *end = '\0';
    size_t length = strlcpy(server->host, text + (end != NULL), sizeof server->host);
    if (length == 0 || length >= sizeof server->host)
        return fault_set(fault, "names no host, or one whose name is too long");
    for (const char *at = server->host; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr(end ? ":.%" : ".-_", *at))
            return fault_set(fault, "has something behind nats:// or tls:// that is no host and port");
    return true;
}

static bool add(char *url, struct bus_servers *servers, struct fault *fault)
{
    bool tls = strncmp(url, "tls://", 6) == 0;
    if (!tls && strncmp(url, "nats://", 7) != 0)
        return fault_set(fault, "is no nats:// or tls:// URL; several stand with commas between them");
    if (servers->count > 0 && tls != servers->tls)
        return fault_set(fault, "has nats:// and tls:// in it: all servers are reached the same way");
    if (servers->count == BUS_SERVERS_MAX)
        return fault_set(fault, "names more than %d servers", BUS_SERVERS_MAX);
    struct bus_server *server = &servers->list[servers->count];
    url += tls ? 6 : 7;
    size_t length = strlen(url);
    if (length > 0 && url[length - 1] == '/')
        url[length - 1] = '\0';
    if (!parse_host(url, server, fault))
        return false;
    bool bare = strchr(server->host, ':');
    snprintf(server->url, sizeof server->url, bare ? "%s[%s]:%u" : "%s%s:%u", tls ? "tls://" : "nats://",
             server->host, server->port);
    servers->tls = tls;
    servers->count++;
    return true;
}

bool bus_servers_parse(const char *text, struct bus_servers *servers, struct fault *fault)
{
    OWNED char *copy = memory_text(text);
    char *rest = copy;
    *servers = (struct bus_servers){0};
    for (char *url; (url = strsep(&rest, ","));) {
        url += strspn(url, " \t\n");
        for (size_t length = strlen(url); length > 0 && strchr(" \t\n", url[length - 1]);)
            url[--length] = '\0';
        if (!add(url, servers, fault))
            return false;
    }
    return true;
}

bool bus_settings_check(struct buffer *faults)
{
    const char *text = setting_text(SET_AGENTOS_BUS, NULL);
    size_t before = faults->length;
    struct bus_servers servers;
    struct fault fault;
    if (!text)
        return true;
    if (!bus_servers_parse(text, &servers, &fault))
        buffer_print(faults, "%s %s\n", setting_name(SET_AGENTOS_BUS), fault.text);
    if (!setting_text(SET_AGENTOS_BUS_CERT_FILE, NULL) != !setting_text(SET_AGENTOS_BUS_KEY_FILE, NULL))
        buffer_print(faults, "%s and %s belong together: one of them is not set\n",
                     setting_name(SET_AGENTOS_BUS_CERT_FILE), setting_name(SET_AGENTOS_BUS_KEY_FILE));
    return faults->length == before;
}
