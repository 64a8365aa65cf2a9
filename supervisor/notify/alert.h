/* A message to a hook: an alert, or a burst of alerts of one kind. Its body is
 *
 *     {"type": "dead_letter", "timestamp": "2026-04-29T10:05:00Z", "data": {…, "count": 3, "more": [{…}, {…}]}}
 *
 * where data has the first alert's keys, and more those of the next ones, ALERT_DETAILS in all. The message is kept
 * in DATA_DIR/shared/notify/ID.json, with its hook, until it is delivered. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/format/roster.h"

enum { ALERT_DETAILS = 20, ALERT_TEXT_MOST = 500 /* bytes of a text */ };

struct alert {
    TAILQ_ENTRY(alert) link;
    char *id; /* of the file, and webhook-id; sorts by time */
    enum alert_kind kind;
    json_t *body;
    int64_t created;   /* epoch s */
    int64_t raised_ms; /* monotonic */
    bool closed;       /* the message may have been sent: it stays as it is */
    bool stale;        /* the message's file lacks a part of the body, or isn't flushed */
};

json_t *alert_text(const char *text); /* as JSON: shown safely, and cut; NULL counts as "" */

struct alert *alert_new(enum alert_kind kind, const json_t *data);
void alert_add(struct alert *alert, const json_t *data); /* the alert joins the burst */
size_t alert_count(const struct alert *alert);
char *alert_body(const struct alert *alert); /* as the gateway sends it and it is signed; caller frees */
void alert_free(struct alert *alert);

/* hook: the key that tells hooks apart (alerts.c); host: for people. */
bool alert_write(int data, struct alert *alert, const char *hook, const char *host, bool durable,
                 struct fault *fault);
void alert_remove(int data, const struct alert *alert); /* the file; a failure is logged */
/* Each file in the order of the ids: take owns the alert. Returns how many files are no alerts, and were set aside. */
size_t alert_load_all(int data,
                      void (*take)(void *context, const char *hook, const char *host, struct alert *alert),
                      void *context);
