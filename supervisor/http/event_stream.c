#include "supervisor/http/event_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"

enum { BLOCK = 4096 };

struct reader {
    struct event_stream *events;
    struct MHD_Connection *connection;
    uint64_t next;        /* the number of the next event for this client */
    struct buffer out;    /* bytes that are being sent */
    size_t done;          /* bytes of out that are sent */
    bool lost_all;        /* the client's Last-Event-ID is of another process */
    bool suspended, beat; /* beat: a comment is due */
    int64_t took_at;
    LIST_ENTRY(reader) link;
};

struct event_stream {
    struct calls *calls;
    struct call *call;       /* NULL: nobody follows */
    uint32_t process;        /* the first part of each id */
    uint64_t count;          /* of events so far: the id of the newest, from 1 */
    char *kept[EVENTS_KEPT]; /* JSON texts, by their number */
    LIST_HEAD(, reader) readers;
    size_t reading;
    struct loop *loop;
    struct timer timer; /* of the next beat; while nobody reads, of the call's end */
};

static void beat(void *context);

struct event_stream *event_stream_new(struct calls *calls, struct loop *loop)
{
    struct event_stream *events = memory_new(1, sizeof *events);
    *events = (struct event_stream){.calls = calls, .loop = loop, .timer = {.ring = beat, .context = events}};
    if (getrandom(&events->process, sizeof events->process, GRND_NONBLOCK) != sizeof events->process)
        events->process = (uint32_t)clock_now();
    LIST_INIT(&events->readers);
    return events;
}

/* --- events --- */

static void wake(struct reader *reader)
{
    if (reader->suspended)
        MHD_resume_connection(reader->connection);
    reader->suspended = false;
}

static void keep(struct event_stream *events, char *text)
{
    char **place = &events->kept[++events->count % EVENTS_KEPT];
    struct reader *reader;
    free(*place);
    *place = text;
    LIST_FOREACH(reader, &events->readers, link)
    wake(reader);
}

/* The end of the call ends every stream: its client comes again with the id of the last event that it has. */
static void is_told(void *context, const json_t *told)
{
    struct event_stream *events = context;
    struct reader *reader;
    bool refused = json_integer_value(json_object_get(told, "exit")) != 0;
    if (told && !refused) {
        char *text =
            json_object_get(told, "event") ? json_dumps(told, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
        if (text)
            keep(events, text);
        return;
    }
    call_drop(events->call);
    events->call = NULL;
    LIST_FOREACH(reader, &events->readers, link)
    wake(reader);
}

static bool follow(struct event_stream *events)
{
    if (events->call)
        return true;
    if (events->count) /* nobody followed for a while */
        keep(events, memory_text("{\"event\":\"lost\"}"));
    events->call = call_follow(events->calls, json_pack("{s:s}", "verb", "events"), is_told, events);
    return events->call != NULL;
}

/* --- the stream --- */

static const char *name_of(const char *text, char *name, size_t size)
{
    json_auto_t *object = json_loads(text, 0, NULL);
    const char *event = json_string_value(json_object_get(object, "event"));
    size_t length = event ? strcspn(event, "\r\n") : 0;
    length = length < size ? length : size - 1;
    memcpy(name, event ? event : "", length);
    name[length] = '\0';
    return name;
}

static void print(struct reader *reader, uint64_t id, const char *text)
{
    char name[64];
    buffer_print(&reader->out, "id: %08x-%llu\nevent: %s\ndata: %s\n\n", reader->events->process,
                 (unsigned long long)id, name_of(text, name, sizeof name), text);
}

/* False: there is nothing to send. */
static bool fill(struct reader *reader)
{
    const struct event_stream *events = reader->events;
    uint64_t oldest = events->count >= EVENTS_KEPT ? events->count - EVENTS_KEPT + 1 : 1;
    reader->out.length = reader->done = 0;
    if (reader->lost_all || reader->next < oldest) {
        OWNED char *text = reader->lost_all ? memory_text("{\"event\":\"lost\"}")
                                            : memory_print("{\"event\":\"lost\",\"count\":%llu}",
                                                           (unsigned long long)(oldest - reader->next));
        reader->next = reader->lost_all ? reader->next : oldest;
        reader->lost_all = false;
        print(reader, reader->next - 1, text);
    } else if (reader->next <= events->count) {
        print(reader, reader->next, events->kept[reader->next % EVENTS_KEPT]);
        reader->next++;
    } else if (reader->beat) {
        buffer_text(&reader->out, ":\n\n");
    }
    reader->beat = false;
    return reader->out.length > 0;
}

static ssize_t give(void *context, uint64_t position, char *room, size_t size)
{
    (void)position;
    struct reader *reader = context;
    if (reader->done == reader->out.length && !fill(reader)) {
        if (!reader->events->call)
            return MHD_CONTENT_READER_END_OF_STREAM;
        reader->suspended = true;
        MHD_suspend_connection(reader->connection);
        return 0;
    }
    size_t count = reader->out.length - reader->done;
    count = count < size ? count : size;
    memcpy(room, reader->out.data + reader->done, count);
    reader->done += count;
    reader->took_at = clock_monotonic_ms();
    return (ssize_t)count;
}

static void leave(void *context)
{
    struct reader *reader = context;
    if (--reader->events->reading == 0)
        timer_set(reader->events->loop, &reader->events->timer, EVENT_LINGER_MS);
    LIST_REMOVE(reader, link);
    buffer_free(&reader->out);
    free(reader);
}

/* The client goes on behind the last event that it has. */
static void place(struct reader *reader, const char *last_id)
{
    const struct event_stream *events = reader->events;
    char *end = NULL;
    uint64_t process = last_id ? strtoull(last_id, &end, 16) : 0;
    uint64_t number = end && *end == '-' ? strtoull(end + 1, &end, 10) : 0;
    bool known = last_id && process == events->process && end && !*end && number <= events->count;
    reader->next = known ? number + 1 : events->count + 1;
    reader->lost_all = last_id && !known;
}

struct MHD_Response *event_stream_response(struct event_stream *events, struct MHD_Connection *connection,
                                           const char *last_id)
{
    if (events->reading == EVENT_STREAMS_MAX || !follow(events))
        return NULL;
    int64_t now = clock_monotonic_ms();
    struct reader *reader = memory_new(1, sizeof *reader);
    /* A first comment at once: the client sees that it follows. */
    *reader = (struct reader){.events = events, .connection = connection, .beat = true, .took_at = now};
    place(reader, last_id);
    if (events->reading++ == 0)
        timer_set(events->loop, &events->timer, EVENT_BEAT_MS);
    LIST_INSERT_HEAD(&events->readers, reader, link);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, give, reader, leave);
    if (!response) {
        leave(reader);
        return NULL;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

/* --- time --- */

static void cut_off(const struct reader *reader)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(reader->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info)
        shutdown(info->connect_fd, SHUT_RDWR);
}

static void beat(void *context)
{
    struct event_stream *events = context;
    struct reader *reader;
    int64_t now = clock_monotonic_ms();
    if (!events->reading) {
        call_drop(events->call);
        events->call = NULL;
        return;
    }
    timer_set(events->loop, &events->timer, EVENT_BEAT_MS);
    LIST_FOREACH(reader, &events->readers, link)
    {
        if (!reader->suspended && now - reader->took_at >= EVENT_STALL_MS)
            cut_off(reader);
        reader->beat = true;
        wake(reader);
    }
}
