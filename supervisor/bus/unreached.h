/* Why a server can't be connected to, as a person would say it. */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>

#include "common/buffer.h"
#include "common/format/bus_address.h"

/* Explains libnats's end of an attempt: "tls://host:4222: its certificate is for another host". credentials: some are
 * set. May take a few seconds: where libnats doesn't say why, a connection is tried. */
void unreached_explain(const struct bus_server *server, natsStatus status, const char *said, bool credentials,
                       struct buffer *why);
/* The text without libnats's "(file.c:line): ". Borrowed from text; never NULL. */
const char *unreached_text(const char *text);
