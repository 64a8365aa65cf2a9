/* AGENTOS_BUS (contract section 12): the NATS servers that agents in other supervisors are reached by. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

enum { BUS_SERVERS_MAX = 16, BUS_HOST_MAX = 256 };

struct bus_server {
    char host[BUS_HOST_MAX]; /* without the brackets of an IPv6 address */
    uint16_t port;
    char url[BUS_HOST_MAX + 16]; /* nats://host:port */
};

struct bus_servers {
    struct bus_server list[BUS_SERVERS_MAX];
    size_t count;
    bool tls;
};

/* Several URLs stand with commas between them, all nats:// or all tls://. False: why not, a sentence whose subject is the
 * setting. */
bool bus_servers_parse(const char *text, struct bus_servers *servers, struct fault *fault);
/* The settings of the bus, if AGENTOS_BUS is set; sentences are added to faults. */
bool bus_settings_check(struct buffer *faults);
