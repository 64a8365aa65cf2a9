#include "supervisor/http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/http/calls.h"
#include "supervisor/http/connections.h"
#include "supervisor/http/event_stream.h"
#include "supervisor/http/openapi.h"
#include "supervisor/http/page.h"
#include "supervisor/http/query.h"
#include "supervisor/http/reads.h"
#include "supervisor/http/routes.h"
#include "supervisor/http/snapshot.h"
#include "supervisor/http/task_view.h"
#include "supervisor/http/task_wait.h"

enum {
    HEAD_MAX = 16 * 1024, /* bytes of a request's line and headers, and of a document's head */
    ORDER_WAIT_MS = 60 * 1000,
};

enum { SNAPSHOT_METRICS, SNAPSHOT_STATUS, SNAPSHOTS };

/* A request that was let in. */
struct visit {
    struct http *http;
    struct MHD_Connection *connection;
    const struct route *route;
    json_t *named;           /* the path's pieces */
    struct buffer body;      /* as it comes */
    bool too_large;          /* the body, which is not kept then */
    struct call *call;       /* ASKS_ORDER: under way */
    json_t *answer;          /* of that call; NULL: none came */
    bool asked;              /* the route's question was asked; the next turn answers */
    bool waits;              /* for a snapshot or a read */
    json_t *query;           /* the parameters behind the path's "?" */
    struct read *read;       /* ASKS_READ, and ASKS_TASK for an answer that is in git alone */
    TAILQ_ENTRY(visit) link; /* in waiting, while it waits */
    struct task_wait wait;   /* ASKS_TASK */
};

struct http {
    struct loop *loop;
    int data;
    bool open;
    struct token *token;
    struct MHD_Daemon *daemon;
    struct connections connections;
    struct calls *calls;
    struct snapshot snapshots[SNAPSHOTS];
    struct event_stream *events;
    struct reads reads;
    TAILQ_HEAD(, visit) waiting;
    struct task_waits task_waits;
    /* The metrics and the list of agents as they were last made, for all clients that ask before the supervisor says
     * something new: a system of hundreds of agents has megabytes of them. */
    struct ready_document pages[SNAPSHOTS];
    uint64_t page_serials[SNAPSHOTS];
};

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The client has asked, or its answer is there: the client's time runs. */
static void let_time_run(struct MHD_Connection *connection)
{
    if (connection_of(connection))
        connections_ask(connection_of(connection), clock_monotonic_ms());
}

/* The client waits for us. */
static enum MHD_Result suspend(struct MHD_Connection *connection)
{
    if (connection_of(connection))
        connections_serve(connection_of(connection));
    MHD_suspend_connection(connection);
    return MHD_YES;
}

/* False: so many clients wait already that this one is to come again, which the document says. */
static bool may_wait(struct visit *visit, enum long_wait what, struct document *document)
{
    struct connection *connection = connection_of(visit->connection);
    if (!connection || connections_let_wait(&visit->http->connections, connection, what))
        return true;
    document_problem(document, 429, "too many other clients wait for their answers");
    document->retry_after = 1;
    return false;
}

/* --- documents --- */

static struct snapshot *snapshot_of(struct http *http, const struct route *route)
{
    return route->asks == ASKS_METRICS                              ? &http->snapshots[SNAPSHOT_METRICS]
           : route->asks == ASKS_STATUS || route->asks == ASKS_TASK ? &http->snapshots[SNAPSHOT_STATUS]
                                                                    : NULL;
}

static enum MHD_Result read_elsewhere(struct visit *visit);

static enum MHD_Result answer_task(struct visit *visit)
{
    struct http *http = visit->http;
    struct document document;
    const char *agent = json_string_value(json_object_get(visit->named, "agent"));
    task_wait_look(&http->task_waits, &visit->wait, agent);
    enum task_view seen =
        task_view(http->data, visit->named, snapshot_object(&http->snapshots[SNAPSHOT_STATUS]), &document);
    if (seen == TASK_PRUNED)
        return read_elsewhere(visit);
    if (seen == TASK_OPEN &&
        task_wait_park(&http->task_waits, &visit->wait, document.status == 404, clock_monotonic_ms())) {
        document_free(&document);
        return suspend(visit->connection);
    }
    let_time_run(visit->connection);
    document.tagged = true;
    return document_send(visit->connection, &document);
}

static void task_is_due(void *context)
{
    struct visit *visit = context;
    let_time_run(visit->connection);
    MHD_resume_connection(visit->connection);
}

static enum MHD_Result answer_read(struct visit *visit)
{
    struct read *read = visit->read;
    struct document document;
    if (!read->ready.response) {
        visit->route->answer(read->answer, visit->named, &document);
        document.tagged = true;
        document_make_ready(&document, &read->ready);
        json_decref(read->answer);
        read->answer = NULL;
    }
    return ready_document_send(visit->connection, &read->ready);
}

/* The page is the same for everybody until the supervisor says something new. */
static enum MHD_Result answer_page(struct visit *visit, const struct snapshot *snapshot, size_t index)
{
    struct http *http = visit->http;
    struct ready_document *page = &http->pages[index];
    struct document document;
    if (!page->response || http->page_serials[index] != snapshot->serial) {
        visit->route->answer(snapshot_object(snapshot), visit->named, &document);
        document.tagged = visit->route->asks == ASKS_STATUS;
        ready_document_free(page);
        document_make_ready(&document, page);
        http->page_serials[index] = snapshot->serial;
    }
    return ready_document_send(visit->connection, page);
}

/* The route's question was asked: the supervisor has answered, or not in time. */
static enum MHD_Result answer(struct visit *visit)
{
    struct http *http = visit->http;
    struct document document;
    if (visit->read)
        return answer_read(visit);
    if (visit->route->asks == ASKS_TASK)
        return answer_task(visit);
    const struct snapshot *snapshot = snapshot_of(http, visit->route);
    if (visit->route->asks == ASKS_METRICS)
        json_object_update(visit->named, visit->query);
    if (snapshot && !visit->route->open && json_object_size(visit->named) == 0)
        return answer_page(visit, snapshot, (size_t)(snapshot - http->snapshots));
    visit->route->answer(snapshot ? snapshot_object(snapshot) : visit->answer, visit->named, &document);
    document.tagged = snapshot != NULL;
    return document_send(visit->connection, &document);
}

/* --- requests --- */

static bool has_body(struct MHD_Connection *connection)
{
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0") != 0);
}

static bool is_too_large(struct MHD_Connection *connection)
{
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length && strtoull(length, NULL, 10) > BODY_MAX;
}

static enum MHD_Result say_too_large(struct MHD_Connection *connection)
{
    struct document document;
    document_problem(&document, 413, "a body has at most %d bytes", BODY_MAX);
    return document_send(connection, &document);
}

struct heads {
    int hosts, ends;
};

static enum MHD_Result count_head(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct heads *heads = context;
    bool codes = strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    heads->hosts += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    heads->ends += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    heads->ends += codes ? 1 + (strcasecmp(value, "chunked") != 0) : 0; /* no other coding has an end here */
    return MHD_YES;
}

/* The head of a request is there. A refusal comes now, before any body, and the connection ends with it. */
static enum MHD_Result admit(struct http *http, struct MHD_Connection *connection, const char *url,
                             const char *method, struct visit **visit)
{
    struct document document = {0};
    json_t *named;
    struct heads heads = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_head, &heads);
    let_time_run(connection);
    const struct route *route =
        routes_admit(&(struct request){.method = method,
                                       .path = url,
                                       .host = header(connection, MHD_HTTP_HEADER_HOST),
                                       .origin = header(connection, MHD_HTTP_HEADER_ORIGIN),
                                       .authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
                                       .several_hosts = heads.hosts > 1,
                                       .several_ends = heads.ends > 1,
                                       .has_body = has_body(connection)},
                     http->token, &named, &document);
    if (!route)
        return document_send(connection, &document);
    if (is_too_large(connection)) {
        json_decref(named);
        return say_too_large(connection);
    }
    *visit = memory_new(1, sizeof **visit);
    **visit = (struct visit){.http = http, .connection = connection, .route = route, .named = named};
    return MHD_YES;
}

static void take_body(struct visit *visit, const char *upload, size_t *size)
{
    visit->too_large |= visit->body.length + *size > BODY_MAX;
    if (!visit->too_large)
        buffer_add(&visit->body, upload, *size);
    *size = 0;
}

/* --- the route's question --- */

static void is_told(void *context, const json_t *told)
{
    struct visit *visit = context;
    visit->answer = json_incref((json_t *)told);
    visit->call = NULL;
    snapshot_outdate(&visit->http->snapshots[SNAPSHOT_STATUS]);
    reads_outdate(&visit->http->reads);
    let_time_run(visit->connection);
    MHD_resume_connection(visit->connection);
}

/* The client's key that makes a task safe to repeat becomes the task's id: the same key, the same task
 * (draft-ietf-httpapi-idempotency-key-header). With another body it is refused. */
static void add_idempotency(const struct visit *visit, json_t *request)
{
    const char *key = header(visit->connection, "Idempotency-Key");
    if (!key || !*key || !route_takes_key(visit->route) || json_object_get(request, "id"))
        return;
    OWNED char *id = memory_print("key-%016llx", names_hash(key, strlen(key)));
    json_object_set_new(request, "id", json_string(id));
    json_object_set_new(request, "whole", json_true());
}

/* An order's answer takes the supervisor's time, not the client's. */
static enum MHD_Result give_order(struct visit *visit)
{
    struct document document = {0};
    json_t *request = may_wait(visit, WAITS_FOR_ORDER, &document)
                          ? body_read(visit->body.data, visit->body.length, visit->route->fields, &document)
                          : NULL;
    if (!request)
        return document_send(visit->connection, &document);
    add_idempotency(visit, request);
    json_object_update(request, visit->named);
    json_object_set_new(request, "verb", json_string(visit->route->verb));
    visit->call = call_begin(visit->http->calls, CALL_CONTROL, request, ORDER_WAIT_MS, is_told, visit);
    return visit->call ? suspend(visit->connection) : answer(visit);
}

static bool begin_wait(struct visit *visit, struct document *document)
{
    json_int_t seconds = json_integer_value(json_object_get(visit->query, "wait"));
    const struct connection *connection = connection_of(visit->connection);
    task_wait_begin(&visit->wait, seconds < TASK_WAIT_MAX ? (int)seconds : TASK_WAIT_MAX,
                    connection ? connection->fd : -1, task_is_due, visit);
    return seconds == 0 || may_wait(visit, WAITS_FOR_END, document);
}

static enum MHD_Result park(struct visit *visit)
{
    visit->waits = true;
    TAILQ_INSERT_TAIL(&visit->http->waiting, visit, link);
    return suspend(visit->connection);
}

static enum MHD_Result look(struct visit *visit)
{
    struct http *http = visit->http;
    struct document document = {0};
    if (visit->route->asks == ASKS_TASK && !begin_wait(visit, &document))
        return document_send(visit->connection, &document);
    if (snapshot_look(snapshot_of(http, visit->route), clock_monotonic_ms()) != SNAPSHOT_UNDER_WAY)
        return answer(visit);
    return park(visit);
}

static enum MHD_Result read_elsewhere(struct visit *visit)
{
    struct document document = {0};
    if (!may_wait(visit, WAITS_FOR_ORDER, &document))
        return document_send(visit->connection, &document);
    json_t *request = json_pack("{s:s}", "read", visit->route->verb);
    json_object_update(request, visit->query);
    json_object_update(request, visit->named);
    visit->read = reads_ask(&visit->http->reads, request);
    if (!visit->read) {
        document_problem(&document, 429, "%d other reads wait for their turn", READS_MAX);
        document.retry_after = 1;
        return document_send(visit->connection, &document);
    }
    return visit->read->state == READ_SETTLED ? answer(visit) : park(visit);
}

static enum MHD_Result follow(struct visit *visit)
{
    struct document document = {0};
    const char *last = header(visit->connection, "Last-Event-ID");
    struct MHD_Response *response = event_stream_response(visit->http->events, visit->connection, last);
    if (!response) {
        document_problem(&document, 503, "%d clients follow the events already", EVENT_STREAMS_MAX);
        document.retry_after = 1;
        return document_send(visit->connection, &document);
    }
    if (connection_of(visit->connection))
        connections_serve(connection_of(visit->connection));
    enum MHD_Result queued = MHD_queue_response(visit->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result describe(struct visit *visit)
{
    struct document document;
    document_json(&document, 200, openapi_document());
    document.tagged = true;
    return document_send(visit->connection, &document);
}

static enum MHD_Result read_files(struct visit *visit)
{
    struct document document;
    visit->route->read(visit->http->data, visit->route, visit->named, &document);
    document.tagged = true;
    return document_send(visit->connection, &document);
}

static enum MHD_Result begin(struct visit *visit)
{
    struct document document;
    if (visit->too_large)
        return say_too_large(visit->connection);
    if (!visit->route->open) { /* probes and browsers may add what they like */
        visit->query = query_read(visit->connection, visit->route->query, &document);
        if (!visit->query)
            return document_send(visit->connection, &document);
    }
    switch (visit->route->asks) {
    case ASKS_ORDER:
        return give_order(visit);
    case ASKS_EVENTS:
        return follow(visit);
    case ASKS_DESCRIPTION:
        return describe(visit);
    case ASKS_FILES:
        return read_files(visit);
    case ASKS_PAGE:
        return page_send(visit->connection, json_string_value(json_object_get(visit->named, "file")));
    case ASKS_READ:
        return read_elsewhere(visit);
    default:
        return look(visit);
    }
}

/* libmicrohttpd calls this for the head, for each part of a body, once more when the request is whole, and again when it
 * was suspended. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    (void)version;
    struct visit *visit = *request_context;
    if (!visit)
        return admit(context, connection, url, method, (struct visit **)request_context);
    if (*upload_size) {
        take_body(visit, upload, upload_size);
        return MHD_YES;
    }
    if (visit->asked)
        return answer(visit);
    visit->asked = true;
    return begin(visit);
}

static bool must_wait(const struct visit *visit)
{
    return visit->read ? visit->read->state != READ_SETTLED
                       : snapshot_of(visit->http, visit->route)->call != NULL;
}

/* Visits that wait for another snapshot or read than the settled one wait on. */
static void on_settled(void *context)
{
    struct http *http = context;
    struct visit *visit, *next;
    for (visit = TAILQ_FIRST(&http->waiting); visit; visit = next) {
        next = TAILQ_NEXT(visit, link);
        if (must_wait(visit))
            continue;
        TAILQ_REMOVE(&http->waiting, visit, link);
        visit->waits = false;
        let_time_run(visit->connection);
        MHD_resume_connection(visit->connection);
    }
}

static void free_visit(struct visit *visit)
{
    if (visit->waits)
        TAILQ_REMOVE(&visit->http->waiting, visit, link);
    task_wait_end(&visit->http->task_waits, &visit->wait);
    call_drop(visit->call);
    read_drop(visit->read);
    json_decref(visit->answer);
    json_decref(visit->query);
    json_decref(visit->named);
    buffer_free(&visit->body);
    free(visit);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode why)
{
    (void)context, (void)why;
    if (*request_context)
        free_visit(*request_context);
    *request_context = NULL;
    if (connection_of(connection))
        connections_rest(connection_of(connection), clock_monotonic_ms());
}

static void on_connection(void *context, struct MHD_Connection *connection, void **entry,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (what == MHD_CONNECTION_NOTIFY_STARTED && info) {
        *entry = connections_come(&http->connections, info->connect_fd, clock_monotonic_ms());
    } else if (what == MHD_CONNECTION_NOTIFY_CLOSED && *entry) {
        connections_leave(&http->connections, *entry);
        *entry = NULL;
    }
}

/* Strangers cause libmicrohttpd's complaints, so these are logged at the level of debugging only. */
__attribute__((format(printf, 2, 0))) static void on_complaint(void *context, const char *format,
                                                               va_list arguments)
{
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http", NULL, "%s", text);
}

/* Pieces of a path are unescaped where they are cut (routes.c): an escaped slash or NUL would cut them elsewhere. */
static size_t leave_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* --- the loop --- */

static bool open_daemon(struct http *http, int listener)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_complaint, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL, MHD_OPTION_LISTEN_SOCKET, listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_MAX, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
    return http->daemon != NULL;
}

/* Milliseconds until a connection's time is over, or libmicrohttpd's own is; -1: neither will be. */
static int sleep_time(const struct http *http)
{
    int64_t due = connections_deadline(&http->connections), now = clock_monotonic_ms();
    int64_t left = due < 0 ? -1 : due > now ? due - now : 0;
    unsigned MHD_LONG_LONG soon;
    if (MHD_get_timeout(http->daemon, &soon) == MHD_YES && (left < 0 || (int64_t)soon < left))
        left = (int64_t)soon;
    return left > INT_MAX ? INT_MAX : (int)left;
}

/* At its limit libmicrohttpd stops listening, and looks whether it may listen again only when it is called: no event
 * would call it after the last client has left. */
static void serve(struct http *http)
{
    size_t before;
    do {
        before = http->connections.count;
        MHD_run(http->daemon);
    } while (http->connections.count < before);
}

/* The turn that this ends serves it. */
static void has_come(void *context, uint32_t events)
{
    (void)context, (void)events;
}

static void end(void *context)
{
    struct http *http = context;
    http->open = false;
}

static bool open_all(struct http *http, int channel, int listener)
{
    http->loop = loop_new();
    http->calls = http->loop ? calls_new(channel, http->loop, end, http) : NULL;
    if (!http->calls || !open_daemon(http, listener))
        return false;
    TAILQ_INIT(&http->waiting);
    connections_begin(&http->connections);
    task_waits_begin(&http->task_waits, http->loop, http->data);
    http->events = event_stream_new(http->calls, http->loop);
    reads_begin(&http->reads, http->calls, http->loop, on_settled, http);
    snapshot_begin(&http->snapshots[SNAPSHOT_METRICS], http->calls, "metrics", on_settled, http);
    snapshot_begin(&http->snapshots[SNAPSHOT_STATUS], http->calls, "status", on_settled, http);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info && loop_watch(http->loop, info->epoll_fd, EPOLLIN, has_come, http);
}

int http_run(int channel, int listener, int data, struct token *token)
{
    struct http http = {.data = data, .open = true, .token = token};
    if (!open_all(&http, channel, listener))
        return log_error("http", NULL, "libmicrohttpd cannot be started (%d)", errno), EX_OSERR;
    while (http.open) {
        loop_turn(http.loop, sleep_time(&http));
        connections_expire(&http.connections, clock_monotonic_ms());
        if (http.open)
            serve(&http);
    }
    token_free(token); /* everything else goes with the process */
    return EX_OK;
}
