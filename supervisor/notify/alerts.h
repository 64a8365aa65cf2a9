/* Alerts (`notify` of agents.yaml): from the occasion to a hook's 2xx.
 *
 * Each hook that wants an alert has a message of its own for it (alert.h), in a file before it is sent and until the
 * hook has answered 2xx; so a message may arrive twice, with the same webhook-id, and none is lost by the end of any
 * process. One message of a hook is under way at a time, the oldest first. A failure is tried again after a pause
 * that doubles from 1 s to ALERT_PAUSE_MOST_MS, with jitter, or after the hook's Retry-After (a day at most); after
 * ALERT_DAYS days a message is given up. A hook that answers 410 gets nothing more until agents.yaml is applied anew.
 *
 * Alerts of one kind that come within ALERT_BURST_MS become one message; while a hook fails that time grows, and with
 * ALERTS_MOST messages for it every further alert joins the newest of its kind. So the cost of a hook that is down is
 * bounded.
 *
 * A message is signed for each try, with the secret as its file has it then: no process keeps the secret. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/format/roster.h"
#include "common/message.h"
#include "supervisor/process/loop.h"

enum {
    ALERT_BURST_MS = 1000,
    ALERT_PAUSE_MS = 1000,
    ALERT_PAUSE_MOST_MS = 5 * 60 * 1000,
    ALERT_DAYS = 3,
    ALERTS_MOST = 64 /* messages for one hook */
};

struct alerts;

struct alerts_owner {
    struct loop *loop;
    int data;                                                        /* descriptor of DATA_DIR */
    bool (*to_gateway)(void *context, const struct buffer *message); /* false: the gateway isn't there now */
    void *context;
};

/* Takes up the files of the hooks that the roster has, and removes the others'. */
struct alerts *alerts_open(const struct alerts_owner *owner, const struct roster *roster);
void alerts_close(struct alerts *alerts); /* NULL is fine; undelivered messages stay in their files */
/* agents.yaml was applied: the roster has the present hooks. All are tried at once. */
void alerts_roster(struct alerts *alerts, const struct roster *roster);

bool alerts_wanted(const struct alerts *alerts, enum alert_kind kind); /* by any hook */
/* data: the alert's data; taken. */
void alerts_raise(struct alerts *alerts, enum alert_kind kind, json_t *data);

bool alerts_notified(struct alerts *alerts, struct reader *message); /* NOTIFIED. False: malformed */
void alerts_gateway_started(struct alerts *alerts);

void alerts_problems(const struct alerts *alerts, struct buffer *lines); /* a sentence a line */
size_t alerts_pending(const struct alerts *alerts);                      /* messages not delivered yet */
