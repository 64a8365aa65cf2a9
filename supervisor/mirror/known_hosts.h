/* The hosts' keys that a person trusts, in OpenSSH's format (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): names in the open,
 * hashed ones and patterns are not understood. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

/* Whether text has this key (as it comes over the wire) for host at port, and no @revoked line of it. False and fault. */
bool known_hosts_has(const char *text, const char *host, int port, const void *key, size_t length,
                     struct fault *fault);
