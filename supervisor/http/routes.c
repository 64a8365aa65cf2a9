#include "supervisor/http/routes.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "supervisor/http/exposition.h"

#define CONFIG_REFUSED                                                                                       \
    "agents.yaml is refused or gone, and the agents go on as they were defined; `agentos status` says why"

enum { RETRY_SECONDS = 1 };

static void no_supervisor(struct document *document)
{
    document_problem(document, 503, "the supervisor does not answer in time");
    document->retry_after = RETRY_SECONDS;
}

static void healthz(const json_t *metrics, struct document *document)
{
    if (metrics)
        document_json(document, 200, json_pack("{s:s}", "status", "ok"));
    else
        no_supervisor(document);
}

/* One that hibernates is ready: any work starts it. */
static bool is_ready(const json_t *agent)
{
    const char *state = json_string_value(json_object_get(agent, "state"));
    return json_is_true(json_object_get(agent, "up")) || (state && strcmp(state, "hibernating") == 0);
}

/* Everybody may ask, so it gives numbers and no names. */
static void readyz(const json_t *metrics, struct document *document)
{
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
        ready += counts && is_ready(agent);
    }
    bool refused = json_is_true(json_object_get(metrics, "config_refused"));
    if (json_is_true(json_object_get(metrics, "ending")))
        document_problem(document, 503, "the supervisor is stopping");
    else if (ready < wanted)
        document_problem(document, 503, "%d of %d agents are ready; `agentos status` says more%s%s", ready,
                         wanted, refused ? ". " : "", refused ? CONFIG_REFUSED : "");
    else if (refused)
        document_json(
            document, 200,
            json_pack("{s:s, s:i, s:[s]}", "status", "ready", "agents", ready, "problems", CONFIG_REFUSED));
    else
        document_json(document, 200, json_pack("{s:s, s:i}", "status", "ready", "agents", ready));
}

static void metrics_page(const json_t *metrics, struct document *document)
{
    if (!metrics) {
        no_supervisor(document);
        return;
    }
    *document = (struct document){.status = 200, .type = EXPOSITION_TYPE};
    exposition_print(metrics, &document->body);
}

static const struct route routes[] = {
    {"/healthz", "GET, HEAD", true, healthz},
    {"/readyz", "GET, HEAD", true, readyz},
    {"/metrics", "GET, HEAD", false, metrics_page},
};

static bool allows(const struct route *route, const char *method)
{
    size_t length = strlen(method);
    for (const char *word = route->allow; *word; word += strspn(word, ", ")) {
        size_t here = strcspn(word, ",");
        if (here == length && strncmp(word, method, length) == 0)
            return true;
        word += here;
    }
    return false;
}

/* Without a token, only those who mean this machine are answered: a page in a browser that had its own name resolved to
 * 127.0.0.1 would send that name. */
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

static const struct route *find(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}

const struct route *routes_admit(const struct request *request, const struct token *token,
                                 struct document *document)
{
    const struct route *route = find(request->path);
    if (!token && !is_meant(request->host)) {
        document_problem(document, 421,
                         "without AGENTOS_TOKEN this interface is asked by its address or as localhost only");
    } else if (!route) {
        document_problem(document, 404, "there is nothing at this path");
    } else if (!allows(route, request->method)) {
        document_problem(document, 405, "this path takes %s", route->allow);
        document->allow = route->allow;
    } else if (!route->open && !token_matches(token, request->authorization)) {
        document_problem(document, 401, "the bearer token of AGENTOS_TOKEN is needed");
        document->challenge = "Bearer realm=\"agentos\"";
    } else if (request->has_body) {
        document_problem(document, 400, "a request for this path has no body");
    } else {
        return route;
    }
    return NULL;
}
