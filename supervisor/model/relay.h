/* Questions to the model on their way: worker -> gateway, and the answers back.
 *
 * Each question gets a serial of the supervisor's own on its way out, so that an answer meant for a worker that has
 * died never reaches the next one of that agent. When the gateway dies, the next one is asked the questions under way
 * again; a question that three gateways have died with is answered as a passing fault.
 *
 * A question may take several requests: the gateway tells the figures of each (SPENT), and sends the next one only
 * when that is in the budget, too (AGAIN). A question whose next request no budget allows now is answered as
 * ANSWER_BUDGET. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/channel.h"
#include "common/fault.h"
#include "common/message.h"
#include "common/usage.h"

struct relay;

enum {
    RELAY_ASKS_PER_AGENT = 16,
    /* Bytes of an agent's questions, with those it took back in the last second; a further question is for later. */
    RELAY_BYTES_PER_AGENT = 8 * 1024 * 1024,
    RELAY_ASKINGS = 3,
    RELAY_PEERS_MAX = 8 * 1024, /* the worker's budget leaves this room (worker/cycle/prompt.c) */
    RELAY_SEGMENTS_MAX = 16 * 1024,
    RELAY_BUDGET_MAX = 1024,
};

struct relay_answer {
    enum answer_kind kind;
    const char *provider;
    uint64_t ms;
    const struct question_usage *usage;
};

/* The figures of a request, as the gateway tells them. */
struct relay_spent {
    const char *model; /* as the gateway was asked for it */
    enum spent kind;
    uint64_t tokens_in, tokens_out, cached;
    size_t bytes; /* bytes of the request, as they were reserved */
};

struct relay_owner {
    bool (*to_gateway)(void *context, const struct buffer *message); /* false: the gateway isn't there now */
    /* The same for an ASK. The pieces are copied, or kept: the caller needs them no longer. */
    bool (*ask_gateway)(void *context, const struct channel_piece *pieces, size_t count);
    /* The gateway has not read much of its channel yet: a further question is for later. NULL: never. */
    bool (*behind)(void *context);
    void (*to_worker)(void *asker, const struct buffer *message);
    /* The texts for {{peers}}, {{segments}} and {{budget}} of this asker's prompt, as things stand now, added to
     * empty buffers; a text is cut off at RELAY_PEERS_MAX, RELAY_SEGMENTS_MAX and RELAY_BUDGET_MAX. NULL: there is
     * nothing to tell. */
    void (*surroundings)(void *asker, struct buffer *peers, struct buffer *segments, struct buffer *budget);
    /* The gateway has answered, ms after the question first went out. NULL: nobody counts them. */
    void (*answered)(void *asker, const struct relay_answer *answer);
    void *context;
    const struct relay_budget *budget; /* NULL: everybody may ask always */
};

/* Whether a request may go out, and how it ended; by the relay's own serials, which are a question's. Each reserve
 * that gave true is followed by one of the other functions. */
struct relay_budget {
    bool (*reserve)(void *asker, uint64_t serial, size_t bytes, int64_t *retry_ms, struct fault *why);
    /* The request was sent, and took that; the books' figures are added to usage. A request that the gateway died with
     * is settled as SPENT_UNKNOWN, of no model. */
    void (*settle)(void *asker, uint64_t serial, const struct relay_spent *spent,
                   struct question_usage *usage);
    void (*release)(void *asker, uint64_t serial); /* the request was never sent */
    void (*keep)(void *asker, uint64_t serial);    /* nobody will tell the request's cost */
};

struct relay *relay_new(const struct relay_owner *owner);
void relay_free(struct relay *relay);

/* ASK and FORGET of a worker; an ASK keeps the message that it came in (message->kept) as long as the question lives;
 * name: the agent of the connection, whatever the message says. False: the message is malformed, or the agent has too
 * many questions at once. */
bool relay_ask(struct relay *relay, void *asker, const char *name, struct reader *message);
bool relay_forget(struct relay *relay, void *asker, struct reader *message);
/* The worker is gone: none of its answers is wanted. */
void relay_forget_all(struct relay *relay, void *asker);

/* SPENT, ANSWER, WAITING, ROOM or LEARNED of the gateway. False: the message is malformed. */
bool relay_gateway_says(struct relay *relay, const void *bytes, size_t length);
/* The next gateway gets the last one's lessons, and is asked the questions under way. */
void relay_gateway_started(struct relay *relay);
size_t relay_under_way(const struct relay *relay);
