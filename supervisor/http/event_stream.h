/* The stream of events (server-sent events, WHATWG HTML section 9.2): the supervisor's events for followers, shared
 * by all clients. One call follows for all of them; the newest EVENTS_KEPT events stay here, so that a client that
 * comes back with Last-Event-ID gets the events that it has missed, and a client that reads too slowly loses events
 * and is told how many.
 *
 * The ids hold for the life of this process; to an id of another process the answer begins with an event `lost`. */
#pragma once

#include <microhttpd.h>

#include "supervisor/http/calls.h"

enum {
    EVENT_STREAMS_MAX = 32,
    EVENTS_KEPT = 1024,
    EVENT_BEAT_MS = 15 * 1000,   /* a comment, when nothing happens: proxies end silent connections */
    EVENT_STALL_MS = 60 * 1000,  /* a client that takes nothing for this time is cut off */
    EVENT_LINGER_MS = 60 * 1000, /* the call follows on for this time without a client */
};

struct event_stream;

struct event_stream *event_stream_new(struct calls *calls, struct loop *loop); /* borrowed */
/* The response that goes on until the client leaves; last_id: its Last-Event-ID, NULL: none. NULL: too many clients
 * follow already, or the supervisor takes no questions now. */
struct MHD_Response *event_stream_response(struct event_stream *events, struct MHD_Connection *connection,
                                           const char *last_id);
