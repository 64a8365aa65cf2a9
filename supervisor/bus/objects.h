/* The bus's objects in JetStream: the stream AGENTOS and the key-value bucket agentos. A missing object is made; an
 * existing one is never changed, and looked at again and again, since somebody may delete it. */
#pragma once

#include "supervisor/bus/requests.h"

enum { OBJECTS_LOOK_MS = 5000 };

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
void objects_end(struct objects *objects);
