/* An envelope (contract section 9): Markdown with YAML front matter, one piece of IAC. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

enum {
    ENVELOPE_MAX = 256 * 1024, /* bytes: the whole file as it is sent, or put somewhere by hand */
    ENVELOPE_FILE_MAX = ENVELOPE_MAX + 4096, /* and with what its head has been told of its way since */
    HOPS_MAX = 16
};

enum envelope_kind {
    KIND_HANDOFF,
    KIND_MESSAGE,
    KIND_RESULT,
    KIND_BOUNCE,
    KIND_ITEM,
    KIND_TASK,
    KIND_SEGMENT
};
/* The traits in which kinds differ for all code that handles envelopes; the table is in envelope.c. */
enum kind_trait {
    KIND_IS_WORK = 1, /* lies in the receiver's handoffs/ and is done; its good end is "finished" */
    KIND_IS_MAIL = 2, /* lies in the receiver's inbox/ and is read along with work; its good end is "read" */
    KIND_STARTS_CYCLE = 4,  /* by itself; envelopes of other kinds wait until a cycle reads them */
    KIND_EXPECTS_ANSWER = 8 /* takes a place in a window, and its sender is told of a bad end */
};
enum priority { PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW };

/* KIND_TASK: a task of the agent's own queue that became a dead letter; it never travels. KIND_SEGMENT: a write to a
 * shared segment, on its way through the writer's outbox like every envelope that leaves a tree. status: pending
 * (outbox), deferred, delivered, reading, finished, read, expired, refused, failed. */
struct envelope {
    char *id;
    enum envelope_kind kind;
    char *from, *to;     /* agent names; "operator" for people; "queue:NAME" for items, "segment:NAME" */
    int64_t created;     /* epoch seconds */
    int64_t ttl_seconds; /* 0: never expires */
    enum priority priority;
    char *status;
    int64_t attempts, hops;
    char *trace;
    char *in_reply_to, *reason;        /* NULL: not yet true */
    int64_t delivered, read, finished; /* 0: not yet true */
    char *lock;                        /* KIND_TASK: the lock that its block asked for; NULL: none */
    char *consumer;                    /* the consumer that has the item now; NULL: none */
    int64_t base_version; /* KIND_SEGMENT: the version that the writer saw; 0: none, or another kind */
    char *body;
};

const char *envelope_kind_name(enum envelope_kind kind);
bool envelope_kind_has(enum envelope_kind kind, enum kind_trait trait);
const char *envelope_kind_end(enum envelope_kind kind); /* the status of its good end */
/* A status in which nothing more happens to an envelope. */
bool envelope_final(const char *status);
const char *priority_name(enum priority priority);
bool priority_parse(const char *text, enum priority *priority); /* high, normal, low in any case */

/* Fields that are missing get their defaults (priority normal, ttl 0, attempts 0, hops 1); id, kind, from, to
 * and created must be there. Unknown keys are kept out. Numbers
 * may be quoted. Text over ENVELOPE_FILE_MAX is a fault that names its size. */
bool envelope_parse(struct envelope *envelope, const char *text, size_t length, const char *name,
                    struct fault *fault);
/* Whether a file of so many bytes may be this envelope: at most ENVELOPE_MAX, until it was delivered or taken in hand. */
bool envelope_fits(const struct envelope *envelope, size_t size);
void envelope_print(const struct envelope *envelope, struct buffer *out); /* appends the whole file */
void envelope_free(struct envelope *envelope);

#define OWNED_ENVELOPE __attribute__((cleanup(envelope_free)))
