#include "supervisor/gateway/provider.h"

#include <stdlib.h>
#include <string.h>

#include "common/base_url.h"
#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/gateway/client.h"

struct own_route {
    char *agent;
    struct route route;
};

struct providers {
    const struct keys *keys;
    struct endpoint *endpoints;
    struct service *services;
    struct route general;
    struct own_route **own; /* each allocated by itself: routes are borrowed while the list grows */
    size_t own_count;
};

static char *endpoint_url(const char *base)
{
    return strcmp(base, "offline") == 0 ? memory_text(base) : base_url_join(base, "/chat/completions");
}

/* Azure takes a key in a header of its own, and only tokens (JSON Web Tokens begin so) as a bearer. */
static const char *key_header(const char *url, const char *key)
{
    static const char *const azure[] = {".openai.azure.com", ".cognitiveservices.azure.com",
                                        ".services.ai.azure.com", ".openai.azure.us"};
    OWNED char *host = base_url_host(url);
    size_t length = strcspn(host, ":");
    for (size_t i = 0; i < sizeof azure / sizeof *azure; i++)
        if (length > strlen(azure[i]) &&
            strncasecmp(host + length - strlen(azure[i]), azure[i], strlen(azure[i])) == 0)
            return strncmp(key, "eyJ", 3) == 0 ? "Authorization: Bearer" : "api-key:";
    return "Authorization: Bearer";
}

/* An empty "Expect:" keeps libcurl from waiting for a 100-continue that many servers never send. */
static struct curl_slist *make_headers(const char *url, const char *key)
{
    struct curl_slist *headers = NULL;
    client_header(&headers, "Content-Type: application/json");
    client_header(&headers, "Accept: application/json, text/event-stream");
    client_header(&headers, "Expect:");
    if (key) {
        char *line = memory_print("%s %s", key_header(url, key), key);
        client_header(&headers, line);
        memory_wipe(line);
    }
    return headers;
}

static struct endpoint *find_endpoint(struct providers *providers, const char *base, const char *key)
{
    OWNED char *url = endpoint_url(base);
    for (struct endpoint *known = providers->endpoints; known; known = known->next)
        if (strcmp(known->url, url) == 0 && strcmp(known->key ? known->key : "", key ? key : "") == 0)
            return known;
    struct endpoint *endpoint = memory_new(1, sizeof *endpoint);
    endpoint->url = memory_text(url);
    endpoint->key = key;
    endpoint->headers = make_headers(url, key);
    proxy_find(keys_secrets(providers->keys), url, &endpoint->proxy);
    endpoint->next = providers->endpoints;
    providers->endpoints = endpoint;
    return endpoint;
}

struct service *providers_service(struct providers *providers, const char *url, const char *model)
{
    for (struct service *known = providers->services; known; known = known->next)
        if (strcmp(known->url, url) == 0 && strcmp(known->model, model) == 0)
            return known;
    struct service *service = memory_new(1, sizeof *service);
    *service =
        (struct service){.url = memory_text(url), .model = memory_text(model), .next = providers->services};
    providers->services = service;
    return service;
}

/* Limits of a request: the fallback's own, else the agent's own, else the general ones. */
static const char *limit_owner(enum setting setting, const char *fallback, const char *agent)
{
    if (fallback && setting_own(setting, fallback))
        return fallback;
    return agent && setting_own(setting, agent) ? agent : NULL;
}

static const char *limit_text(enum setting setting, const char *fallback, const char *agent)
{
    return setting_text(setting, limit_owner(setting, fallback, agent));
}

static int64_t limit_integer(enum setting setting, const char *fallback, const char *agent)
{
    return setting_integer(setting, limit_owner(setting, fallback, agent));
}

/* The owner's own key, else the general key, but the latter only for the general base URL. */
static const char *choose_key(const struct keys *keys, const char *owner, const char **fault)
{
    const char *key = owner ? keys_find(keys, owner, fault) : NULL;
    if (key || (owner && *fault))
        return key;
    const char *base = setting_text(SET_LLM_BASE_URL, owner);
    *fault = NULL;
    return strcmp(base, setting_text(SET_LLM_BASE_URL, NULL)) == 0 ? keys_find(keys, NULL, fault) : NULL;
}

static void add_provider(struct providers *providers, struct route *route, const char *fallback,
                         const char *agent)
{
    const char *owner = fallback ? fallback : agent;
    const char *fault = NULL;
    const char *base = setting_text(SET_LLM_BASE_URL, owner);
    bool offline = strcmp(base, "offline") == 0;
    const char *key = offline ? NULL : choose_key(providers->keys, owner, &fault);
    struct provider provider = {
        .endpoint = find_endpoint(providers, base, key),
        .model = memory_text(offline ? "offline" : setting_text(SET_LLM_MODEL, owner)),
        .limits = {.set = (uint64_t)limit_integer(SET_LLM_CONTEXT_TOKENS, fallback, agent),
                   .reply = (uint64_t)limit_integer(SET_LLM_MAX_TOKENS, fallback, agent)},
        .timeout_ms = limit_integer(SET_LLM_TIMEOUT, fallback, agent) * 1000,
        .max_retries = (unsigned)limit_integer(SET_LLM_MAX_RETRIES, fallback, agent),
        .temperature = limit_text(SET_LLM_TEMPERATURE, fallback, agent),
        .response_format = limit_text(SET_LLM_RESPONSE_FORMAT, fallback, agent),
        .fault = memory_text(fault),
    };
    provider.service = providers_service(providers, provider.endpoint->url, provider.model);
    provider.name = fallback ? memory_text(fallback) : base_url_host(provider.endpoint->url);
    *MEMORY_ADD(route->providers, route->count) = provider;
}

static void build_route(struct providers *providers, struct route *route, const char *agent)
{
    add_provider(providers, route, NULL, agent);
    OWNED char *names = memory_text(setting_text(SET_LLM_FALLBACKS, agent));
    char *rest = names;
    for (char *name; (name = setting_next_fallback(&rest));)
        add_provider(providers, route, name, agent);
}

static void free_route(struct route *route)
{
    for (size_t i = 0; i < route->count; i++) {
        free(route->providers[i].name);
        free(route->providers[i].model);
        free(route->providers[i].fault);
    }
    free(route->providers);
}

struct providers *providers_open(const struct keys *keys)
{
    struct providers *providers = memory_new(1, sizeof *providers);
    providers->keys = keys;
    build_route(providers, &providers->general, NULL);
    return providers;
}

void providers_close(struct providers *providers)
{
    if (!providers)
        return;
    free_route(&providers->general);
    for (size_t i = 0; i < providers->own_count; i++) {
        free_route(&providers->own[i]->route);
        free(providers->own[i]->agent);
        free(providers->own[i]);
    }
    free(providers->own);
    for (struct service *service = providers->services, *next; service; service = next) {
        next = service->next;
        free(service->url);
        free(service->model);
        free(service->told);
        free(service);
    }
    for (struct endpoint *endpoint = providers->endpoints, *next; endpoint; endpoint = next) {
        next = endpoint->next;
        for (struct curl_slist *header = endpoint->headers; header; header = header->next)
            explicit_bzero(header->data, strlen(header->data));
        curl_slist_free_all(endpoint->headers);
        proxy_free(&endpoint->proxy);
        free(endpoint->url);
        free(endpoint);
    }
    free(providers);
}

bool provider_is_offline(const struct provider *provider)
{
    return strcmp(provider->endpoint->url, "offline") == 0;
}

static bool has_own_settings(const struct providers *providers, const char *agent)
{
    const char *fault = NULL;
    if (keys_find(providers->keys, agent, &fault) || fault)
        return true;
    for (unsigned i = 0; i < SETTING_COUNT; i++)
        if (setting_own((enum setting)i, agent))
            return true;
    return false;
}

struct route *providers_route(struct providers *providers, const char *agent)
{
    for (size_t i = 0; i < providers->own_count; i++)
        if (strcmp(providers->own[i]->agent, agent) == 0)
            return &providers->own[i]->route;
    if (!has_own_settings(providers, agent))
        return &providers->general;
    struct own_route *own = memory_new(1, sizeof *own);
    own->agent = memory_text(agent);
    build_route(providers, &own->route, agent);
    *MEMORY_ADD(providers->own, providers->own_count) = own;
    return &own->route;
}
