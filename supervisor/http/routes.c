#include "supervisor/http/routes.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/http/exposition.h"
#include "supervisor/http/task_view.h"
#include "supervisor/listings/learned.h"
#include "supervisor/listings/notices.h"
#include "supervisor/listings/task_state.h"

#define OWN_PROBLEMS "the supervisor has problems of its own; `agentos status` says which"
#define CONFIG_REFUSED                                                                                       \
    "agents.yaml is refused or gone, and the agents go on as they were defined; `agentos status` says why"

#define NOT_YET "not carried out yet, and it may be still: a stop or a pause waits for the task in hand"

enum { RETRY_SECONDS = 1, QUEUE_SHOWN = 200 };

static void no_supervisor(struct document *document)
{
    document_problem(document, 503, "the supervisor does not answer in time");
    document->retry_after = RETRY_SECONDS;
}

static void healthz(const json_t *metrics, const json_t *named, struct document *document)
{
    (void)named;
    if (metrics)
        document_json(document, 200, json_pack("{s:s}", "status", "ok"));
    else
        no_supervisor(document);
}

/* Everybody may ask, so the answer has numbers and no names. */
static void readyz(const json_t *metrics, const json_t *named, struct document *document)
{
    (void)named;
    size_t index;
    int wanted = 0, ready = 0;
    const json_t *agent;
    if (!metrics) {
        no_supervisor(document);
        return;
    }
    json_array_foreach(json_object_get(metrics, "agents"), index, agent)
    {
        bool counts = json_is_true(json_object_get(agent, "wanted"));
        wanted += counts;
        ready += counts && json_is_true(json_object_get(agent, "up"));
    }
    bool refused = json_is_true(json_object_get(metrics, "config_refused"));
    json_int_t own = json_integer_value(json_object_get(metrics, "own_problems"));
    if (json_is_true(json_object_get(metrics, "ending")))
        document_problem(document, 503, "the supervisor is stopping");
    else if (ready < wanted)
        document_problem(document, 503, "%d of %d agents are ready; `agentos status` says more%s%s", ready,
                         wanted, refused ? ". " : "", refused ? CONFIG_REFUSED : "");
    else if (refused || own)
        document_json(document, 200,
                      json_pack("{s:s, s:i, s:[s*, s*]}", "status", "ready", "agents", ready, "problems",
                                refused ? CONFIG_REFUSED : NULL, own ? OWN_PROBLEMS : NULL));
    else
        document_json(document, 200, json_pack("{s:s, s:i}", "status", "ready", "agents", ready));
}

static void metrics_page(const json_t *metrics, const json_t *named, struct document *document)
{
    const char *agents = json_string_value(json_object_get(named, "agents"));
    if (!metrics) {
        no_supervisor(document);
        return;
    }
    *document = (struct document){.status = 200, .type = EXPOSITION_TYPE};
    exposition_print(metrics, agents && strcmp(agents, "all") == 0, &document->body);
}

/* --- agents --- */

static void agents_list(const json_t *status, const json_t *named, struct document *document)
{
    (void)named;
    const json_t *supervisor = json_object_get(status, "supervisor"),
                 *agents = json_object_get(status, "agents");
    if (!status)
        no_supervisor(document);
    else
        document_json(document, 200, json_pack("{s:O, s:O}", "supervisor", supervisor, "agents", agents));
}

static void agent_one(const json_t *status, const json_t *named, struct document *document)
{
    size_t index;
    json_t *agent;
    const char *name = json_string_value(json_object_get(named, "agent"));
    if (!status) {
        no_supervisor(document);
        return;
    }
    json_array_foreach(json_object_get(status, "agents"), index, agent)
    {
        const char *here = json_string_value(json_object_get(agent, "name"));
        if (here && strcmp(here, name) == 0) {
            document_json(document, 200, json_incref(agent));
            return;
        }
    }
    document_problem(document, 404, "there is no agent of this name in agents.yaml");
}

/* --- orders: the meaning of the supervisor's exit codes (sysexits.h) --- */

static unsigned status_of(long long exit, unsigned busy)
{
    switch (exit) {
    case EX_USAGE:
        return 400;
    case EX_DATAERR:
    case EX_CONFIG:
        return 422;
    case EX_NOINPUT:
        return 404;
    case EX_NOPERM:
        return 403;
    case EX_TEMPFAIL:
        return busy;
    case EX_CANTCREAT:
    case EX_IOERR:
        return 507;
    default:
        return 500;
    }
}

/* True: the order is done, and the document is the caller's to fill. */
static bool is_done(const json_t *answer, unsigned busy, struct document *document)
{
    long long exit = json_integer_value(json_object_get(answer, "exit"));
    const char *complaint = json_string_value(json_object_get(answer, "complaint"));
    if (answer && exit == EX_OK)
        return true;
    if (!answer) {
        document_problem(document, 503, "%s", NOT_YET);
        document->retry_after = RETRY_SECONDS;
        return false;
    }
    document_problem(document, status_of(exit, busy), "%s",
                     complaint ? complaint : "the request could not be carried out");
    if (document->status == 429 || document->status == 503)
        document->retry_after = RETRY_SECONDS;
    return false;
}

/* An order's outcome: the supervisor's own words, and the names in the path. */
static json_t *outcome(const json_t *answer, const json_t *named)
{
    json_t *object = json_copy((json_t *)named);
    json_object_update_missing(object, (json_t *)answer);
    json_object_del(object, "exit");
    return object;
}

static void order_done(const json_t *answer, const json_t *named, struct document *document)
{
    if (is_done(answer, 409, document))
        document_json(document, 200, outcome(answer, named));
}

static void sent(const json_t *answer, const json_t *named, struct document *document)
{
    if (is_done(answer, 429, document))
        document_json(document, 201, outcome(answer, named));
}

/* A piece of a path (RFC 3986): bytes that are not unreserved as %XX. Caller frees. */
static char *escape(const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    struct buffer escaped = {0};
    for (; *text; text++)
        if (strchr(unreserved, *text))
            buffer_add(&escaped, text, 1);
        else
            buffer_print(&escaped, "%%%02X", (unsigned)(unsigned char)*text);
    return buffer_take(&escaped);
}

static void task_taken(const json_t *answer, const json_t *named, struct document *document)
{
    char location[sizeof document->location];
    if (!is_done(answer, 429, document))
        return;
    json_t *object = outcome(answer, named);
    if (!json_object_get(object, "known"))
        json_object_set_new(object, "known", json_string("pending"));
    const char *agent = json_string_value(json_object_get(named, "agent"));
    const char *id = json_string_value(json_object_get(object, "id"));
    OWNED char *escaped = escape(id ? id : "");
    snprintf(location, sizeof location, "/v1/agents/%s/tasks/%s", agent, escaped);
    document_json(document, 201, object);
    memcpy(document->location, location, sizeof location);
}

/* --- a reader's answer --- */

static void read_done(const json_t *answer, const json_t *named, struct document *document)
{
    (void)named;
    if (!answer) {
        document_problem(document, 503,
                         "the files that this path tells of can't be read now, or not in time");
        document->retry_after = RETRY_SECONDS;
    } else if (is_done(answer, 503, document)) {
        document_json(document, 200, json_incref(json_object_get(answer, "answer")));
    }
}

/* --- files --- */

static void complain(const char *sentence)
{
    log_warn("http", NULL, "%s", sentence);
}

static void notices(int data, const struct route *route, const json_t *named, struct document *document)
{
    (void)named;
    document_json(document, 200, json_pack("{s:o}", "items", notices_list(data, route->folder, complain)));
}

static void learned(int data, const struct route *route, const json_t *named, struct document *document)
{
    struct fault fault = {0};
    const char *agent = json_string_value(json_object_get(named, "agent"));
    OWNED_FD int folder = task_view_folder(data, agent);
    json_t *items = folder >= 0 ? learned_items(folder, agent, route->learned, SIZE_MAX, &fault) : NULL;
    if (folder < 0)
        document_problem(document, 404, "there is no agent of this name");
    else if (!items)
        document_problem(document, 500, "%s", fault.text);
    else
        document_json(document, 200, json_pack("{s:o}", "items", items));
}

static void queue(int data, const struct route *route, const json_t *named, struct document *document)
{
    (void)route;
    OWNED_FD int folder = task_view_folder(data, json_string_value(json_object_get(named, "agent")));
    if (folder < 0)
        document_problem(document, 404, "there is no agent of this name");
    else
        document_json(document, 200, task_state_queue(folder, QUEUE_SHOWN));
}

/* --- the table --- */

#define TEXT_OR(name, also, required, says)                                                                  \
    {                                                                                                        \
        name, FIELD_TEXT, required, says, also                                                               \
    }
#define TEXT(name, required, says) TEXT_OR(name, NULL, required, says)
#define COUNT(name, says)                                                                                    \
    {                                                                                                        \
        name, FIELD_COUNT, false, says, NULL                                                                 \
    }
#define SOME(name, says)                                                                                     \
    {                                                                                                        \
        name, FIELD_SOME, false, says, NULL                                                                  \
    }
#define FLAG(name, says)                                                                                     \
    {                                                                                                        \
        name, FIELD_FLAG, false, says, NULL                                                                  \
    }
#define PRIORITY                                                                                             \
    {                                                                                                        \
        "priority", FIELD_PRIORITY, false, "high, normal or low", NULL                                       \
    }
#define TTL COUNT("ttl_seconds", "seconds from now until it expires; 0: never")

static const struct field no_fields[] = {{.name = NULL}};
static const struct field task_fields[] = {
    TEXT_OR("text", "task", true, "the task's text; as in queue.md, `task` means the same"),
    TEXT("id", false, "an id that makes the request safe to repeat"),
    PRIORITY,
    TTL,
    TEXT("lock", false, "the lock that the task needs"),
    {.name = NULL},
};
static const struct field message_fields[] = {
    TEXT_OR("text", "body", true, "the message; `body` means the same"), PRIORITY, TTL, {.name = NULL}};
static const struct field item_fields[] = {
    TEXT_OR("text", "task", true, "the item's text; `task` means the same"),
    TEXT("id", false, "an id that makes the request safe to repeat"),
    PRIORITY,
    TTL,
    {.name = NULL},
};
#define PAGE                                                                                                 \
    SOME("limit", "the number of items, 500 at most; 50 without this"),                                      \
        TEXT("cursor", false, "`next` of the page before"),                                                  \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }
static const struct field page_fields[] = {PAGE};
static const struct field envelope_fields[] = {
    TEXT("agent", false, "the envelopes from this agent, to it, or lying with it"),
    TEXT("kind", false,
         "handoff, message, result, bounce, item, task or segment, or several of them with commas"),
    TEXT("status", false,
         "pending, deferred, delivered, reading, finished, read, expired, refused or failed"),
    TEXT("place", false, "operator, outbox, queue, inbox, handoffs, archive or dead-letters"),
    PAGE,
};
static const struct field metrics_fields[] = {
    TEXT("agents", false, "all: a series for each agent, also past a thousand of them"), {.name = NULL}};
static const struct field queue_fields[] = {TEXT("queue", false, "the items of this queue alone"), PAGE};
static const struct field days_fields[] = {
    SOME("days", "the number of days up to today, 365 at most; 30 without this"), {.name = NULL}};
static const struct field wait_fields[] = {COUNT("wait", "seconds to wait for the task's end, 60 at most"),
                                           {.name = NULL}};
static const struct field rollback_fields[] = {
    TEXT("commit", true, "the commit whose learning the agent goes back to"), {.name = NULL}};

static const struct field move_fields[] = {
    TEXT("node", true, "the node that the agent is to live on"),
    FLAG("from_remote",
         "true: the agent comes from the git remote to the node that is asked, when its own node "
         "is gone; said names what the remote does not have"),
    FLAG("look", "true, with from_remote: said names what the remote does not have, and nothing is done"),
    {.name = NULL}};

#define GET(where, about, what, ...)                                                                         \
    {                                                                                                        \
        .method = "GET", .path = where, .says = about, .asks = what, __VA_ARGS__                             \
    }
#define READ(where, name, about, ...)                                                                        \
    GET(where, about, ASKS_READ, .verb = name, .answer = read_done, __VA_ARGS__)
#define CALL(how, where, order, about, ...)                                                                  \
    {                                                                                                        \
        .method = how, .path = where, .says = about, .asks = ASKS_ORDER, .verb = order, __VA_ARGS__          \
    }
#define DONE(how, where, order, about, takes)                                                                \
    CALL(how, where, order, about, .fields = takes, .answer = order_done, .gives = "Done")
#define ORDER(order, about) DONE("POST", "/v1/agents/{agent}/" order, order, about, no_fields)

static const struct route routes[] = {
    GET("/healthz", "The supervisor answers.", ASKS_METRICS, .open = true, .answer = healthz,
        .gives = "Health"),
    GET("/readyz", "Every agent that should run is ready.", ASKS_METRICS, .open = true, .answer = readyz,
        .gives = "Health"),
    GET("/metrics", "Figures in the text format of Prometheus.", ASKS_METRICS, .query = metrics_fields,
        .answer = metrics_page),
    GET("/", "The page.", ASKS_PAGE, .open = true),
    GET("/page/{file}", "A file of the page.", ASKS_PAGE, .open = true),
    GET("/v1/openapi.json", "This description of the interface.", ASKS_DESCRIPTION, .answer = NULL,
        .gives = "any"),
    GET("/v1/agents", "Every agent as `agentos status --json` has it.", ASKS_STATUS, .answer = agents_list,
        .gives = "Agents"),
    GET("/v1/agents/{agent}", "One agent as `agentos status --json` has it.", ASKS_STATUS,
        .answer = agent_one, .gives = "Agent"),
    ORDER("start", "The agent's worker is started; answered when it runs."),
    ORDER("stop", "The agent's cycle ends within STOP_GRACE, then its worker; a stop outlives restarts."),
    ORDER("restart", "The agent's worker ends as for a stop and is started again."),
    ORDER("kill", "The agent's worker is killed at once, and started again."),
    ORDER("pause", "The agent begins no task until it is resumed."),
    ORDER("resume", "A paused agent goes on."),
    ORDER("retry", "The agent's provider is asked again now, whatever backoff runs."),
    DONE("POST", "/v1/agents/{agent}/rollback", "rollback", "Learning is undone by a new commit.",
         rollback_fields),
    DONE("POST", "/v1/agents/{agent}/move", "move",
         "The agent is carried to another node of the bus; answered when the move has begun.", move_fields),
    READ("/v1/agents/{agent}/skills", "skills", "The agent's skills, with their evidence and its decay.",
         .query = NULL, .gives = "Skills"),
    GET("/v1/agents/{agent}/rewards", "The rewards of the agent's last tasks, newest first.", ASKS_FILES,
        .read = learned, .learned = LEARNED_REWARDS, .gives = "Rewards"),
    GET("/v1/agents/{agent}/goals", "The agent's goals.", ASKS_FILES, .read = learned,
        .learned = LEARNED_GOALS, .gives = "Goals"),
    GET("/v1/agents/{agent}/reflections", "The agent's reflections, newest first.", ASKS_FILES,
        .read = learned, .learned = LEARNED_REFLECTIONS, .gives = "Reflections"),
    READ("/v1/agents/{agent}/log", "log", "The agent's commits, newest first.", .query = page_fields,
         .gives = "Log"),
    READ("/v1/agents/{agent}/commits", "commits", "The agent's commits with the files that each changed.",
         .query = page_fields, .gives = "Diary"),
    READ("/v1/agents/{agent}/commits/{commit}", "commit", "One commit with the diff of each file.",
         .query = NULL, .gives = "Changes"),
    READ("/v1/agents/{agent}/usage", "usage", "The agent's tokens, requests and cost by day.",
         .query = days_fields, .gives = "Usage"),
    READ("/v1/usage", "usage", "All agents' tokens, requests and cost by day, and each agent's sums.",
         .query = days_fields, .gives = "UsageOfAll"),
    CALL("POST", "/v1/agents/{agent}/tasks", "task",
         "A task goes into the agent's queue.md, durable when answered.", .fields = task_fields, .done = 201,
         .answer = task_taken, .gives = "Taken"),
    GET("/v1/agents/{agent}/tasks", "The tasks of queue.md, in the order in which they are done.", ASKS_FILES,
        .read = queue, .gives = "Blocks"),
    GET("/v1/agents/{agent}/tasks/{task}",
        "A task's state, with the answer when the task is done; `wait` waits for its end.", ASKS_TASK,
        .verb = "task", .query = wait_fields, .answer = read_done, .gives = "Task"),
    DONE("DELETE", "/v1/agents/{agent}/tasks/{task}", "cancel",
         "A pending task, or the task in hand, is cancelled.", no_fields),
    CALL("POST", "/v1/agents/{agent}/messages", "send", "A message from the operator, durable when answered.",
         .fields = message_fields, .done = 201, .answer = sent, .gives = "Taken"),
    CALL("POST", "/v1/queues/{queue}/items", "enqueue",
         "An item for one of the queue's consumers, durable when answered.", .fields = item_fields,
         .done = 201, .answer = sent, .gives = "Taken"),
    READ("/v1/queues", "queues", "The work queues, and the items in them, newest first.",
         .query = queue_fields, .gives = "Queues"),
    READ("/v1/envelopes", "envelopes", "Envelopes, newest first.", .query = envelope_fields,
         .gives = "Envelopes"),
    READ("/v1/envelopes/{id}", "envelope", "One envelope with its whole route through the system.",
         .query = NULL, .gives = "EnvelopeWithRoute"),
    DONE("POST", "/v1/envelopes/{id}/requeue", "requeue", "A dead letter is given a fresh life.", no_fields),
    DONE("DELETE", "/v1/envelopes/{id}", "purge", "A dead letter is removed.", no_fields),
    DONE("POST", "/v1/reload", "reload", "agents.yaml is applied; the answer lists the changes.", no_fields),
    GET("/v1/locks", "Every lock with its holder and its waiters.", ASKS_FILES, .read = notices,
        .folder = NOTICES_LOCKS, .gives = "Locks"),
    GET("/v1/segments", "Every segment with its version.", ASKS_FILES, .read = notices,
        .folder = NOTICES_SEGMENTS, .gives = "Segments"),
    GET("/v1/events", "Events as they happen, as server-sent events.", ASKS_EVENTS, .answer = NULL),
};

bool route_takes_key(const struct route *route)
{
    for (const struct field *field = route->fields; field && field->name; field++)
        if (strcmp(field->name, "id") == 0)
            return true;
    return false;
}

const struct route *routes_at(size_t index)
{
    return index < sizeof routes / sizeof routes[0] ? &routes[index] : NULL;
}

/* --- the choice of a route --- */

/* The piece of the path without its escapes; NULL: the name of nothing. Caller frees. */
static char *decoded(const char *piece, size_t length)
{
    char *text = memory_slice(piece, length);
    size_t meant = MHD_http_unescape(text);
    bool control = false;
    for (size_t i = 0; i < meant; i++)
        control |= (unsigned char)text[i] < ' ' || text[i] == 0x7f;
    if (meant > 0 && meant <= ID_MAX && !control && utf8_valid(text, meant))
        return text;
    free(text);
    return NULL;
}

/* The pieces that the pattern names; NULL: the path is another one. Caller frees. */
static json_t *match(const char *pattern, const char *path)
{
    json_t *named = json_object();
    while (named && *pattern) {
        if (*pattern != '{') {
            if (*pattern++ == *path++)
                continue;
            json_decref(named);
            return NULL;
        }
        size_t name = strcspn(pattern, "}") - 1, length = strcspn(path, "/");
        OWNED char *key = memory_slice(pattern + 1, name), *value = decoded(path, length);
        if (!value) {
            json_decref(named);
            return NULL;
        }
        json_object_set_new(named, key, json_string(value));
        pattern += name + 2;
        path += length;
    }
    if (!*path)
        return named;
    json_decref(named);
    return NULL;
}

static bool takes(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* NULL: no route has such a path, or the document has the methods of the path. */
static const struct route *find(const struct request *request, json_t **named, struct document *document)
{
    char allow[sizeof document->allow] = "";
    for (const struct route *route = routes; route < routes + sizeof routes / sizeof routes[0]; route++) {
        size_t length = strlen(allow);
        if (!(*named = match(route->path, request->path)))
            continue;
        if (takes(route, request->method))
            return route;
        json_decref(*named);
        *named = NULL;
        snprintf(allow + length, sizeof allow - length, "%s%s", length ? ", " : "",
                 strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method);
    }
    if (*allow)
        document_problem(document, 405, "this path takes %s", allow);
    else
        document_problem(document, 404, "there is nothing at this path");
    memcpy(document->allow, allow, sizeof allow);
    return NULL;
}

/* --- permission --- */

/* A name or an address, in brackets where it has colons, and perhaps a port (RFC 9110, 7.2): servers on the way that
 * read another form differently would send the request elsewhere. An empty host is meant for nobody, but allowed. */
static bool is_host(const char *host)
{
    static const char letters[] =
        ":abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=";
    bool bracket = *host == '[';
    size_t length = strspn(host + bracket, letters + !bracket);
    if (bracket && (length == 0 || host[length + 1] != ']'))
        return false;
    host += length + (bracket ? 2 : 0);
    host += *host == ':';
    return host[strspn(host, "0123456789")] == '\0';
}

/* Without a token, only requests to this machine's own names are answered: a page in a browser that had its own name
 * resolved to 127.0.0.1 would send that name. */
static bool is_meant(const char *host)
{
    struct in6_addr address;
    if (!host)
        return true;
    bool bracket = *host == '[';
    OWNED char *name = memory_slice(host + bracket, strcspn(host + bracket, bracket ? "]" : ":"));
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1 ||
           (bracket && inet_pton(AF_INET6, name, &address) == 1);
}

/* A browser sends the origin of the page that makes a request. Without a token, another site's page could give tasks
 * here. */
static bool is_own_page(const char *origin, const char *host)
{
    const char *from = origin ? strstr(origin, "://") : NULL;
    return !origin || (from && host && strcasecmp(from + 3, host) == 0);
}

static bool may(const struct route *route, const struct request *request, const struct token *token,
                struct document *document)
{
    if (!token && !is_own_page(request->origin, request->host)) {
        document_problem(document, 403, "without AGENTOS_TOKEN a page of another site is answered nothing");
    } else if (!route->open && !token_matches(token, request->authorization)) {
        document_problem(document, 401, "the bearer token of AGENTOS_TOKEN is needed");
        document->challenge = "Bearer realm=\"agentos\"";
    } else if (request->has_body && !route->fields) {
        document_problem(document, 400, "a request for this path has no body");
    } else {
        return true;
    }
    return false;
}

const struct route *routes_admit(const struct request *request, const struct token *token, json_t **named,
                                 struct document *document)
{
    *named = NULL;
    if (request->several_hosts || (request->host && !is_host(request->host)))
        return document_problem(document, 400, "a request names one host, in one Host header"), NULL;
    /* A server on the way may have seen the request's end elsewhere (RFC 9112, 6.3). */
    if (request->several_ends) {
        document_problem(document, 400,
                         "a request says once where its body ends: by one Content-Length, or chunked");
        return NULL;
    }
    if (!token && !is_meant(request->host)) {
        document_problem(document, 421,
                         "without AGENTOS_TOKEN this interface is asked by its address or as localhost only");
        return NULL;
    }
    const struct route *route = find(request, named, document);
    if (route && may(route, request, token, document))
        return route;
    json_decref(*named);
    *named = NULL;
    return NULL;
}
