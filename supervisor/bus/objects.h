/* The bus's objects in JetStream: the stream AGENTOS and the key-value bucket agentos. A missing object is made; an
 * existing one is never changed, and looked at again and again, since somebody may delete it. */
#pragma once

#include "supervisor/bus/requests.h"

enum {
    OBJECTS_LOOK_MS = 5000,
    /* From the news that a stream was deleted to the making of another: nats-server 2.9 tells of it before it takes the
     * stream's files away, and took those of a stream that was made within some milliseconds, so that its consumers got
     * nothing ever after. */
    OBJECTS_DELETED_MS = 1000
};

struct objects_owner {
    struct loop *loop;
    /* requests_lost is called when an object is not the former one. */
    struct requests *requests;
    /* Both objects are there; remark "": as they should be. */
    void (*ready)(void *context, const char *remark);
    void (*failed)(void *context, const char *why); /* an object is missing; another try follows */
    void *context;
};

struct objects;

struct objects *objects_new(const struct objects_owner *owner);
void objects_begin(struct objects *objects); /* connected */
void objects_again(struct objects *objects); /* an object was deleted */
void objects_end(struct objects *objects);
