/* The followed subjects: a durable pull consumer for each, with explicit acknowledgement. A message is asked for only
 * when there is room for it, and while the supervisor has it in hand the server hears that it is worked on. */
#pragma once

#include "supervisor/bus/requests.h"

enum {
    CONSUMER_TOKENS_MAX = 256,            /* of a subject, at once */
    CONSUMER_BYTES_MAX = 4 * 1024 * 1024, /* bytes that one question may bring */
    CONSUMER_ASKS_MS = 30 * 1000,         /* how long a question waits at the server */
    CONSUMER_ACK_MS = 15 * 1000,          /* after that the messages of a node that is gone come again */
    CONSUMER_TICK_MS = 5 * 1000,
};

struct consumers_owner {
    struct loop *loop;
    struct requests *requests;
    void (*arrived)(void *context, uint64_t token, natsMsg *message);
    void *context;
};

struct consumers;

struct consumers *consumers_new(const struct consumers_owner *owner);
/* Whether the subject is one of the stream's: agentos.KIND.NAME. */
bool consumers_know(const char *subject);
/* Sticky: holds also while there is no stream. False: the subject is not known. */
bool consumers_follow(struct consumers *consumers, const char *subject, bool follow);
void consumers_begin(struct consumers *consumers); /* the stream is there */
void consumers_end(struct consumers *consumers);   /* the stream is gone; tokens are void */
/* Messages from the server were dropped unseen, and perhaps the ends of questions with them: every subject is asked for
 * anew. The server hands the messages out again after CONSUMER_ACK_MS. */
void consumers_dropped(struct consumers *consumers);
/* ms: MESSAGE_NOWHERE: acknowledged; else the message comes again after that time. An unknown token is passed over. */
void consumers_settle(struct consumers *consumers, uint64_t token, uint64_t ms);
/* True: the message was a consumer's. */
bool consumers_hear(struct consumers *consumers, natsMsg *message);
