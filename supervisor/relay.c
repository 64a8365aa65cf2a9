#include "supervisor/relay.h"

#include <stdlib.h>
#include <string.h>

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

static void give_up(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    message_make(&relay->message, MESSAGE_ANSWER, question->theirs, question->name, (uint64_t)ANSWER_PASSING,
                 "the gateway died three times with this question; it is asked again later", "", "",
                 (uint64_t)0, (uint64_t)0, "", (uint64_t)0);
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

static bool send_out(struct relay *relay, struct question *question)
{
    OWNED_BUFFER struct buffer prompt = {0};
    complete(relay, question, &prompt);
    message_make(&relay->message, MESSAGE_ASK, question->ours, question->name, prompt.data, question->task,
                 MESSAGE_NOWHERE, MESSAGE_NOWHERE);
    if (!relay->owner.to_gateway(relay->owner.context, &relay->message))
        return false;
    question->askings++;
    return true;
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
    *relay->last = question;
    relay->last = &question->next;
    send_out(relay, question);
    return true;
}

static void forget(struct relay *relay, struct question **at)
{
    message_make(&relay->message, MESSAGE_FORGET, (*at)->ours, (*at)->name);
    if ((*at)->askings)
        relay->owner.to_gateway(relay->owner.context, &relay->message);
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
    uint64_t serial, kind, tokens_in, tokens_out, retry_after_ms;
    OWNED char *name = NULL, *text = NULL, *finish = NULL, *model = NULL, *provider = NULL;
    if (!message_read(reader, MESSAGE_ANSWER, &serial, &name, &kind, &text, &finish, &model, &tokens_in,
                      &tokens_out, &provider, &retry_after_ms))
        return false;
    struct question **at = find(relay, serial);
    if (!at)
        return true;
    message_make(&relay->message, MESSAGE_ANSWER, (*at)->theirs, (*at)->name, kind, text, finish, model,
                 tokens_in, tokens_out, provider, retry_after_ms);
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
        if (!send_out(relay, question))
            return;
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
