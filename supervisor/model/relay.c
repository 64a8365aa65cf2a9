#include "supervisor/model/relay.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"

enum { ASK_REST = 1024 /* bytes of an ASK without its two texts: more than enough */ };

struct question {
    void *asker;
    char *name, *system, *task;
    uint64_t theirs, ours; /* serials */
    uint64_t peers_at, segments_at;
    unsigned askings;
    int64_t asked_at; /* clock_monotonic_ms: went out first */
    struct question *next;
};

struct relay {
    struct relay_owner owner;
    struct question *first, **last;
    uint64_t serial;
    struct buffer message; /* kept between uses for its memory */
};

struct relay *relay_new(const struct relay_owner *owner)
{
    struct relay *relay = memory_new(1, sizeof *relay);
    relay->owner = *owner;
    relay->last = &relay->first;
    return relay;
}

enum sending { SENT, NOT_NOW, REFUSED };

static void settle(const struct relay *relay, const struct question *question, uint64_t tokens, size_t bytes)
{
    if (relay->owner.budget)
        relay->owner.budget->settle(question->asker, question->ours, tokens, bytes);
}

/* It went out, and what it costs won't be known. */
static void keep(const struct relay *relay, const struct question *question)
{
    if (relay->owner.budget)
        relay->owner.budget->keep(question->asker, question->ours);
}

static void drop(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    *at = question->next;
    if (relay->last == &question->next)
        relay->last = at;
    free(question->name);
    free(question->system);
    free(question->task);
    free(question);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    while (relay->first)
        drop(relay, &relay->first);
    buffer_free(&relay->message);
    free(relay);
}

/* An answer of the relay's own. */
static void answer(struct relay *relay, struct question **at, enum answer_kind kind, const char *why,
                   int64_t retry_ms)
{
    struct question *question = *at;
    message_make(&relay->message, MESSAGE_ANSWER, question->theirs, question->name, (uint64_t)kind, why, "",
                 "", (uint64_t)0, (uint64_t)0, "", (uint64_t)retry_ms, (uint64_t)0);
    relay->owner.to_worker(question->asker, &relay->message);
    drop(relay, at);
}

static void add_piece(struct buffer *prompt, const struct buffer *piece, size_t limit)
{
    static const char cut[] = "\n[… cut here: there is no room for more]";
    if (piece->length == 0)
        buffer_text(prompt, "None.");
    else if (piece->length <= limit)
        buffer_add(prompt, piece->data, piece->length);
    else {
        buffer_add(prompt, piece->data, utf8_cut(piece->data, piece->length, limit - sizeof cut));
        buffer_text(prompt, cut);
    }
}

/* Peers and segments go into the prompt only here, made anew each time the question goes out. A worker that gives
 * places outside its prompt gets nothing put in. */
static void complete(struct relay *relay, const struct question *question, struct buffer *prompt)
{
    OWNED_BUFFER struct buffer peers = {0}, segments = {0};
    size_t length = strlen(question->system), at = 0;
    const struct piece {
        uint64_t place;
        const struct buffer *text;
        size_t limit;
    } both[] = {{question->peers_at, &peers, RELAY_PEERS_MAX},
                {question->segments_at, &segments, RELAY_SEGMENTS_MAX}};
    size_t first = question->segments_at < question->peers_at;
    if (relay->owner.surroundings)
        relay->owner.surroundings(question->asker, &peers, &segments);
    bool room =
        length + strlen(question->task) + RELAY_PEERS_MAX + RELAY_SEGMENTS_MAX + ASK_REST < MESSAGE_MAX;
    for (size_t i = 0; i < 2 && room; i++) {
        const struct piece *piece = &both[i ^ first];
        if (piece->place > length)
            continue;
        buffer_add(prompt, question->system + at, (size_t)piece->place - at);
        add_piece(prompt, piece->text, piece->limit);
        at = (size_t)piece->place;
    }
    buffer_text(prompt, question->system + at);
}

static void give_up(struct relay *relay, struct question **at)
{
    keep(relay, *at);
    answer(relay, at, ANSWER_PASSING,
           "the gateway died three times with this question; it is asked again later", 0);
}

/* REFUSED: it has been answered and is gone. */
static enum sending send_out(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    struct fault why;
    int64_t retry_ms;
    OWNED_BUFFER struct buffer prompt = {0};
    complete(relay, question, &prompt);
    message_make(&relay->message, MESSAGE_ASK, question->ours, question->name, prompt.data, question->task,
                 MESSAGE_NOWHERE, MESSAGE_NOWHERE);
    if (relay->owner.budget && !relay->owner.budget->reserve(question->asker, question->ours,
                                                             relay->message.length, &retry_ms, &why)) {
        answer(relay, at, ANSWER_BUDGET, why.text, retry_ms);
        return REFUSED;
    }
    if (!relay->owner.to_gateway(relay->owner.context, &relay->message)) {
        settle(relay, question, 0, 0);
        return NOT_NOW;
    }
    if (question->askings++ == 0)
        question->asked_at = clock_monotonic_ms();
    return SENT;
}

static size_t count_of(const struct relay *relay, const void *asker)
{
    size_t count = 0;
    for (const struct question *question = relay->first; question; question = question->next)
        count += question->asker == asker;
    return count;
}

bool relay_ask(struct relay *relay, void *asker, const char *name, struct reader *message)
{
    struct question *question = memory_new(1, sizeof *question);
    OWNED char *claimed = NULL;
    bool read = message_read(message, MESSAGE_ASK, &question->theirs, &claimed, &question->system,
                             &question->task, &question->peers_at, &question->segments_at);
    if (!read || count_of(relay, asker) >= RELAY_ASKS_PER_AGENT) {
        free(question->system);
        free(question->task);
        free(question);
        return false;
    }
    question->asker = asker;
    question->name = memory_text(name);
    question->ours = ++relay->serial;
    struct question **place = relay->last;
    *place = question;
    relay->last = &question->next;
    send_out(relay, place);
    return true;
}

static void forget(struct relay *relay, struct question **at)
{
    message_make(&relay->message, MESSAGE_FORGET, (*at)->ours, (*at)->name);
    if ((*at)->askings) {
        relay->owner.to_gateway(relay->owner.context, &relay->message);
        keep(relay, *at);
    }
    drop(relay, at);
}

bool relay_forget(struct relay *relay, void *asker, struct reader *message)
{
    OWNED char *claimed = NULL;
    uint64_t serial;
    if (!message_read(message, MESSAGE_FORGET, &serial, &claimed))
        return false;
    for (struct question **at = &relay->first; *at; at = &(*at)->next)
        if ((*at)->asker == asker && (*at)->theirs == serial) {
            forget(relay, at);
            break;
        }
    return true;
}

void relay_forget_all(struct relay *relay, void *asker)
{
    for (struct question **at = &relay->first; *at;)
        if ((*at)->asker == asker)
            forget(relay, at);
        else
            at = &(*at)->next;
}

static struct question **find(struct relay *relay, uint64_t ours)
{
    for (struct question **at = &relay->first; *at; at = &(*at)->next)
        if ((*at)->ours == ours)
            return at;
    return NULL;
}

static bool on_answer(struct relay *relay, struct reader *reader)
{
    uint64_t serial, kind, tokens_in, tokens_out, retry_after_ms, answered_ms;
    OWNED char *name = NULL, *text = NULL, *finish = NULL, *model = NULL, *provider = NULL;
    if (!message_read(reader, MESSAGE_ANSWER, &serial, &name, &kind, &text, &finish, &model, &tokens_in,
                      &tokens_out, &provider, &retry_after_ms, &answered_ms))
        return false;
    struct question **at = find(relay, serial);
    if (!at)
        return true;
    settle(relay, *at, tokens_in + tokens_out,
           kind == ANSWER_OK ? strlen((*at)->system) + strlen((*at)->task) + strlen(text) : 0);
    if (relay->owner.answered)
        relay->owner.answered((*at)->asker,
                              &(struct relay_answer){.kind = (enum answer_kind)kind,
                                                     .provider = provider,
                                                     .ms = (uint64_t)(clock_monotonic_ms() - (*at)->asked_at),
                                                     .tokens_in = tokens_in,
                                                     .tokens_out = tokens_out});
    message_make(&relay->message, MESSAGE_ANSWER, (*at)->theirs, (*at)->name, kind, text, finish, model,
                 tokens_in, tokens_out, provider, retry_after_ms, answered_ms);
    relay->owner.to_worker((*at)->asker, &relay->message);
    drop(relay, at);
    return true;
}

static bool on_waiting(struct relay *relay, struct reader *reader)
{
    uint64_t serial, until;
    OWNED char *name = NULL, *why = NULL, *sentence = NULL;
    if (!message_read(reader, MESSAGE_WAITING, &serial, &name, &why, &until, &sentence))
        return false;
    struct question **at = find(relay, serial);
    if (!at)
        return true;
    message_make(&relay->message, MESSAGE_WAITING, (*at)->theirs, (*at)->name, why, until, sentence);
    relay->owner.to_worker((*at)->asker, &relay->message);
    return true;
}

bool relay_gateway_says(struct relay *relay, const void *bytes, size_t length)
{
    struct reader reader;
    unsigned type = 0;
    if (!message_open(&reader, bytes, length, &type))
        return false;
    return type == MESSAGE_ANSWER    ? on_answer(relay, &reader)
           : type == MESSAGE_WAITING ? on_waiting(relay, &reader)
                                     : false;
}

void relay_gateway_started(struct relay *relay)
{
    for (struct question **at = &relay->first; *at;) {
        struct question *question = *at;
        if (question->askings >= RELAY_ASKINGS) {
            give_up(relay, at);
            continue;
        }
        enum sending sending = send_out(relay, at);
        if (sending == NOT_NOW)
            return;
        if (sending == SENT)
            at = &question->next;
    }
}

size_t relay_under_way(const struct relay *relay)
{
    size_t count = 0;
    for (const struct question *question = relay->first; question; question = question->next)
        count++;
    return count;
}
