/* The secret that a webhook's messages are signed with (Standard Webhooks): a file that holds "whsec_" and base64, or else
 * the secret's own characters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

struct webhook_secret {
    unsigned char *bytes;
    size_t length; /* at least 1 */
};

/* As secrets_read_file says. False and fault. The caller wipes it. */
bool webhook_secret_read(const char *path, struct webhook_secret *secret, struct fault *fault);
void webhook_secret_wipe(struct webhook_secret *secret); /* overwritten and freed */
