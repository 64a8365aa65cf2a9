/* What the bus needs in JetStream: the stream AGENTOS and the key-value bucket agentos. They are made where they are missing, never
 * changed, and looked at again and again, since somebody may delete them. */
#pragma once

#include "supervisor/bus/requests.h"

enum { OBJECTS_LOOK_MS = 5000 };

struct objects_owner {
    struct loop *loop;
    struct requests *requests;                        /* requests_lost when one of them is not what it was */
    void (*ready)(void *context, const char *remark); /* both are there; "": as they should be */
    void (*failed)(void *context, const char *why);   /* they aren't; it is tried again */
    void *context;
};

struct objects;

struct objects *objects_new(const struct objects_owner *owner);
void objects_begin(struct objects *objects); /* connected */
void objects_end(struct objects *objects);
