#include "common/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

enum { PORT_MAX = 65535 };

/* False: the text has no port, or an invalid one. *colon: the end of the address. */
static bool parse_port(const char *text, const char **colon, in_port_t *port)
{
    char *end = NULL;
    *colon = strrchr(text, ':');
    if (!*colon || *colon == text || !isdigit((unsigned char)(*colon)[1]))
        return false;
    unsigned long number = strtoul(*colon + 1, &end, 10);
    *port = htons((in_port_t)number);
    return !*end && number <= PORT_MAX;
}

bool address_parse(const char *text, struct address *address, struct fault *fault)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&address->socket;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->socket;
    const char *colon;
    in_port_t port;
    *address = (struct address){0};
    if (!parse_port(text, &colon, &port))
        return fault_set(fault, "must be ADDRESS:PORT, or empty for none, not '%s'", text);
    OWNED char *host = memory_slice(text, (size_t)(colon - text));
    size_t length = strlen(host);
    if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
        address->length = sizeof *six;
        if (inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1)
            return true;
    } else {
        *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        address->length = sizeof *four;
        if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &four->sin_addr) == 1)
            return true;
    }
    return fault_set(fault,
                     "must begin with a number as 127.0.0.1 or [::1], or with localhost, not with a name as "
                     "in '%s'",
                     text);
}

bool address_is_loopback(const struct address *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->socket;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->socket;
    if (address->socket.ss_family == AF_INET)
        return ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return address->socket.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

const char *address_text(const struct address *address, char text[ADDRESS_TEXT])
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->socket;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->socket;
    char host[INET6_ADDRSTRLEN] = "";
    if (address->socket.ss_family == AF_INET) {
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(text, ADDRESS_TEXT, "%s:%u", host, (unsigned)ntohs(four->sin_port));
    } else {
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(text, ADDRESS_TEXT, "[%s]:%u", host, (unsigned)ntohs(six->sin6_port));
    }
    return text;
}
