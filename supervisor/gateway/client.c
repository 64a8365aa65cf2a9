#include "supervisor/gateway/client.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/gateway/response.h"

enum {
    CONNECT_TIMEOUT_MS = 15 * 1000, /* a host that doesn't even accept is given up before LLM_TIMEOUT */
    CONNECTIONS_KEPT = 512, /* libcurl closes idle connections while there are more, busy ones counted */
    HANDLES_KEPT = 32,      /* finished transfers kept for the next: making one costs as much as a request */
    /* A connection that was idle for longer is not used again. Many servers (uvicorn, Node, llama.cpp) close idle
     * connections after five seconds: a request that meets the close on its way must count as paid, and a new
     * connection costs 0.1 s. */
    IDLE_MOST_S = 4,
    BODY_KEPT = 256 * 1024 /* bytes of a body's buffer that are kept with the transfer */
};

struct transfer {
    struct client *client;
    CURL *easy;
    void *context;
    LIST_ENTRY(transfer) link; /* in active while the transfer is under way, else in spare */
    struct buffer body;
    size_t header_bytes, body_most;
    client_done *done;
    bool body_too_large, header_too_large;
    bool begun;       /* the request goes out, for the first time */
    int64_t deadline; /* ms of the kernel's clock */
    char *content_type, *location, *retry_after, *retry_after_ms;
    char error[CURL_ERROR_SIZE];
    const struct proxy *proxy; /* NULL: none */
};

struct client {
    CURLM *multi;
    struct loop *loop;
    struct timer timer;   /* libcurl's own */
    struct timer overdue; /* rings at `earliest` */
    int64_t earliest;     /* when the first of active is overdue; kernel_ms; INT64_MAX: active is empty */
    LIST_HEAD(, transfer) active, spare;
    unsigned spare_count;
};

/* A socket of libcurl's. */
struct watched {
    struct client *client;
    curl_socket_t fd;
    struct loop_watch *watch;
};

/* A request's time is the kernel's, as libcurl's own is: a test that moves the other clock ends no request. */
static int64_t kernel_ms(void)
{
    return clock_kernel_monotonic_us() / 1000;
}

/* ---- responses ---- */

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t length = size * count;
    const char *type = transfer->content_type;
    bool stream = type && strncasecmp(type, "text/event-stream", strlen("text/event-stream")) == 0;
    size_t most = transfer->body_most ? transfer->body_most
                  : stream            ? RESPONSE_STREAM_MAX
                                      : RESPONSE_BODY_MAX;
    if (transfer->body.length + length > most) {
        transfer->body_too_large = true;
        return 0;
    }
    buffer_add(&transfer->body, bytes, length);
    return length;
}

static void keep(char **to, const char *value, size_t length)
{
    while (length && strchr(" \t\r\n", value[length - 1]))
        length--;
    while (length && strchr(" \t", *value))
        value++, length--;
    free(*to);
    *to = memory_slice(value, length);
}

static void forget_headers(struct transfer *transfer)
{
    char **const kept[] = {&transfer->content_type, &transfer->location, &transfer->retry_after,
                           &transfer->retry_after_ms};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        free(*kept[i]);
        *kept[i] = NULL;
    }
}

/* A new status line begins a new set of headers: the headers of a 100 or of a proxy's CONNECT are void. */
static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t length = size * count;
    const struct {
        const char *name;
        char **to;
    } wanted[] = {{"content-type:", &transfer->content_type},
                  {"location:", &transfer->location},
                  {"retry-after:", &transfer->retry_after},
                  {"retry-after-ms:", &transfer->retry_after_ms}};
    transfer->header_bytes += length;
    if (transfer->header_bytes > RESPONSE_HEADER_MAX) {
        transfer->header_too_large = true;
        return 0;
    }
    if (length >= 5 && strncmp(bytes, "HTTP/", 5) == 0)
        forget_headers(transfer);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        size_t name = strlen(wanted[i].name);
        if (length > name && strncasecmp(bytes, wanted[i].name, name) == 0)
            keep(wanted[i].to, bytes + name, length - name);
    }
    return length;
}

/* ---- libcurl's calls to us ---- */

/* Called before a request is written. On a connection that ends without a word libcurl would send the request a
 * second time, and nobody would know that it may be paid twice: the caller decides about that. */
static int begin_sending(void *context, char *address, char *own_address, int port, int own_port)
{
    (void)address, (void)own_address, (void)port, (void)own_port;
    struct transfer *transfer = context;
    bool again = transfer->begun;
    transfer->begun = true;
    return again ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void collect(struct client *client);

static void is_ready(void *context, uint32_t events)
{
    const struct watched *socket = context;
    struct client *client = socket->client;
    int running, what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                        (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                        (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(client->multi, socket->fd, what, &running);
    collect(client);
}

/* libcurl may close a descriptor before it says so, and the kernel drops closed ones from an epoll by itself: so a
 * socket is not changed but watched anew. */
static int watch(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    (void)easy;
    struct client *client = context;
    struct watched *socket = known ? known : memory_new(1, sizeof *socket);
    loop_forget(client->loop, socket->watch);
    if (what == CURL_POLL_REMOVE) {
        free(socket);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    *socket = (struct watched){.client = client, .fd = fd};
    socket->watch = loop_watch(client->loop, fd, events, is_ready, socket);
    curl_multi_assign(client->multi, fd, socket);
    return 0;
}

static int set_timer(CURLM *multi, long milliseconds, void *context)
{
    (void)multi;
    struct client *client = context;
    if (milliseconds < 0)
        timer_clear(client->loop, &client->timer);
    else
        timer_set(client->loop, &client->timer, milliseconds);
    return 0;
}

static void is_due(void *context)
{
    struct client *client = context;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(client);
}

static void end_overdue(void *context);

struct client *client_open(struct loop *loop, struct fault *fault)
{
    CURLM *multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (!multi)
        return fault_set(fault, "libcurl can't be started, so no provider can be asked"), NULL;
    struct client *client = memory_new(1, sizeof *client);
    *client = (struct client){.multi = multi,
                              .loop = loop,
                              .earliest = INT64_MAX,
                              .timer = {.ring = is_due, .context = client},
                              .overdue = {.ring = end_overdue, .context = client}};
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    return client;
}

/* ---- transfers ---- */

/* Authorities besides the system's, as OpenSSL's own tools read them; for a proxy that speaks TLS, too. */
static void trust(CURL *easy)
{
    const char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    if (file && *file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, file);
        curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, file);
    }
    if (folder && *folder) {
        curl_easy_setopt(easy, CURLOPT_CAPATH, folder);
        curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, folder);
    }
}

static CURL *make_easy(struct transfer *transfer)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, begin_sending);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "agentos/" AGENTOS_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_MOST_S);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    trust(easy);
    return easy;
}

static struct transfer *take_transfer(struct client *client)
{
    struct transfer *transfer = LIST_FIRST(&client->spare);
    if (transfer) {
        LIST_REMOVE(transfer, link);
        client->spare_count--;
        return transfer;
    }
    transfer = memory_new(1, sizeof *transfer);
    transfer->client = client;
    transfer->easy = make_easy(transfer);
    if (transfer->easy)
        return transfer;
    free(transfer);
    return NULL;
}

static void wait_until(struct client *client, int64_t earliest)
{
    client->earliest = earliest;
    if (earliest == INT64_MAX)
        timer_clear(client->loop, &client->overdue);
    else
        timer_set(client->loop, &client->overdue, earliest - kernel_ms());
}

/* Takes the transfer off the list of those under way; it is kept for the next request unless there are enough of
 * them. */
void client_cancel(struct client *client, struct transfer *transfer)
{
    curl_multi_remove_handle(client->multi, transfer->easy);
    LIST_REMOVE(transfer, link);
    if (LIST_EMPTY(&client->active))
        wait_until(client, INT64_MAX);
    forget_headers(transfer);
    if (client->spare_count >= HANDLES_KEPT) {
        curl_easy_cleanup(transfer->easy);
        buffer_free(&transfer->body);
        free(transfer);
        return;
    }
    if (transfer->body.capacity > BODY_KEPT)
        buffer_free(&transfer->body);
    transfer->body.length = transfer->header_bytes = 0;
    transfer->body_too_large = transfer->header_too_large = transfer->begun = false;
    transfer->context = NULL;
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
    LIST_INSERT_HEAD(&client->spare, transfer, link);
    client->spare_count++;
}

void client_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer)
        *headers = longer;
}

struct transfer *client_start(struct client *client, const struct client_request *request, void *context,
                              struct fault *fault)
{
    struct transfer *transfer = take_transfer(client);
    if (!transfer)
        return fault_set(fault, "libcurl has no memory for another request"), NULL;
    CURL *easy = transfer->easy;
    long connect = request->timeout_ms < CONNECT_TIMEOUT_MS ? (long)request->timeout_ms : CONNECT_TIMEOUT_MS;
    transfer->context = context;
    transfer->done = request->done;
    transfer->body_most = request->body_most;
    transfer->error[0] = '\0';
    transfer->proxy = request->proxy && request->proxy->address ? request->proxy : NULL;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROXY, transfer->proxy ? transfer->proxy->address : "");
    curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, transfer->proxy ? transfer->proxy->user : NULL);
    curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, transfer->proxy ? transfer->proxy->password : NULL);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect);
    transfer->deadline = kernel_ms() + request->timeout_ms;
    LIST_INSERT_HEAD(&client->active, transfer, link);
    if (transfer->deadline < client->earliest)
        wait_until(client, transfer->deadline);
    CURLMcode code = curl_multi_add_handle(client->multi, easy);
    if (code == CURLM_OK)
        return transfer;
    fault_set(fault, "libcurl can't start the request: %s", curl_multi_strerror(code));
    client_cancel(client, transfer);
    return NULL;
}

/* ---- the end of a transfer ---- */

/* False for faults that no further try can mend: wrong addresses and certificates; true for faults of the network on
 * the way. */
static bool is_passing(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return false;
    default:
        return true;
    }
}

static const char *error_of(const struct transfer *transfer, CURLcode code)
{
    if (transfer->body_too_large)
        return "sent more than 4 MiB (32 as a stream), which no reply has; the rest was not read";
    if (transfer->header_too_large)
        return "sent more than 64 KiB of headers; the rest was not read";
    if (code == CURLE_OK)
        return NULL;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return "closed the connection without a word";
    return transfer->error[0] ? transfer->error : curl_easy_strerror(code);
}

/* A proxy's answer in place of a tunnel is no answer of the provider's; in a tunnel only the provider speaks. */
static const char *proxy_that_spoke(const struct transfer *transfer, CURLcode code, long refusal)
{
    char *scheme = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_SCHEME, &scheme);
    bool tunnel = code == CURLE_OK && scheme && strcasecmp(scheme, "https") == 0;
    return transfer->proxy && (refusal >= 300 || !tunnel) ? transfer->proxy->name : NULL;
}

static void deliver(struct transfer *transfer, CURLcode code)
{
    long refusal = 0; /* the proxy's refusal of a tunnel */
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &refusal);
    struct client_result result = {
        .error = error_of(transfer, code),
        .passing = !transfer->body_too_large && !transfer->header_too_large && is_passing(code) &&
                   refusal != 403 && refusal != 407,
        .proxy = proxy_that_spoke(transfer, code, refusal),
        .unheard = code == CURLE_ABORTED_BY_CALLBACK,
        .timed_out = transfer->begun && code == CURLE_OPERATION_TIMEDOUT,
        .sent = transfer->begun,
        .content_type = transfer->content_type,
        .location = transfer->location,
        .retry_after = transfer->retry_after,
        .retry_after_ms = transfer->retry_after_ms,
        .body = &transfer->body,
    };
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &result.status);
    transfer->done(transfer->context, &result);
}

/* done may start and cancel other transfers, so each message is finished with before the next is looked at. */
static void collect(struct client *client)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left));) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *transfer = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        deliver(transfer, code);
        client_cancel(client, transfer);
    }
}

/* The first overdue transfer; earliest is renewed when there is none. */
static struct transfer *find_overdue(struct client *client)
{
    int64_t now = kernel_ms(), earliest = INT64_MAX;
    struct transfer *transfer;
    LIST_FOREACH(transfer, &client->active, link)
    {
        if (transfer->deadline <= now)
            return transfer;
        if (transfer->deadline < earliest)
            earliest = transfer->deadline;
    }
    wait_until(client, earliest);
    return NULL;
}

/* The client keeps the timeouts and not libcurl, which looks at the time before it reads: an answer that came while
 * this process was stopped would be thrown away, paid for, and asked for again. done may start and cancel transfers. */
static void end_overdue(void *context)
{
    struct client *client = context;
    for (struct transfer *transfer; (transfer = find_overdue(client));) {
        snprintf(transfer->error, sizeof transfer->error, "timed out with %zu bytes received",
                 transfer->body.length);
        deliver(transfer, CURLE_OPERATION_TIMEDOUT);
        client_cancel(client, transfer);
    }
}

bool client_busy(const struct client *client)
{
    return !LIST_EMPTY(&client->active);
}

void client_stood_still(struct client *client, int64_t milliseconds)
{
    struct transfer *transfer;
    LIST_FOREACH(transfer, &client->active, link)
    transfer->deadline += milliseconds;
    if (client_busy(client))
        wait_until(client, client->earliest + milliseconds);
}
