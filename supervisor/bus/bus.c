#include "supervisor/bus/bus.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/bus/bucket.h"
#include "supervisor/bus/connection.h"
#include "supervisor/bus/consumers.h"
#include "supervisor/bus/objects.h"
#include "supervisor/bus/requests.h"
#include "supervisor/process/report.h"

enum { TROUBLE_MS = 60 * 1000, TEXT_MOST = 1500 };

struct bus {
    struct loop *loop;
    struct report *report;
    struct connection *connection;
    struct requests *requests;
    struct objects *objects;
    struct consumers *consumers;
    struct bucket *bucket;
    bool ready;          /* connected, stream and bucket there */
    char *remark, *full; /* owned; faults that don't hinder the bus, while ready */
    /* Owned; the server's last refusal, for a minute or as long as the bus doesn't work. */
    char *trouble;
    struct timer calm; /* until trouble is forgotten */
};

/* --- the state, for the supervisor --- */

static void add(struct buffer *text, const char *part)
{
    if (part && *part)
        buffer_print(text, "%s%s", text->length ? "; " : "", part);
}

static void tell_state(struct bus *bus, const char *why)
{
    OWNED_BUFFER struct buffer text = {0};
    add(&text, why);
    if (bus->ready)
        add(&text, bus->remark);
    if (bus->ready)
        add(&text, bus->full);
    add(&text, bus->trouble);
    if (text.length > TEXT_MOST)
        text.data[TEXT_MOST] = '\0';
    report_send(bus->report, MESSAGE_BUS_STATE, (uint64_t)bus->ready, text.data ? text.data : "");
}

static void set(char **text, const char *to)
{
    free(*text);
    *text = memory_text(to);
}

static void end_session(struct bus *bus, const char *why)
{
    bus->ready = false;
    set(&bus->full, NULL);
    requests_forget(bus->requests);
    objects_end(bus->objects);
    consumers_end(bus->consumers);
    bucket_end(bus->bucket);
    tell_state(bus, why);
}

static void is_up(void *context)
{
    struct bus *bus = context;
    set(&bus->trouble, NULL);
    objects_begin(bus->objects);
}

static void is_down(void *context, const char *why)
{
    struct bus *bus = context;
    set(&bus->trouble, NULL);
    end_session(bus, why);
}

static void are_ready(void *context, const char *remark)
{
    struct bus *bus = context;
    bus->ready = true;
    set(&bus->remark, remark);
    tell_state(bus, "");
    consumers_begin(bus->consumers);
    bucket_begin(bus->bucket);
}

static void have_failed(void *context, const char *why)
{
    struct bus *bus = context;
    bus->ready = false;
    tell_state(bus, why);
}

/* Somebody has deleted the stream or the bucket: the supervisor's earlier requests are void, and both are made anew. */
static void are_lost(void *context, const char *why)
{
    struct bus *bus = context;
    end_session(bus, why);
    objects_again(bus->objects);
}

static void calm_down(void *context)
{
    struct bus *bus = context;
    set(&bus->trouble, NULL);
    if (bus->ready)
        tell_state(bus, "");
}

static void in_trouble(void *context, const char *why)
{
    struct bus *bus = context;
    timer_set(bus->loop, &bus->calm, TROUBLE_MS);
    if (bus->trouble && strcmp(bus->trouble, why) == 0)
        return;
    set(&bus->trouble, why);
    if (bus->ready)
        tell_state(bus, "");
}

static void have_dropped(void *context, const char *why)
{
    struct bus *bus = context;
    in_trouble(bus, why);
    consumers_dropped(bus->consumers);
}

/* --- NATS's messages --- */

static void hear_message(void *context, natsMsg *message)
{
    struct bus *bus = context;
    if (!requests_hear(bus->requests, message) && !consumers_hear(bus->consumers, message))
        (void)bucket_hear(bus->bucket, message);
}

static void has_arrived(void *context, uint64_t token, natsMsg *message)
{
    struct bus *bus = context;
    report_send(bus->report, MESSAGE_BUS_ARRIVED, token, natsMsg_GetSubject(message),
                message_header(message, "Agentos-Node"), (const void *)natsMsg_GetData(message),
                (size_t)natsMsg_GetDataLength(message));
}

static void tell_key(void *context, const char *key, const char *value, uint64_t revision)
{
    struct bus *bus = context;
    report_send(bus->report, MESSAGE_BUS_KEY, key, revision, (uint64_t)!value, value);
}

static void tell_kept(void *context, uint64_t ticket, uint64_t revision, const char *why)
{
    struct bus *bus = context;
    report_send(bus->report, MESSAGE_BUS_KEPT, ticket, revision, why);
}

/* --- the supervisor's requests --- */

static void published(void *context, uint64_t ticket, const json_t *answer, const char *why)
{
    struct bus *bus = context;
    int code = 0;
    const char *error = answer ? request_error(answer, &code) : why;
    report_send(bus->report, MESSAGE_BUS_PUBLISHED, ticket, error ? error : "");
    if (code == ERROR_STORE_FAILED && !bus->full) {
        bus->full = memory_print("the stream AGENTOS is full (%s): envelopes for other nodes wait", error);
        tell_state(bus, "");
    } else if (!error && bus->full) {
        set(&bus->full, NULL);
        tell_state(bus, "");
    }
    if (why == REQUEST_NOBODY)
        requests_lost(bus->requests, "the stream AGENTOS was deleted, and is made anew");
}

/* A request that comes between two connections is forgotten: the supervisor hears of the state, and asks again. */
static bool hear_publish(struct bus *bus, struct reader *reader)
{
    uint64_t ticket;
    OWNED char *subject = NULL, *id = NULL;
    const void *bytes;
    size_t length;
    if (!message_read(reader, MESSAGE_BUS_PUBLISH, &ticket, &subject, &id, &bytes, &length))
        return false;
    const struct header headers[] = {{"Nats-Msg-Id", id}, {"Agentos-Node", node_name()}};
    if (bus->ready && !consumers_know(subject))
        report_send(bus->report, MESSAGE_BUS_PUBLISHED, ticket, "that is no subject of the stream's");
    else if (bus->ready)
        requests_send(bus->requests, subject, headers, sizeof headers / sizeof *headers, bytes, length,
                      published, bus, ticket);
    return true;
}

static bool hear_follow(struct bus *bus, struct reader *reader)
{
    uint64_t follow;
    OWNED char *subject = NULL;
    return message_read(reader, MESSAGE_BUS_FOLLOW, &subject, &follow) &&
           consumers_follow(bus->consumers, subject, follow != 0);
}

static bool hear_settle(struct bus *bus, struct reader *reader)
{
    uint64_t token, ms;
    if (!message_read(reader, MESSAGE_BUS_SETTLE, &token, &ms))
        return false;
    consumers_settle(bus->consumers, token, ms);
    return true;
}

static bool hear_put(struct bus *bus, struct reader *reader)
{
    uint64_t ticket, revision, gone;
    OWNED char *key = NULL, *value = NULL;
    if (!message_read(reader, MESSAGE_BUS_PUT, &ticket, &key, &revision, &gone, &value))
        return false;
    if (bus->ready)
        bucket_put(bus->bucket, &(struct bucket_put){ticket, revision, key, gone ? NULL : value});
    return true;
}

static const struct {
    unsigned type;
    bool (*hear)(struct bus *bus, struct reader *reader);
} heard[] = {{MESSAGE_BUS_PUBLISH, hear_publish},
             {MESSAGE_BUS_FOLLOW, hear_follow},
             {MESSAGE_BUS_SETTLE, hear_settle},
             {MESSAGE_BUS_PUT, hear_put}};

static bool hear(void *context, unsigned type, struct reader *reader)
{
    for (size_t i = 0; i < sizeof heard / sizeof *heard; i++)
        if (heard[i].type == type)
            return heard[i].hear(context, reader);
    return false;
}

static void ends(void *context)
{
    struct bus *bus = context;
    connection_flush(bus->connection);
}

static void behind(void *context, bool is_behind)
{
    struct bus *bus = context;
    connection_pause(bus->connection, is_behind);
}

/* --- putting it together --- */

static bool begin(struct bus *bus, int channel, const struct bus_servers *servers,
                  const struct credentials *credentials, struct fault *fault)
{
    bus->calm = (struct timer){.ring = calm_down, .context = bus};
    bus->requests = requests_new(bus->loop, &bus->connection, are_lost, bus);
    bus->objects = objects_new(&(struct objects_owner){.loop = bus->loop,
                                                       .requests = bus->requests,
                                                       .ready = are_ready,
                                                       .failed = have_failed,
                                                       .context = bus});
    bus->consumers = consumers_new(&(struct consumers_owner){
        .loop = bus->loop, .requests = bus->requests, .arrived = has_arrived, .context = bus});
    bus->bucket = bucket_new(&(struct bucket_owner){
        .loop = bus->loop, .requests = bus->requests, .key = tell_key, .kept = tell_kept, .context = bus});
    bus->report =
        report_open(bus->loop, channel, PARTY_BUS,
                    &(struct report_owner){.hear = hear, .ends = ends, .behind = behind, .context = bus});
    if (!bus->report)
        return fault_errno(fault, "the supervisor can't be listened to");
    bus->connection = connection_open(&(struct connection_owner){.loop = bus->loop,
                                                                 .servers = servers,
                                                                 .credentials = credentials,
                                                                 .up = is_up,
                                                                 .down = is_down,
                                                                 .trouble = in_trouble,
                                                                 .dropped = have_dropped,
                                                                 .message = hear_message,
                                                                 .context = bus},
                                      fault);
    return bus->connection != NULL;
}

void bus_run(int channel, const struct bus_servers *servers, const struct credentials *credentials,
             struct fault *fault)
{
    static struct bus bus;
    bus.loop = loop_new();
    if (!bus.loop)
        fault_errno(fault, "the event loop can't be made");
    else if (begin(&bus, channel, servers, credentials, fault))
        loop_run(bus.loop);
}
