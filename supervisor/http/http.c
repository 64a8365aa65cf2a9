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
#include "supervisor/http/connections.h"
#include "supervisor/http/routes.h"
#include "supervisor/http/supervisor_client.h"

enum {
    EVENTS = 16,
    HEAD_MAX = 16 * 1024 /* bytes of a request's line and headers, and of what goes before a document */
};

/* One request that was let in. */
struct visit {
    struct MHD_Connection *connection;
    const struct route *route;
    bool waits, waited;
    TAILQ_ENTRY(visit) link; /* in waiting, while it waits */
};

struct http {
    int epoll, channel;
    bool open;
    struct token *token;
    struct MHD_Daemon *daemon;
    struct connections connections;
    struct supervisor_client *client;
    TAILQ_HEAD(, visit) waiting;
    /* The answer of a route that was last made, for all who ask before the supervisor says something new: a system of
     * hundreds of agents has megabytes of metrics. */
    struct MHD_Response *page;
    const struct route *page_route;
    uint64_t page_serial;
};

/* --- documents --- */

/* The body is the response's from here on. */
static struct MHD_Response *make_response(struct document *document)
{
    char seconds[16];
    size_t length = document->body.length;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, buffer_take(&document->body), MHD_RESPMEM_MUST_FREE);
    if (!response)
        return NULL;
    snprintf(seconds, sizeof seconds, "%u", document->retry_after);
    const char *const headers[][2] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, document->type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {MHD_HTTP_HEADER_ALLOW, document->allow},
        {MHD_HTTP_HEADER_WWW_AUTHENTICATE, document->challenge},
        {MHD_HTTP_HEADER_RETRY_AFTER, document->retry_after ? seconds : NULL},
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (headers[i][1])
            MHD_add_response_header(response, headers[i][0], headers[i][1]);
    return response;
}

static enum MHD_Result send_document(struct MHD_Connection *connection, struct document *document)
{
    struct MHD_Response *response = make_response(document);
    if (!response)
        return MHD_NO; /* the connection ends */
    enum MHD_Result queued = MHD_queue_response(connection, document->status, response);
    MHD_destroy_response(response);
    return queued;
}

static void drop_page(struct http *http)
{
    if (http->page)
        MHD_destroy_response(http->page);
    http->page = NULL;
}

/* The supervisor has spoken, or it has not in time. */
static enum MHD_Result answer(struct http *http, const struct route *route, struct MHD_Connection *connection)
{
    uint64_t serial = supervisor_client_serial(http->client);
    struct document document;
    if (http->page && http->page_route == route && http->page_serial == serial)
        return MHD_queue_response(connection, MHD_HTTP_OK, http->page);
    route->answer(supervisor_client_metrics(http->client), &document);
    if (document.status != MHD_HTTP_OK)
        return send_document(connection, &document);
    drop_page(http);
    http->page = make_response(&document);
    http->page_route = route;
    http->page_serial = serial;
    return http->page ? MHD_queue_response(connection, MHD_HTTP_OK, http->page) : MHD_NO;
}

/* --- requests --- */

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

static bool has_body(struct MHD_Connection *connection)
{
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0") != 0);
}

/* The head of a request is there. What is refused is refused now, before any body, and the connection ends with it. */
static enum MHD_Result admit(struct http *http, struct MHD_Connection *connection, const char *url,
                             const char *method, struct visit **visit)
{
    struct document document;
    if (connection_of(connection))
        connections_ask(connection_of(connection), clock_monotonic_ms());
    const struct route *route =
        routes_admit(&(struct request){.method = method,
                                       .path = url,
                                       .host = header(connection, MHD_HTTP_HEADER_HOST),
                                       .authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
                                       .has_body = has_body(connection)},
                     http->token, &document);
    if (!route)
        return send_document(connection, &document);
    *visit = memory_new(1, sizeof **visit);
    **visit = (struct visit){.connection = connection, .route = route};
    return MHD_YES;
}

/* libmicrohttpd calls this for the head, once more when the request is whole, and again when it was suspended. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    (void)version, (void)upload, (void)upload_size;
    struct http *http = context;
    struct visit *visit = *request_context;
    if (!visit)
        return admit(http, connection, url, method, (struct visit **)request_context);
    if (visit->waited ||
        supervisor_client_look(http->client, clock_monotonic_ms()) != SUPERVISOR_CLIENT_UNDER_WAY)
        return answer(http, visit->route, connection);
    visit->waits = visit->waited = true;
    TAILQ_INSERT_TAIL(&http->waiting, visit, link);
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void on_settled(void *context)
{
    struct http *http = context;
    struct visit *visit;
    while ((visit = TAILQ_FIRST(&http->waiting))) {
        TAILQ_REMOVE(&http->waiting, visit, link);
        visit->waits = false;
        MHD_resume_connection(visit->connection);
    }
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode why)
{
    (void)why;
    struct http *http = context;
    struct visit *visit = *request_context;
    if (visit && visit->waits)
        TAILQ_REMOVE(&http->waiting, visit, link);
    free(visit);
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

/* Strangers cause such complaints, so they are logged at the level of debugging only. */
__attribute__((format(printf, 2, 0))) static void on_complaint(void *context, const char *format,
                                                               va_list arguments)
{
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http", NULL, "%s", text);
}

/* No path of this interface needs an escape, and %00 would cut a path short. */
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

static bool watch(const struct http *http, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Milliseconds until the next thing is due; -1: nothing is. */
static int sleep_time(const struct http *http)
{
    int64_t now = clock_monotonic_ms(), due = supervisor_client_deadline(http->client);
    int64_t connections = connections_deadline(&http->connections);
    unsigned MHD_LONG_LONG soon;
    if (due < 0 || (connections >= 0 && connections < due))
        due = connections;
    int64_t left = due < 0 ? -1 : due > now ? due - now : 0;
    if (MHD_get_timeout(http->daemon, &soon) == MHD_YES && (left < 0 || (int64_t)soon < left))
        left = (int64_t)soon;
    return left > INT_MAX ? INT_MAX : (int)left;
}

/* At its limit libmicrohttpd stops listening, and looks whether it may listen again only when it is called: nothing else
 * would call it after the last one has left. */
static void serve(struct http *http)
{
    size_t before;
    do {
        before = http->connections.count;
        MHD_run(http->daemon);
    } while (http->connections.count < before);
}

static void loop(struct http *http, int daemon)
{
    struct epoll_event events[EVENTS];
    while (http->open) {
        int count = epoll_wait(http->epoll, events, EVENTS, clock_wait_ms(sleep_time(http)));
        if (count < 0 && errno != EINTR) {
            log_error("http", NULL, "epoll_wait failed (%d); this process ends and is started again", errno);
            return;
        }
        for (int i = 0; i < count && http->open; i++)
            if (events[i].data.fd != daemon)
                http->open = supervisor_client_event(http->client, events[i].data.fd);
        int64_t now = clock_monotonic_ms();
        supervisor_client_expire(http->client, now);
        connections_expire(&http->connections, now);
        if (http->open)
            serve(http);
    }
}

int http_run(int channel, int listener, struct token *token)
{
    struct http http = {
        .epoll = epoll_create1(EPOLL_CLOEXEC), .channel = channel, .open = true, .token = token};
    TAILQ_INIT(&http.waiting);
    connections_begin(&http.connections);
    http.client = supervisor_client_new(channel, http.epoll, on_settled, &http);
    const union MHD_DaemonInfo *info =
        open_daemon(&http, listener) ? MHD_get_daemon_info(http.daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info || !watch(&http, info->epoll_fd) || !watch(&http, channel)) {
        log_error("http", NULL, "libmicrohttpd cannot be started (%d)", errno);
        return EX_OSERR;
    }
    loop(&http, info->epoll_fd);
    token_free(token); /* all else goes with the process */
    return EX_OK;
}
