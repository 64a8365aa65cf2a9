/* Alerts are posted for the supervisor, which names the URL and tries again (Standard Webhooks: the gateway sends its
 * headers with a body that is signed already). A post is one try of WEBHOOK_MS at most; no redirect is followed, no
 * key of a model is sent, and of the response only the status and Retry-After count. */
#pragma once

#include <stdint.h>

#include "supervisor/gateway/client.h"
#include "supervisor/gateway/keys.h"
#include "supervisor/process/report.h"

enum {
    WEBHOOK_MS = 15 * 1000,
    WEBHOOK_BODY_MOST = 64 * 1024,
    WEBHOOKS_MOST = 32,                         /* posts at once */
    WEBHOOK_PAUSE_MOST_MS = 24 * 60 * 60 * 1000 /* the longest Retry-After that counts */
};

struct webhooks_setup {
    struct client *client;
    const struct keys *keys; /* for the proxy, and to mask told texts */
    struct report *report;   /* gets NOTIFIED */
};

/* All fields are owned; signature is "" where there is none. */
struct webhook {
    char *url, *id, *timestamp, *signature, *body;
};

struct webhooks;
struct webhooks *webhooks_open(const struct webhooks_setup *setup);

/* The post is answered by one NOTIFIED of this serial. Takes hook. */
void webhooks_post(struct webhooks *webhooks, uint64_t serial, const struct webhook *hook);
void webhook_free(struct webhook *hook);
