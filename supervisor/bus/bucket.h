/* The key-value bucket agentos: watched as a whole, and written by revision. */
#pragma once

#include "supervisor/bus/requests.h"

enum { BUCKET_HEARTBEAT_MS = 5 * 1000 /* of the watch; three missing heartbeats begin it anew */ };

struct bucket_owner {
    struct loop *loop;
    struct requests *requests;
    /* key NULL: every key has been told. value NULL: the key is gone. */
    void (*key)(void *context, const char *key, const char *value, uint64_t revision);
    void (*kept)(void *context, uint64_t ticket, uint64_t revision, const char *why);
    void *context;
};

struct bucket_put {
    uint64_t ticket, revision; /* revision 0: the key must not be there; MESSAGE_NOWHERE: any */
    const char *key, *value;   /* NULL: delete */
};

struct bucket;

struct bucket *bucket_new(const struct bucket_owner *owner);
void bucket_begin(struct bucket *bucket);
void bucket_end(struct bucket *bucket);
void bucket_put(struct bucket *bucket, const struct bucket_put *put);
bool bucket_hear(struct bucket *bucket, natsMsg *message); /* true: the message was the watch's */
