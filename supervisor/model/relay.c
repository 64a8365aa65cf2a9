#include "supervisor/model/relay.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/model/lessons.h"

enum {
    ASK_REST = 1024, /* bytes of an ASK beside its two texts: more than enough */
    LATER_MS = 1000,
    FORGOTTEN_MS = 1000, /* a long question that was taken back counts for this time: the gateway reads it */
    LONG_QUESTION = 64 * 1024,
};

/* A text of a worker's message. */
struct span {
    const char *text;
    size_t length;
};

struct question {
    void *asker;
    char *name;
    struct span system, task;  /* in the message */
    struct shared_bytes *kept; /* that message; NULL: not needed any more */
    uint64_t theirs, ours;     /* serials */
    uint64_t peers_at, segments_at, budget_at;
    uint64_t room;  /* bytes that the texts at these places may have in all */
    uint64_t least; /* 1: the worker can't make the prompt smaller */
    size_t put_in;  /* bytes of the texts, as they were put in last */
    unsigned askings;
    size_t length; /* of the message */
    bool waits;    /* the worker was told so, and of no request since */
    bool reserved; /* the budget holds a reservation for the request under way */
    size_t bytes;  /* of the request */
    struct question_usage usage;
    int64_t asked_at;     /* clock_monotonic_ms: went out first; 0: not yet */
    int64_t forgotten_at; /* clock_monotonic_ms; 0: not forgotten, else only its length is of interest */
    struct question *next;
};

struct relay {
    struct relay_owner owner;
    struct question *first, **last;
    uint64_t serial;
    struct lessons lessons;
    struct buffer message; /* kept between uses: new memory costs more than the copy */
};

struct relay *relay_new(const struct relay_owner *owner)
{
    struct relay *relay = memory_new(1, sizeof *relay);
    relay->owner = *owner;
    relay->last = &relay->first;
    return relay;
}

enum sending { SENT, NOT_NOW, REFUSED };

/* False: no budget allows the question's next request before retry_ms. */
static bool reserve(const struct relay *relay, struct question *question, int64_t *retry_ms,
                    struct fault *why)
{
    const struct relay_budget *budget = relay->owner.budget;
    question->reserved =
        !budget || budget->reserve(question->asker, question->ours, question->bytes, retry_ms, why);
    return question->reserved;
}

static void settle(const struct relay *relay, struct question *question, const struct relay_spent *spent)
{
    if (relay->owner.budget && question->reserved)
        relay->owner.budget->settle(question->asker, question->ours, spent, &question->usage);
    question->reserved = false;
}

static void release(const struct relay *relay, struct question *question)
{
    if (relay->owner.budget && question->reserved)
        relay->owner.budget->release(question->asker, question->ours);
    question->reserved = false;
}

/* The request went out, and its asker wants to know no more. */
static void keep(const struct relay *relay, struct question *question)
{
    if (relay->owner.budget && question->reserved)
        relay->owner.budget->keep(question->asker, question->ours);
    question->reserved = false;
}

static void free_texts(struct question *question)
{
    memory_set(&question->name, NULL);
    shared_bytes_drop(question->kept);
    question->kept = NULL;
}

static void drop(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    *at = question->next;
    if (relay->last == &question->next)
        relay->last = at;
    free_texts(question);
    free(question);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    while (relay->first)
        drop(relay, &relay->first);
    lessons_free(&relay->lessons);
    buffer_free(&relay->message);
    free(relay);
}

/* An ANSWER's fields beside the serial of its question. */
struct words {
    uint64_t kind;
    const char *text, *finish_reason, *model, *provider;
    uint64_t retry_ms, answered_ms;
};

static void answer(struct relay *relay, struct question **at, const struct words *words)
{
    const struct question *question = *at;
    const struct question_usage *usage = &question->usage;
    message_make(&relay->message, MESSAGE_ANSWER, question->theirs, question->name, words->kind, words->text,
                 words->finish_reason, words->model, usage->tokens_in, usage->tokens_out, words->provider,
                 words->retry_ms, words->answered_ms, usage->cached, usage->requests, usage->cost);
    relay->owner.to_worker(question->asker, &relay->message);
    drop(relay, at);
}

static void refuse(struct relay *relay, struct question **at, const struct fault *why, int64_t retry_ms)
{
    answer(relay, at,
           &(struct words){.kind = ANSWER_BUDGET, .text = why->text, .retry_ms = (uint64_t)retry_ms});
}

/* A text for a place in the question. */
struct insertion {
    uint64_t place;
    struct buffer text;
    size_t limit;
};

static void cut(struct insertion *insertion)
{
    static const char mark[] = "\n[… cut here: there is no room for more]";
    struct buffer *text = &insertion->text;
    if (text->length == 0) {
        buffer_text(text, "None.");
    } else if (text->length > insertion->limit) {
        bool marked = insertion->limit > sizeof mark;
        text->length = marked ? utf8_cut(text->data, text->length, insertion->limit - sizeof mark) : 0;
        buffer_text(text, marked ? mark : "");
    }
}

/* The texts in the order in which they keep their room: a small context costs the segments first. */
static void share_room(struct insertion *const order[], size_t count, uint64_t room)
{
    for (size_t i = 0; i < count; i++) {
        struct insertion *insertion = order[i];
        if (insertion->limit > room)
            insertion->limit = (size_t)room;
        room -= insertion->text.length < insertion->limit ? insertion->text.length : insertion->limit;
    }
}

static int by_place(const void *a, const void *b)
{
    uint64_t left = ((const struct insertion *)a)->place, right = ((const struct insertion *)b)->place;
    return (left > right) - (left < right);
}

enum { INSERTIONS = 3, PIECES_MAX = 2 * INSERTIONS + 5 };

/* An ASK to the gateway, in pieces: a question of 4 MB is not copied on its way. */
struct request {
    struct insertion insertions[INSERTIONS];
    struct buffer head, middle, tail; /* around the two texts */
    struct channel_piece pieces[PIECES_MAX];
    size_t count, length;
};

static void put(struct request *request, const void *bytes, size_t length, struct shared_bytes *kept)
{
    request->pieces[request->count++] =
        (struct channel_piece){.bytes = bytes, .length = length, .kept = kept};
    request->length += length;
}

static void put_buffer(struct request *request, const struct buffer *buffer)
{
    put(request, buffer->data, buffer->length, NULL);
}

/* Peers, segments and the budget go into the prompt only here, made anew each time the question goes out. The
 * question of a worker that gives places outside its prompt gets no texts. */
static void make_insertions(const struct relay *relay, const struct question *question,
                            struct insertion insertions[INSERTIONS])
{
    struct insertion *peers = &insertions[0], *segments = &insertions[1], *budget = &insertions[2];
    *peers = (struct insertion){.place = question->peers_at, .limit = RELAY_PEERS_MAX};
    *segments = (struct insertion){.place = question->segments_at, .limit = RELAY_SEGMENTS_MAX};
    *budget = (struct insertion){.place = question->budget_at, .limit = RELAY_BUDGET_MAX};
    if (relay->owner.surroundings)
        relay->owner.surroundings(question->asker, &peers->text, &segments->text, &budget->text);
    share_room((struct insertion *[]){budget, peers, segments}, INSERTIONS, question->room);
    bool room = question->system.length + question->task.length + RELAY_PEERS_MAX + RELAY_SEGMENTS_MAX +
                    RELAY_BUDGET_MAX + ASK_REST <
                MESSAGE_MAX;
    for (size_t i = 0; i < INSERTIONS; i++) {
        if (!room || insertions[i].place > question->system.length)
            insertions[i].place = MESSAGE_NOWHERE;
        cut(&insertions[i]);
    }
    qsort(insertions, INSERTIONS, sizeof *insertions, by_place);
}

static void put_prompt(struct request *request, struct question *question)
{
    const struct span *system = &question->system;
    size_t at = 0;
    for (size_t i = 0; i < INSERTIONS && request->insertions[i].place <= system->length; i++) {
        const struct insertion *insertion = &request->insertions[i];
        put(request, system->text + at, (size_t)insertion->place - at, question->kept);
        put_buffer(request, &insertion->text);
        at = (size_t)insertion->place;
    }
    put(request, system->text + at, system->length - at, question->kept);
}

static void make_request(const struct relay *relay, struct question *question, struct request *request)
{
    *request = (struct request){.count = 0};
    make_insertions(relay, question, request->insertions);
    question->put_in = 0;
    for (size_t i = 0; i < INSERTIONS && request->insertions[i].place <= question->system.length; i++)
        question->put_in += request->insertions[i].text.length;
    message_begin(&request->head, MESSAGE_ASK);
    message_number(&request->head, question->ours);
    message_text(&request->head, question->name);
    message_size(&request->head, question->system.length + question->put_in);
    message_size(&request->middle, question->task.length);
    for (size_t i = 0; i < INSERTIONS + 1; i++) /* each text's place and room: it has been put in */
        message_number(&request->tail, MESSAGE_NOWHERE);
    message_number(&request->tail, question->least);
    put_buffer(request, &request->head);
    put_prompt(request, question);
    put_buffer(request, &request->middle);
    put(request, question->task.text, question->task.length, question->kept);
    put_buffer(request, &request->tail);
    question->bytes = request->length;
}

static void free_request(struct request *request)
{
    for (size_t i = 0; i < INSERTIONS; i++)
        buffer_free(&request->insertions[i].text);
    buffer_free(&request->head);
    buffer_free(&request->middle);
    buffer_free(&request->tail);
}

/* The gateway died with the request, which counts as every other request does whose cost nobody tells. */
static void died(const struct relay *relay, struct question *question)
{
    settle(relay, question,
           &(struct relay_spent){.model = "", .kind = SPENT_UNKNOWN, .bytes = question->bytes});
}

static void give_up(struct relay *relay, struct question **at)
{
    answer(
        relay, at,
        &(struct words){.kind = ANSWER_PASSING,
                        .text = "the gateway died three times with this question; it is asked again later"});
}

/* REFUSED: the question has been answered and is gone. */
static enum sending send_out(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    struct request request __attribute__((cleanup(free_request)));
    struct fault why;
    int64_t retry_ms;
    make_request(relay, question, &request);
    if (!reserve(relay, question, &retry_ms, &why)) {
        refuse(relay, at, &why, retry_ms);
        return REFUSED;
    }
    if (!relay->owner.ask_gateway(relay->owner.context, request.pieces, request.count)) {
        release(relay, question);
        return NOT_NOW;
    }
    question->askings++;
    if (question->asked_at == 0)
        question->asked_at = clock_monotonic_ms();
    return SENT;
}

/* bytes: of the questions and of those forgotten just now. */
static size_t count_of(struct relay *relay, const void *asker, size_t *bytes)
{
    size_t count = 0;
    int64_t past = clock_monotonic_ms() - FORGOTTEN_MS;
    *bytes = 0;
    for (struct question **at = &relay->first; *at;) {
        const struct question *question = *at;
        if (question->forgotten_at && question->forgotten_at <= past) {
            drop(relay, at);
            continue;
        }
        if (question->asker == asker) {
            count += !question->forgotten_at;
            *bytes += question->length;
        }
        at = &(*at)->next;
    }
    return count;
}

static bool read_question(struct question *question, struct reader *message)
{
    struct span claimed; /* the agent's name */
    uint64_t *const numbers[] = {&question->peers_at, &question->segments_at, &question->budget_at,
                                 &question->room, &question->least};
    bool read = message_get_number(message, &question->theirs) &&
                message_get_span(message, &claimed.text, &claimed.length) &&
                message_get_span(message, &question->system.text, &question->system.length) &&
                message_get_span(message, &question->task.text, &question->task.length);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        read = read && message_get_number(message, numbers[i]);
    question->kept = shared_bytes_keep(message->kept);
    return read && message_end(message);
}

bool relay_ask(struct relay *relay, void *asker, const char *name, struct reader *message)
{
    size_t bytes, count = count_of(relay, asker, &bytes), length = shared_bytes_length(message->kept);
    bool behind = relay->owner.behind && relay->owner.behind(relay->owner.context);
    bool later =
        behind || (bytes > 0 && bytes + length > RELAY_BYTES_PER_AGENT); /* the question is answered unread */
    if (count >= RELAY_ASKS_PER_AGENT)
        return false;
    struct question *question = memory_new(1, sizeof *question);
    *question = (struct question){.asker = asker,
                                  .name = memory_text(name),
                                  .usage.cost = USAGE_NO_COST,
                                  .ours = ++relay->serial,
                                  .length = length};
    struct question **place = relay->last;
    if (!(later ? message_get_number(message, &question->theirs) : read_question(question, message))) {
        drop(relay, &question);
        return false;
    }
    *place = question;
    relay->last = &question->next;
    if (later)
        answer(relay, place,
               &(struct words){
                   .kind = ANSWER_PASSING,
                   .text = behind ? "the gateway has many questions to read still"
                                  : "its agent's other questions are long, and wait for their answers",
                   .retry_ms = LATER_MS});
    else
        send_out(relay, place);
    return true;
}

static void forget(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    if (question->askings && !question->forgotten_at) {
        message_make(&relay->message, MESSAGE_FORGET, question->ours, question->name);
        relay->owner.to_gateway(relay->owner.context, &relay->message);
        keep(relay, question);
    }
    if (question->length < LONG_QUESTION) {
        drop(relay, at);
        return;
    }
    free_texts(question);
    question->forgotten_at = clock_monotonic_ms();
}

bool relay_forget(struct relay *relay, void *asker, struct reader *message)
{
    OWNED char *claimed = NULL;
    uint64_t serial;
    if (!message_read(message, MESSAGE_FORGET, &serial, &claimed))
        return false;
    for (struct question **at = &relay->first; *at; at = &(*at)->next)
        if ((*at)->asker == asker && (*at)->theirs == serial && !(*at)->forgotten_at) {
            forget(relay, at);
            break;
        }
    return true;
}

void relay_forget_all(struct relay *relay, void *asker)
{
    for (struct question **at = &relay->first; *at;)
        if ((*at)->asker == asker && !(*at)->forgotten_at)
            forget(relay, at);
        else
            at = &(*at)->next;
}

static struct question **find(struct relay *relay, uint64_t ours)
{
    for (struct question **at = &relay->first; *at; at = &(*at)->next)
        if ((*at)->ours == ours && !(*at)->forgotten_at)
            return at;
    return NULL;
}

/* The gateway waits for AGAIN or FORGET: no request goes out that isn't reserved. */
static void go_on(struct relay *relay, struct question **at)
{
    struct question *question = *at;
    struct fault why;
    int64_t retry_ms;
    bool allowed = reserve(relay, question, &retry_ms, &why);
    message_make(&relay->message, allowed ? MESSAGE_AGAIN : MESSAGE_FORGET, question->ours, question->name);
    bool told = relay->owner.to_gateway(relay->owner.context, &relay->message);
    if (!allowed)
        refuse(relay, at, &why, retry_ms);
    else if (!told)
        release(relay, question); /* the gateway is gone, and the next one is asked from the beginning */
}

/* The gateway was no trouble to the question, nor the question to the gateway. */
static void give_back(const struct relay *relay, struct question *question)
{
    release(relay, question);
    if (question->askings > 0)
        question->askings--;
}

static bool on_spent(struct relay *relay, struct reader *reader)
{
    uint64_t serial, kind, again;
    struct relay_spent spent;
    OWNED char *name = NULL, *model = NULL;
    if (!message_read(reader, MESSAGE_SPENT, &serial, &name, &model, &kind, &spent.tokens_in,
                      &spent.tokens_out, &spent.cached, &again) ||
        kind > SPENT_UNSENT)
        return false;
    struct question **at = find(relay, serial);
    if (!at)
        return true;
    if (kind == SPENT_UNSENT) {
        give_back(relay, *at);
        return true;
    }
    spent.model = model;
    spent.kind = (enum spent)kind;
    spent.bytes = (*at)->bytes;
    settle(relay, *at, &spent);
    if (again)
        go_on(relay, at);
    return true;
}

static bool on_answer(struct relay *relay, struct reader *reader)
{
    uint64_t serial, tokens_in, tokens_out, cached, requests, cost;
    struct words words;
    OWNED char *name = NULL, *text = NULL, *finish = NULL, *model = NULL, *provider = NULL;
    if (!message_read(reader, MESSAGE_ANSWER, &serial, &name, &words.kind, &text, &finish, &model, &tokens_in,
                      &tokens_out, &provider, &words.retry_ms, &words.answered_ms, &cached, &requests, &cost))
        return false;
    struct question **at = find(relay, serial);
    if (!at)
        return true;
    release(relay, *at); /* a SPENT has told the request's cost */
    if (relay->owner.answered && (words.kind != ANSWER_LENGTH || (*at)->usage.requests > 0))
        relay->owner.answered((*at)->asker,
                              &(struct relay_answer){.kind = (enum answer_kind)words.kind,
                                                     .provider = provider,
                                                     .ms = (uint64_t)(clock_monotonic_ms() - (*at)->asked_at),
                                                     .usage = &(*at)->usage});
    words.text = text, words.finish_reason = finish, words.model = model, words.provider = provider;
    answer(relay, at, &words);
    return true;
}

static void tell_wait(struct relay *relay, struct question *question, const char *why, uint64_t until,
                      const char *sentence)
{
    message_make(&relay->message, MESSAGE_WAITING, question->theirs, question->name, why, until, sentence);
    relay->owner.to_worker(question->asker, &relay->message);
    question->waits = *why != '\0';
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
    tell_wait(relay, *at, why, until, sentence);
    return true;
}

static bool on_room(struct relay *relay, struct reader *reader)
{
    uint64_t serial, room, learned, put_in;
    OWNED char *name = NULL;
    if (!message_read(reader, MESSAGE_ROOM, &serial, &name, &room, &learned, &put_in))
        return false;
    struct question **at = find(relay, serial);
    if (!at)
        return true;
    message_make(&relay->message, MESSAGE_ROOM, (*at)->theirs, (*at)->name, room, learned,
                 (uint64_t)(*at)->put_in);
    relay->owner.to_worker((*at)->asker, &relay->message);
    return true;
}

bool relay_gateway_says(struct relay *relay, const void *bytes, size_t length)
{
    struct reader reader;
    unsigned type = 0;
    if (!message_receive(&reader, bytes, length, PARTY_GATEWAY, PARTY_SUPERVISOR, &type))
        return false;
    return type == MESSAGE_ANSWER    ? on_answer(relay, &reader)
           : type == MESSAGE_SPENT   ? on_spent(relay, &reader)
           : type == MESSAGE_WAITING ? on_waiting(relay, &reader)
           : type == MESSAGE_ROOM    ? on_room(relay, &reader)
           : type == MESSAGE_LEARNED ? lessons_keep(&relay->lessons, &reader)
                                     : false;
}

void relay_gateway_started(struct relay *relay)
{
    lessons_tell(&relay->lessons, &relay->message, relay->owner.to_gateway, relay->owner.context);
    for (struct question **at = &relay->first; *at;) {
        struct question *question = *at;
        if (question->forgotten_at) {
            drop(relay, at);
            continue;
        }
        died(relay, question);
        if (question->askings >= RELAY_ASKINGS) {
            give_up(relay, at);
            continue;
        }
        enum sending sending = send_out(relay, at);
        if (sending == NOT_NOW)
            return;
        if (sending == SENT) {
            if (question->waits) /* the wait was the last gateway's */
                tell_wait(relay, question, "", 0, "");
            at = &question->next;
        }
    }
}

size_t relay_under_way(const struct relay *relay)
{
    size_t count = 0;
    for (const struct question *question = relay->first; question; question = question->next)
        count += !question->forgotten_at;
    return count;
}
