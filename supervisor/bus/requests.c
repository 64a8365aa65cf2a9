#include "supervisor/bus/requests.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/memory.h"

const char REQUEST_NOBODY[] = "no subscriber takes it";

struct request {
    uint64_t serial; /* first: the tree finds requests by it */
    int64_t until;   /* clock_monotonic_ms */
    request_answered *answered;
    void *context;
    uint64_t number;
    TAILQ_ENTRY(request) link;
};

struct requests {
    struct loop *loop;
    struct connection **connection;
    void (*lost)(void *context, const char *why);
    void *context;
    uint64_t serial;
    void *all;                                /* tsearch: struct request by serial */
    TAILQ_HEAD(request_list, request) oldest; /* first */
    struct timer timer;
};

static int by_serial(const void *a, const void *b)
{
    const struct request *left = a, *right = b;
    return (left->serial > right->serial) - (left->serial < right->serial);
}

static void set_timer(struct requests *requests)
{
    const struct request *first = TAILQ_FIRST(&requests->oldest);
    if (first)
        timer_set(requests->loop, &requests->timer, first->until - clock_monotonic_ms());
    else
        timer_clear(requests->loop, &requests->timer);
}

static void drop(struct requests *requests, struct request *request)
{
    TAILQ_REMOVE(&requests->oldest, request, link);
    tdelete(request, &requests->all, by_serial);
    free(request);
}

/* The request is freed before its owner hears: the owner may forget all requests in the call. */
static void answer(struct requests *requests, struct request *request, const json_t *said, const char *why)
{
    struct request copy = *request;
    drop(requests, request);
    copy.answered(copy.context, copy.number, said, why);
}

static void expire(void *context)
{
    struct requests *requests = context;
    struct request *first;
    while ((first = TAILQ_FIRST(&requests->oldest)) && first->until <= clock_monotonic_ms())
        answer(requests, first, NULL, "the bus has not answered in time");
    set_timer(requests);
}

struct requests *requests_new(struct loop *loop, struct connection **connection,
                              void (*lost)(void *context, const char *why), void *context)
{
    struct requests *requests = memory_new(1, sizeof *requests);
    *requests = (struct requests){.loop = loop, .connection = connection, .lost = lost, .context = context};
    requests->timer = (struct timer){.ring = expire, .context = requests};
    TAILQ_INIT(&requests->oldest);
    return requests;
}

void requests_send(struct requests *requests, const char *subject, const struct header *headers,
                   size_t header_count, const void *bytes, size_t length, request_answered *answered,
                   void *context, uint64_t number)
{
    struct fault fault;
    struct request *request = memory_new(1, sizeof *request);
    *request = (struct request){.serial = ++requests->serial,
                                .until = clock_monotonic_ms() + REQUEST_MS,
                                .answered = answered,
                                .context = context,
                                .number = number};
    TAILQ_INSERT_TAIL(&requests->oldest, request, link);
    tsearch(request, &requests->all, by_serial);
    OWNED char *reply =
        memory_print("%s.r.%llu", requests_inbox(requests), (unsigned long long)request->serial);
    if (!connection_send(*requests->connection, subject, reply, headers, header_count, bytes, length, &fault))
        answer(requests, request, NULL, fault.text);
    if (!requests->timer.place)
        set_timer(requests);
}

void requests_ask(struct requests *requests, const char *subject, json_t *body, request_answered *answered,
                  void *context, uint64_t number)
{
    OWNED char *whole = memory_print("$JS.API.%s", subject);
    OWNED char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    requests_send(requests, whole, NULL, 0, text, text ? strlen(text) : 0, answered, context, number);
}

void requests_say(struct requests *requests, const char *subject, const char *reply, const char *text)
{
    connection_send(*requests->connection, subject, reply, NULL, 0, text, strlen(text), NULL);
}

bool requests_listen(struct requests *requests, const char *subject)
{
    return connection_listen(*requests->connection, subject);
}

const char *requests_inbox(const struct requests *requests)
{
    return connection_inbox(*requests->connection);
}

bool requests_hear(struct requests *requests, natsMsg *message)
{
    const char *subject = natsMsg_GetSubject(message), *inbox = requests_inbox(requests);
    size_t length = strlen(inbox);
    if (strncmp(subject, inbox, length) != 0 || strncmp(subject + length, ".r.", 3) != 0)
        return false;
    struct request wanted = {.serial = strtoull(subject + length + 3, NULL, 10)};
    struct request **found = tfind(&wanted, &requests->all, by_serial);
    if (!found)
        return true; /* the request's time is over */
    if (message_status(message) == 503) {
        answer(requests, *found, NULL, REQUEST_NOBODY);
        return true;
    }
    json_t *said = json_loadb(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message), 0, NULL);
    answer(requests, *found, json_is_object(said) ? said : NULL, "the answer is no JSON object");
    json_decref(said);
    return true;
}

void requests_forget(struct requests *requests)
{
    struct request *first;
    while ((first = TAILQ_FIRST(&requests->oldest)))
        drop(requests, first);
    set_timer(requests);
}

void requests_lost(struct requests *requests, const char *why)
{
    requests->lost(requests->context, why);
}

const char *request_error(const json_t *answer, int *code)
{
    const json_t *error = json_object_get(answer, "error");
    const char *said = json_string_value(json_object_get(error, "description"));
    *code = (int)json_integer_value(json_object_get(error, "err_code"));
    return error ? (said ? said : "an error without words") : NULL;
}

const char *message_header(natsMsg *message, const char *name)
{
    const char *value = NULL;
    return natsMsgHeader_Get(message, name, &value) == NATS_OK && value ? value : "";
}

int message_status(natsMsg *message)
{
    return natsMsg_GetDataLength(message) == 0 ? (int)strtol(message_header(message, "Status"), NULL, 10) : 0;
}

/* $JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERED.STREAM-SEQUENCE.CONSUMER-SEQUENCE.TIME.PENDING[.RANDOM] */
bool message_delivery(natsMsg *message, struct delivery *delivery)
{
    enum { SHORT = 9, LONG = 11, TOKENS = 12 };
    const char *reply = natsMsg_GetReply(message);
    OWNED char *copy = memory_text(reply ? reply : "");
    char *rest = copy, *tokens[TOKENS];
    size_t count = 0;
    for (char *token; count < TOKENS && (token = strsep(&rest, "."));)
        tokens[count++] = token;
    if ((count != SHORT && count < LONG) || strcmp(tokens[0], "$JS") != 0 || strcmp(tokens[1], "ACK") != 0)
        return false;
    char **at = tokens + (count == SHORT ? 2 : 4);
    *delivery = (struct delivery){.stream_sequence = strtoull(at[3], NULL, 10),
                                  .consumer_sequence = strtoull(at[4], NULL, 10),
                                  .pending = strtoull(at[6], NULL, 10)};
    strlcpy(delivery->stream, at[0], sizeof delivery->stream);
    strlcpy(delivery->consumer, at[1], sizeof delivery->consumer);
    return true;
}
