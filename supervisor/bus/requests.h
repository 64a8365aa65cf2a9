/* Requests to NATS that are answered with JSON: JetStream's own questions, messages for a stream, values for the
 * bucket. A request's end comes once: the answer, or that nobody is there, or that no answer came in time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisor/bus/connection.h"

enum { REQUEST_MS = 5000 };

extern const char
    REQUEST_NOBODY[]; /* a why: nobody takes this subject, so the stream, or JetStream, isn't there */

/* answer: an object, borrowed; NULL: why tells the reason that there is none. */
typedef void request_answered(void *context, uint64_t number, const json_t *answer, const char *why);

struct requests;

/* lost: stream or bucket are not the former ones (requests_lost). */
struct requests *requests_new(struct loop *loop, struct connection **connection,
                              void (*lost)(void *context, const char *why), void *context);
/* number is the caller's own. A request that can't be sent is answered within the call. */
void requests_send(struct requests *requests, const char *subject, const struct header *headers,
                   size_t header_count, const void *bytes, size_t length, request_answered *answered,
                   void *context, uint64_t number);
/* "$JS.API." before subject; body (may be NULL) is freed. */
void requests_ask(struct requests *requests, const char *subject, json_t *body, request_answered *answered,
                  void *context, uint64_t number);
/* Sends a message that has no answer. */
void requests_say(struct requests *requests, const char *subject, const char *reply, const char *text);
bool requests_listen(struct requests *requests, const char *subject); /* connection_listen */
const char *requests_inbox(const struct requests *requests);
/* True: the message was the answer to a request. */
bool requests_hear(struct requests *requests, natsMsg *message);
void requests_forget(struct requests *requests); /* no owner is told */
/* The owner begins anew: every earlier request is forgotten within the call. */
void requests_lost(struct requests *requests, const char *why);

/* The error that JetStream answers with, in its words, and its number (err_code); NULL: the answer is no error.
 * Borrowed. */
const char *request_error(const json_t *answer, int *code);
enum {
    ERROR_STREAM_NOT_FOUND = 10059,
    ERROR_OTHER_SEQUENCE = 10071,
    ERROR_STORE_FAILED = 10077,
    ERROR_NOT_ENABLED = 10076,
    ERROR_NOT_FOR_ACCOUNT = 10039
};

/* A header's value, "" where there is none. Borrowed. */
const char *message_header(natsMsg *message, const char *name);
/* The status of a message of the server's own ("409"); 0: the message is another. */
int message_status(natsMsg *message);

/* The facts in the reply subject of a stream's message. */
struct delivery {
    char stream[64], consumer[128];
    uint64_t stream_sequence, consumer_sequence, pending;
};
bool message_delivery(natsMsg *message, struct delivery *delivery);
