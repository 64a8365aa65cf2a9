/* This node's credentials for the bus: read from the files of AGENTOS_BUS_… before the process is sealed. */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>

#include "common/fault.h"

struct credentials;

/* NULL and fault: a file of the settings can't be read, or holds nothing of its kind. */
struct credentials *credentials_read(struct fault *fault);
bool credentials_are_there(const struct credentials *credentials);
/* credentials live as long as options. tls: the server has to show a certificate. False and fault: a file's text is
 * no certificate or no key. */
bool credentials_give(const struct credentials *credentials, bool tls, natsOptions *options,
                      struct fault *fault);
