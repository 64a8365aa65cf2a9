#include "supervisor/bus/bucket.h"

#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"

static const char stream[] = "KV_agentos", above[] = "$KV.agentos.";

#define MS_NS INT64_C(1000000)

enum { BEATS_MISSED = 3 };

/* A deleted key: its revision is that of its mark, which a new value has to name. */
struct gone {
    char *key; /* owned; first: the tree finds marks by it */
    uint64_t revision;
};

struct bucket {
    struct bucket_owner owner;
    void *gone; /* tsearch: struct gone by key */
    bool begun;
    unsigned watches;  /* begun so far: a watch's name is made of the number */
    char watch[64];    /* the consumer's name; "": none */
    uint64_t sequence; /* of its last message */
    bool whole;        /* every key has been told */
    int64_t heard_at;  /* clock_monotonic_ms */
    struct timer timer;
};

static void remember(struct bucket *bucket, const char *key, bool gone, uint64_t revision)
{
    struct gone *there = names_find(&bucket->gone, key);
    if (there && !gone) {
        tdelete(there, &bucket->gone, names_order);
        free(there->key);
        free(there);
    } else if (gone) {
        if (!there) {
            there = memory_new(1, sizeof *there);
            there->key = memory_text(key);
            tsearch(there, &bucket->gone, names_order);
        }
        there->revision = revision;
    }
}

/* --- the watch --- */

static void is_whole(struct bucket *bucket)
{
    if (!bucket->whole)
        bucket->owner.key(bucket->owner.context, NULL, NULL, 0);
    bucket->whole = true;
}

static void watched(void *context, uint64_t number, const json_t *answer, const char *why)
{
    struct bucket *bucket = context;
    int code = 0;
    if (why == REQUEST_NOBODY || (answer && request_error(answer, &code) && code == ERROR_STREAM_NOT_FOUND))
        requests_lost(bucket->owner.requests, "the bucket agentos was deleted, and is made anew");
    else if (!answer || request_error(answer, &code) || number != bucket->watches)
        return; /* the timer begins another watch */
    else if (json_integer_value(json_object_get(answer, "num_pending")) == 0 && bucket->sequence == 0)
        is_whole(bucket);
}

/* A watch tells the last value of each key, and then each change. The watch lives in the server's memory, and ends
 * with this connection. */
static void watch(struct bucket *bucket)
{
    struct requests *requests = bucket->owner.requests;
    OWNED char *before = memory_print("$JS.API.CONSUMER.DELETE.%s.%s", stream, bucket->watch);
    if (*bucket->watch)
        requests_say(requests, before, NULL, "");
    snprintf(bucket->watch, sizeof bucket->watch, "watch-%08x-%u", arc4random(), ++bucket->watches);
    bucket->sequence = 0;
    bucket->whole = false;
    bucket->heard_at = clock_monotonic_ms();
    OWNED char *subject = memory_print("CONSUMER.CREATE.%s.%s", stream, bucket->watch);
    OWNED char *deliver = memory_print("%sw.%u", requests_inbox(requests), bucket->watches);
    (void)requests_listen(requests, deliver); /* in vain: the timer begins another watch */
    requests_ask(requests, subject,
                 json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:b, s:i}}", "stream_name",
                           stream, "config", "name", bucket->watch, "deliver_policy", "last_per_subject",
                           "filter_subject", "$KV.agentos.>", "ack_policy", "none", "replay_policy",
                           "instant", "deliver_subject", deliver, "flow_control", 1, "idle_heartbeat",
                           (json_int_t)(BUCKET_HEARTBEAT_MS * MS_NS), "mem_storage", 1, "num_replicas", 1),
                 watched, bucket, bucket->watches);
    timer_set(bucket->owner.loop, &bucket->timer, BUCKET_HEARTBEAT_MS * BEATS_MISSED);
}

static void missed(void *context)
{
    struct bucket *bucket = context;
    int64_t silent = clock_monotonic_ms() - bucket->heard_at;
    if (silent >= BUCKET_HEARTBEAT_MS * BEATS_MISSED)
        watch(bucket);
    else
        timer_set(bucket->owner.loop, &bucket->timer, BUCKET_HEARTBEAT_MS * BEATS_MISSED - silent);
}

/* Heartbeats tell the last message's number, and a server that waits for this node wants an answer. */
static void hear_status(struct bucket *bucket, natsMsg *message)
{
    const char *last = message_header(message, "Nats-Last-Consumer"),
               *stalled = message_header(message, "Nats-Consumer-Stalled"),
               *reply = natsMsg_GetReply(message);
    bucket->heard_at = clock_monotonic_ms();
    if (*stalled || reply)
        requests_say(bucket->owner.requests, *stalled ? stalled : reply, NULL, "");
    if (*last && strtoull(last, NULL, 10) != bucket->sequence)
        watch(bucket);
}

static void hear_key(struct bucket *bucket, natsMsg *message, const struct delivery *delivery)
{
    const char *key = natsMsg_GetSubject(message) + strlen(above);
    const char *operation = message_header(message, "KV-Operation");
    bool gone = strcmp(operation, "DEL") == 0 || strcmp(operation, "PURGE") == 0;
    OWNED char *value = memory_slice(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    remember(bucket, key, gone, delivery->stream_sequence);
    bucket->owner.key(bucket->owner.context, key, gone ? NULL : value, delivery->stream_sequence);
    if (delivery->pending == 0)
        is_whole(bucket);
}

bool bucket_hear(struct bucket *bucket, natsMsg *message)
{
    struct delivery delivery;
    const char *subject = natsMsg_GetSubject(message), *inbox = requests_inbox(bucket->owner.requests);
    size_t length = strlen(inbox);
    if (strncmp(subject, inbox, length) == 0 && strncmp(subject + length, "w.", 2) == 0) {
        if (bucket->begun && strtoul(subject + length + 2, NULL, 10) == bucket->watches)
            hear_status(bucket, message);
        return true;
    }
    if (!message_delivery(message, &delivery) || strcmp(delivery.stream, stream) != 0 ||
        strncmp(subject, above, strlen(above)) != 0)
        return false;
    if (!bucket->begun || strcmp(delivery.consumer, bucket->watch) != 0)
        return true; /* of an earlier watch */
    bucket->heard_at = clock_monotonic_ms();
    if (delivery.consumer_sequence != bucket->sequence + 1) {
        watch(bucket); /* a message was lost on the way */
        return true;
    }
    bucket->sequence++;
    hear_key(bucket, message, &delivery);
    return true;
}

/* --- values --- */

static void answered(void *context, uint64_t ticket, const json_t *answer, const char *why)
{
    struct bucket *bucket = context;
    int code = 0;
    const char *error = answer ? request_error(answer, &code) : why;
    if (error && code == ERROR_OTHER_SEQUENCE)
        error = MESSAGE_OTHER_REVISION;
    uint64_t revision = error ? 0 : (uint64_t)json_integer_value(json_object_get(answer, "seq"));
    bucket->owner.kept(bucket->owner.context, ticket, revision, error ? error : "");
    if (why == REQUEST_NOBODY)
        requests_lost(bucket->owner.requests, "the bucket agentos was deleted, and is made anew");
}

static bool good_key(const char *key)
{
    for (const char *at = key; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("-_/=.", *at))
            return false;
    return *key && *key != '.' && key[strlen(key) - 1] != '.' && !strstr(key, "..");
}

void bucket_put(struct bucket *bucket, const struct bucket_put *put)
{
    char revision[24];
    struct header headers[2];
    size_t count = 0;
    if (!good_key(put->key)) {
        bucket->owner.kept(bucket->owner.context, put->ticket, 0, "that is no key");
        return;
    }
    const struct gone *gone = put->revision == 0 ? names_find(&bucket->gone, put->key) : NULL;
    snprintf(revision, sizeof revision, "%llu", (unsigned long long)(gone ? gone->revision : put->revision));
    if (put->revision != MESSAGE_NOWHERE)
        headers[count++] = (struct header){"Nats-Expected-Last-Subject-Sequence", revision};
    if (!put->value)
        headers[count++] = (struct header){"KV-Operation", "DEL"};
    OWNED char *subject = memory_print("%s%s", above, put->key);
    const char *value = put->value ? put->value : "";
    requests_send(bucket->owner.requests, subject, headers, count, value, strlen(value), answered, bucket,
                  put->ticket);
}

struct bucket *bucket_new(const struct bucket_owner *owner)
{
    struct bucket *bucket = memory_new(1, sizeof *bucket);
    bucket->owner = *owner;
    bucket->timer = (struct timer){.ring = missed, .context = bucket};
    return bucket;
}

static void free_gone(void *gone)
{
    struct gone *one = gone;
    free(one->key);
    free(one);
}

void bucket_begin(struct bucket *bucket)
{
    bucket_end(bucket);
    bucket->begun = true;
    watch(bucket);
}

void bucket_end(struct bucket *bucket)
{
    bucket->begun = false;
    *bucket->watch = '\0';
    timer_clear(bucket->owner.loop, &bucket->timer);
    tdestroy(bucket->gone, free_gone);
    bucket->gone = NULL;
}
