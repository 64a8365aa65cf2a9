/* The proxy that requests go through, from the variables that all programs know: https_proxy or http_proxy by the URL's
 * scheme, else all_proxy, each also in capitals; no_proxy names hosts that are asked directly, and loopback always is.
 *
 * A proxy's address may hold a password, so secrets_collect takes these variables as it takes the keys. */
#pragma once

#include <stdbool.h>

#include "common/secrets.h"

struct proxy {
    char *address;         /* "http://host:3128", without user and password */
    char *name;            /* "host:3128" */
    char *user, *password; /* NULL: none; percent-encoded, as libcurl takes them */
};

bool proxy_find(const struct secrets *secrets, const char *url, struct proxy *proxy); /* false: directly */
void proxy_free(struct proxy *proxy); /* overwritten first; a struct of zeros is fine */

/* Whether entry ("NAME=VALUE" of secrets_each) is a proxy's; *proxy is filled then. */
bool proxy_read(const char *entry, struct proxy *proxy);
