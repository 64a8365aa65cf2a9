/* A relay between a gateway and two workers that only keep what came last. */
#ifndef AGENTOS_TESTS_RELAY_WORLD_H
#define AGENTOS_TESTS_RELAY_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/model/lessons.h"
#include "supervisor/model/relay.h"
#include "tests/unit/cmocka.h"

struct end {
    struct buffer last; /* the message that came last */
    unsigned type;
    int count;
    bool closed;
};

struct world {
    struct relay *relay;
    struct end gateway, orion, iris;
    uint64_t room; /* for peers, segments and budget, as the worker gives it */
};

static void take(struct end *end, const struct buffer *message)
{
    struct reader reader;
    assert_true(message_open(&reader, message->data, message->length, &end->type));
    buffer_drop(&end->last, end->last.length);
    buffer_add(&end->last, message->data, message->length);
    end->count++;
}

static inline void expect_last(const struct end *end, const struct buffer *message)
{
    assert_int_equal(end->last.length, message->length);
    assert_memory_equal(end->last.data, message->data, message->length);
}

static inline uint64_t answered_serial(const struct end *end)
{
    struct reader reader;
    unsigned type;
    uint64_t serial = 0;
    assert_true(message_open(&reader, end->last.data, end->last.length, &type));
    assert_int_equal(type, MESSAGE_ANSWER);
    message_get_number(&reader, &serial);
    return serial;
}

static bool to_gateway(void *context, const struct buffer *message)
{
    struct world *world = context;
    if (world->gateway.closed)
        return false;
    take(&world->gateway, message);
    return true;
}

/* The message's pieces must be among the kept bytes, or be copied. */
static bool ask_gateway(void *context, const struct channel_piece *pieces, size_t count)
{
    OWNED_BUFFER struct buffer message = {0};
    for (size_t i = 0; i < count; i++)
        buffer_add(&message, pieces[i].bytes, pieces[i].length);
    return to_gateway(context, &message);
}

/* The message goes, as on a line: the parts that the relay keeps are its own affair. */
static bool asks(struct world *world, struct end *asker, const char *name, struct buffer *message)
{
    struct reader reader;
    unsigned type;
    size_t length = message->length;
    char *bytes = buffer_take(message);
    assert_true(message_open(&reader, bytes, length, &type));
    reader.kept = shared_bytes_new(length, bytes, free);
    bool taken = relay_ask(world->relay, asker, name, &reader);
    shared_bytes_drop(reader.kept);
    return taken;
}

static void to_worker(void *asker, const struct buffer *message)
{
    take(asker, message);
}

#endif
