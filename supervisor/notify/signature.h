/* webhook-signature of Standard Webhooks: "v1," and the base64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY". */
#pragma once

#include "common/format/webhook_secret.h"

char *signature_make(const struct webhook_secret *secret, const char *id, const char *timestamp,
                     const char *body); /* caller frees */
