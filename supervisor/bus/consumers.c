#include "supervisor/bus/consumers.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"

static const char stream[] = "AGENTOS", above[] = "agentos.";

#define MS_NS INT64_C(1000000)

struct consumer {
    char *name;    /* owned; "agent-orion" for agentos.agent.orion. First: the tree finds consumers by it */
    char *subject; /* owned */
    struct consumers *consumers;
    bool there;        /* the server has the consumer, as far as is known */
    unsigned in_hand;  /* tokens */
    unsigned asked;    /* messages that the last question may still bring; 0: no question is out */
    int64_t asked_at;  /* clock_monotonic_ms */
    uint64_t question; /* the last question's number: an earlier question's end is passed over */
};

struct token {
    uint64_t number; /* first: the tree finds tokens by it */
    char *consumer;  /* the consumer's name; its subject may not be followed any more. Owned */
    char *reply;     /* owned */
    int64_t told_at; /* clock_monotonic_ms: when the server was last told that the message is worked on */
    TAILQ_ENTRY(token) link;
};

struct consumers {
    struct consumers_owner owner;
    bool begun;
    void *all; /* tsearch: struct consumer by name */
    uint64_t token, question;
    void *tokens;                          /* tsearch: struct token by number */
    TAILQ_HEAD(token_list, token) longest; /* the longest untold first */
    struct timer tick;
};

static int by_number(const void *a, const void *b)
{
    const struct token *left = a, *right = b;
    return (left->number > right->number) - (left->number < right->number);
}

/* "agent-orion"; NULL: no subject of the stream. */
static char *name_of(const char *subject)
{
    size_t length = strlen(above);
    const char *dot = strncmp(subject, above, length) == 0 ? strchr(subject + length, '.') : NULL;
    if (!dot || !dot[1] || strpbrk(dot + 1, ". *>"))
        return NULL;
    return memory_print("%.*s-%s", (int)(dot - subject - (ptrdiff_t)length), subject + length, dot + 1);
}

bool consumers_know(const char *subject)
{
    OWNED char *name = name_of(subject);
    return name && (strncmp(name, "agent-", 6) == 0 || strncmp(name, "node-", 5) == 0);
}

/* --- asking for messages --- */

static void ask(struct consumer *consumer)
{
    struct consumers *consumers = consumer->consumers;
    struct requests *requests = consumers->owner.requests;
    if (!consumers->begun || !consumer->there || consumer->asked ||
        consumer->in_hand > CONSUMER_TOKENS_MAX / 2)
        return;
    consumer->asked = CONSUMER_TOKENS_MAX - consumer->in_hand;
    consumer->asked_at = clock_monotonic_ms();
    consumer->question = ++consumers->question;
    OWNED char *subject = memory_print("$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, consumer->name);
    OWNED char *reply = memory_print("%s.p.%llu.%s", requests_inbox(requests),
                                     (unsigned long long)consumer->question, consumer->name);
    OWNED char *text = memory_print("{\"batch\":%u,\"max_bytes\":%d,\"expires\":%lld}", consumer->asked,
                                    CONSUMER_BYTES_MAX, (long long)(CONSUMER_ASKS_MS * MS_NS));
    requests_say(requests, subject, reply, text);
}

static void created(void *context, uint64_t number, const json_t *answer, const char *why)
{
    (void)number;
    struct consumers *consumers = context;
    int code = 0;
    const char *name = json_string_value(json_object_get(answer, "name"));
    if ((answer && request_error(answer, &code) && code == ERROR_STREAM_NOT_FOUND) || why == REQUEST_NOBODY) {
        requests_lost(consumers->owner.requests, "the stream AGENTOS was deleted, and is made anew");
        return;
    }
    struct consumer *consumer = answer && name ? names_find(&consumers->all, name) : NULL;
    if (!consumer) /* the tick tries the consumer again */
        return;
    consumer->there = true;
    ask(consumer);
}

static void create(struct consumer *consumer)
{
    OWNED char *subject = memory_print("CONSUMER.DURABLE.CREATE.%s.%s", stream, consumer->name);
    requests_ask(consumer->consumers->owner.requests, subject,
                 json_pack("{s:s, s:{s:s, s:s, s:s, s:I, s:i, s:s, s:s, s:i}}", "stream_name", stream,
                           "config", "durable_name", consumer->name, "deliver_policy", "all", "ack_policy",
                           "explicit", "ack_wait", (json_int_t)(CONSUMER_ACK_MS * MS_NS), "max_deliver", -1,
                           "filter_subject", consumer->subject, "replay_policy", "instant", "max_ack_pending",
                           CONSUMER_TOKENS_MAX),
                 created, consumer->consumers, 0);
}

static void removed(void *context, uint64_t number, const json_t *answer, const char *why)
{
    (void)number;
    (void)answer;
    (void)why;
    (void)context;
}

/* The consumer is made anew, so that messages that another node, or this one before, had in hand come at once: a work
 * queue's stream has every message that is not acknowledged. Both questions go over the same connection, so the
 * server takes them in this order. */
static void begin(struct consumer *consumer)
{
    OWNED char *subject = memory_print("CONSUMER.DELETE.%s.%s", stream, consumer->name);
    consumer->there = false;
    consumer->in_hand = consumer->asked = 0;
    requests_ask(consumer->consumers->owner.requests, subject, NULL, removed, NULL, 0);
    create(consumer);
}

static void end_question(struct consumer *consumer, int status, const char *words)
{
    consumer->asked = 0;
    if (status == 503 || strcasecmp(words, "Consumer Deleted") == 0) {
        consumer->there = false; /* another node follows the subject too, or somebody has deleted it */
        create(consumer);
    } else if (status == 404 || status == 408 || strcasestr(words, "MaxBytes"))
        ask(consumer);
    /* else the tick asks again */
}

static bool hear_status(struct consumers *consumers, natsMsg *message, int status)
{
    const char *subject = natsMsg_GetSubject(message), *inbox = requests_inbox(consumers->owner.requests);
    size_t length = strlen(inbox);
    if (strncmp(subject, inbox, length) != 0 || strncmp(subject + length, ".p.", 3) != 0)
        return false;
    char *behind;
    uint64_t question = strtoull(subject + length + 3, &behind, 10);
    struct consumer *consumer = *behind == '.' ? names_find(&consumers->all, behind + 1) : NULL;
    if (consumer && consumer->question == question && status != 100)
        end_question(consumer, status, message_header(message, "Description"));
    return true;
}

/* --- tokens --- */

static void drop(struct consumers *consumers, struct token *token)
{
    TAILQ_REMOVE(&consumers->longest, token, link);
    tdelete(token, &consumers->tokens, by_number);
    free(token->consumer);
    free(token->reply);
    free(token);
}

bool consumers_hear(struct consumers *consumers, natsMsg *message)
{
    struct delivery delivery;
    int status = message_status(message);
    if (status)
        return hear_status(consumers, message, status);
    if (!message_delivery(message, &delivery) || strcmp(delivery.stream, stream) != 0)
        return false;
    struct consumer *consumer = names_find(&consumers->all, delivery.consumer);
    if (!consumer) { /* not followed any more: another node may have the message at once */
        requests_say(consumers->owner.requests, natsMsg_GetReply(message), NULL, "-NAK");
        return true;
    }
    struct token *token = memory_new(1, sizeof *token);
    *token = (struct token){.number = ++consumers->token,
                            .consumer = memory_text(consumer->name),
                            .reply = memory_text(natsMsg_GetReply(message)),
                            .told_at = clock_monotonic_ms()};
    tsearch(token, &consumers->tokens, by_number);
    TAILQ_INSERT_TAIL(&consumers->longest, token, link);
    consumer->in_hand++;
    consumer->asked -= consumer->asked > 0;
    consumers->owner.arrived(consumers->owner.context, token->number, message);
    ask(consumer);
    return true;
}

void consumers_settle(struct consumers *consumers, uint64_t number, uint64_t ms)
{
    struct token wanted = {.number = number}, **found = tfind(&wanted, &consumers->tokens, by_number);
    if (!found)
        return;
    struct token *token = *found;
    struct consumer *consumer = names_find(&consumers->all, token->consumer);
    OWNED char *later = memory_print("-NAK {\"delay\": %llu}", (unsigned long long)(ms * (uint64_t)MS_NS));
    requests_say(consumers->owner.requests, token->reply, NULL, ms == MESSAGE_NOWHERE ? "+ACK" : later);
    drop(consumers, token);
    if (!consumer)
        return;
    consumer->in_hand -= consumer->in_hand > 0;
    ask(consumer);
}

/* --- following --- */

static void free_consumer(struct consumers *consumers, struct consumer *consumer)
{
    tdelete(consumer, &consumers->all, names_order);
    free(consumer->name);
    free(consumer->subject);
    free(consumer);
}

bool consumers_follow(struct consumers *consumers, const char *subject, bool follow)
{
    OWNED char *name = name_of(subject);
    if (!consumers_know(subject))
        return false;
    struct consumer *consumer = names_find(&consumers->all, name);
    if (consumer && !follow)
        free_consumer(consumers, consumer);
    if ((consumer != NULL) == follow)
        return true;
    if (!follow)
        return true;
    consumer = memory_new(1, sizeof *consumer);
    consumer->name = memory_text(name);
    consumer->subject = memory_text(subject);
    consumer->consumers = consumers;
    tsearch(consumer, &consumers->all, names_order);
    if (consumers->begun)
        begin(consumer);
    return true;
}

static void begin_each(const void *node, VISIT visit, void *context)
{
    (void)context;
    if (visit == postorder || visit == leaf)
        begin(*(struct consumer *const *)node);
}

/* Mends a consumer whose question lost its end, or that could not be made. */
static void mend(const void *node, VISIT visit, void *context)
{
    struct consumer *consumer = *(struct consumer *const *)node;
    const int64_t *now = context;
    if (visit != postorder && visit != leaf)
        return;
    if (!consumer->there) {
        create(consumer);
        return;
    }
    if (*now - consumer->asked_at > CONSUMER_ASKS_MS + CONSUMER_TICK_MS)
        consumer->asked = 0;
    ask(consumer);
}

/* A former question that has not ended stands beside the new one for CONSUMER_ASKS_MS at most, and is not followed by
 * another: the server hands out no more than CONSUMER_TOKENS_MAX unacknowledged messages all the same. */
static void ask_anew(const void *node, VISIT visit, void *context)
{
    struct consumer *consumer = *(struct consumer *const *)node;
    (void)context;
    if (visit != postorder && visit != leaf)
        return;
    consumer->asked = 0;
    ask(consumer);
}

void consumers_dropped(struct consumers *consumers)
{
    twalk_r(consumers->all, ask_anew, NULL);
}

/* Tells the server that messages which are long in hand are worked on: without that word the server would hand them
 * out again. */
static void tell_of_work(struct consumers *consumers, int64_t now)
{
    struct token *token;
    while ((token = TAILQ_FIRST(&consumers->longest)) && now - token->told_at >= CONSUMER_ACK_MS / 3) {
        requests_say(consumers->owner.requests, token->reply, NULL, "+WPI");
        token->told_at = now;
        TAILQ_REMOVE(&consumers->longest, token, link);
        TAILQ_INSERT_TAIL(&consumers->longest, token, link);
    }
}

static void tick(void *context)
{
    struct consumers *consumers = context;
    int64_t now = clock_monotonic_ms();
    timer_set(consumers->owner.loop, &consumers->tick, CONSUMER_TICK_MS);
    tell_of_work(consumers, now);
    twalk_r(consumers->all, mend, &now);
}

struct consumers *consumers_new(const struct consumers_owner *owner)
{
    struct consumers *consumers = memory_new(1, sizeof *consumers);
    /* A token of an earlier process must not be taken for one of this process. */
    *consumers = (struct consumers){.owner = *owner, .token = (uint64_t)clock_monotonic_ms() << 20};
    consumers->tick = (struct timer){.ring = tick, .context = consumers};
    TAILQ_INIT(&consumers->longest);
    return consumers;
}

void consumers_begin(struct consumers *consumers)
{
    consumers->begun = true;
    timer_set(consumers->owner.loop, &consumers->tick, CONSUMER_TICK_MS);
    twalk_r(consumers->all, begin_each, NULL);
}

void consumers_end(struct consumers *consumers)
{
    struct token *token;
    consumers->begun = false;
    timer_clear(consumers->owner.loop, &consumers->tick);
    while ((token = TAILQ_FIRST(&consumers->longest)))
        drop(consumers, token);
}
