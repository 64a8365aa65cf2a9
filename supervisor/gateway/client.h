/* HTTP requests through libcurl's multi interface, on the process's loop: any number at once in one thread, with
 * connections kept alive and shared by all agents.
 *
 * TLS is verified against the system's authorities. Only http and https; no redirect is followed; no .netrc is read.
 * A proxy is the request's own; the environment's are not looked at. HTTP/2 over TLS where the server offers it, else HTTP/1.1. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/proxy.h"
#include "supervisor/process/loop.h"

struct client;
struct transfer;

struct client_result;
typedef void client_done(void *context, const struct client_result *result);

struct client_request {
    const char *url;
    const struct proxy *proxy;  /* borrowed likewise; NULL, or one of zeros: none */
    struct curl_slist *headers; /* this and body are borrowed until the transfer is done or cancelled */
    const char *body;
    size_t length;
    int64_t timeout_ms; /* for the whole transfer, while this process runs */
    size_t body_most;   /* bytes of a response's body; 0: as many as a reply of a model may have */
    client_done *done;
};

/* All fields are borrowed, until client_done returns. */
struct client_result {
    /* NULL: a whole response came; else the reason that it didn't, a sentence's second half. */
    const char *error;
    bool passing;   /* another try may get past the error */
    bool unheard;   /* a connection that had been used before ended without a word, as an old one may */
    bool timed_out; /* the request was sent, and its time is over */
    bool sent;      /* the server may have got the request, and been paid for it */
    long status;
    const char *
        proxy; /* the proxy's name, where the proxy may have spoken or failed; NULL: surely not, or there is none */
    const char *content_type, *location, *retry_after, *retry_after_ms; /* NULL: no such header */
    const struct buffer *body;
};

struct client *client_open(struct loop *loop, struct fault *fault); /* NULL and fault */

/* Adds a line to a request's headers, which the caller frees; without memory for the line the headers stay as they are. */
void client_header(struct curl_slist **headers, const char *line);

/* The loop calls done with context, never client_start itself. NULL and fault: the transfer could not even be
 * started. */
struct transfer *client_start(struct client *client, const struct client_request *request, void *context,
                              struct fault *fault);
void client_cancel(struct client *client, struct transfer *transfer); /* done is not called */

bool client_busy(const struct client *client); /* a transfer is under way */
/* This process did not run for that time (it was stopped, or its container was paused): no request's time went by. */
void client_stood_still(struct client *client, int64_t milliseconds);
