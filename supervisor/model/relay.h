/* Questions to the model on their way: worker -> gateway, and the answers back.
 *
 * Each question gets a serial of the supervisor's own on its way out, so that an answer meant for a worker that has
 * died never reaches the next one of that agent. When the gateway dies, what was under way is asked again of the next
 * one; a question that three gateways have died with is answered as a passing fault.
 *
 * A question may take several requests: the gateway tells what each took (SPENT), and sends the next one only when that is
 * in the budget, too (AGAIN). A question whose next request no budget allows now is answered as ANSWER_BUDGET. */
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
    RELAY_BYTES_PER_AGENT =
        8 * 1024 * 1024, /* of all its questions, with those it took back in the last second; one
                                                more is for later */
    RELAY_ASKINGS = 3,
    RELAY_PEERS_MAX = 8 * 1024, /* the worker's budget leaves so much room (worker/cycle/prompt.c) */
    RELAY_SEGMENTS_MAX = 16 * 1024,
    RELAY_BUDGET_MAX = 1024,
};

struct relay_answer {
    enum answer_kind kind;
    const char *provider;
    uint64_t ms;
    const struct question_usage *usage;
};

/* What a request took, as the gateway tells it. */
struct relay_spent {
    const char *model; /* as it was asked for */
    enum spent kind;
    uint64_t tokens_in, tokens_out, cached;
    size_t bytes; /* of the request, as they were reserved */
};

struct relay_owner {
    bool (*to_gateway)(void *context, const struct buffer *message); /* false: it isn't there now */
    /* The same for an ASK. Its pieces are copied, or kept: not needed when it returns. */
    bool (*ask_gateway)(void *context, const struct channel_piece *pieces, size_t count);
    /* It has not read much of what it was sent yet: a question more is for later. NULL: never. */
    bool (*behind)(void *context);
    void (*to_worker)(void *asker, const struct buffer *message);
    /* The texts for {{peers}}, {{segments}} and {{budget}} of this asker's prompt, as things stand now, added to empty
     * buffers; what is over RELAY_PEERS_MAX, RELAY_SEGMENTS_MAX and RELAY_BUDGET_MAX is cut off. NULL: there is nothing
     * to tell. */
    void (*surroundings)(void *asker, struct buffer *peers, struct buffer *segments, struct buffer *budget);
    /* An answer has come of the gateway, ms after the question first went out. NULL: nobody counts them. */
    void (*answered)(void *asker, const struct relay_answer *answer);
    void *context;
    const struct relay_budget *budget; /* NULL: everybody may ask always */
};

/* Whether a request may go out, and what became of it; by the relay's own serials, which are a question's. Each reserve
 * that gave true is followed by one of the others, or by another reserve: the gateway died with the request. */
struct relay_budget {
    bool (*reserve)(void *asker, uint64_t serial, size_t bytes, int64_t *retry_ms, struct fault *why);
    /* It was sent, and took that; the books' figures are added to usage. */
    void (*settle)(void *asker, uint64_t serial, const struct relay_spent *spent,
                   struct question_usage *usage);
    void (*release)(void *asker, uint64_t serial); /* it was never sent */
    void (*keep)(void *asker, uint64_t serial);    /* nobody will say what it cost */
};

struct relay *relay_new(const struct relay_owner *owner);
void relay_free(struct relay *relay);

/* ASK and FORGET of a worker; an ASK keeps the message that it came in (message->kept) as long as it is asked; name: the agent whose connection it came over, whatever the message says. False: the
 * message is malformed, or more questions at once than may be. */
bool relay_ask(struct relay *relay, void *asker, const char *name, struct reader *message);
bool relay_forget(struct relay *relay, void *asker, struct reader *message);
/* The worker is gone: none of its answers is wanted. */
void relay_forget_all(struct relay *relay, void *asker);

/* SPENT, ANSWER, WAITING, ROOM or LEARNED of the gateway. False: it is malformed. */
bool relay_gateway_says(struct relay *relay, const void *bytes, size_t length);
/* The next gateway is told what the last one had learned, and is asked what was under way. */
void relay_gateway_started(struct relay *relay);
size_t relay_under_way(const struct relay *relay);
