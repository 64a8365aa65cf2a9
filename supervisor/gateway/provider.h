/* An agent's providers: its own and the fallbacks behind it, put together from the settings.
 *
 * A key goes only to the base URL that it was given for: an owner (agent or fallback) with a base URL of its own and
 * no key of its own gets none, so that the key of one house is never sent to another. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/proxy.h"
#include "supervisor/gateway/context.h"
#include "supervisor/gateway/keys.h"

/* A base URL together with a key: the unit of a provider's limits. Shared by all who use the pair. */
struct endpoint {
    char *url;                  /* "https://host/v1/chat/completions"; "offline" */
    const char *key;            /* borrowed; NULL: none */
    struct curl_slist *headers; /* holds the key: overwritten before it is freed */
    struct proxy proxy;         /* of zeros: the endpoint is asked directly */
    int64_t limited_until;      /* rate_limit.h */
    struct endpoint *next;
};

/* A base URL together with a model, whatever the key. */
struct service {
    char *url, *model;
    char *told;          /* the supervisor's last news of the service (learned.h); NULL: none */
    int64_t answered_ms; /* monotonic: the service's last answer to any request; 0: none yet */
    bool told_well;      /* the supervisor was told that the service answers, and of no failure since */
    unsigned form;       /* bits of enum form (refusal.h), as the service's refusals taught */
    struct context context;
    struct service *next;
};

struct provider {
    char *name; /* a fallback's name, else the URL's host, or "offline" */
    struct endpoint *endpoint;
    struct service *service;
    char *model;
    struct context_limits limits;
    int64_t timeout_ms;
    unsigned max_retries;
    const char *temperature, *response_format; /* borrowed from the environment; NULL: not sent */
    /* Why the provider can't be asked at all (its key); NULL: it can. */
    char *fault;
};

struct route {
    struct provider *providers; /* at least one; asked in this order */
    size_t count;
};

struct providers;
struct providers *providers_open(const struct keys *keys); /* keys is borrowed until providers_close */
void providers_close(struct providers *providers);
bool provider_is_offline(const struct provider *provider);

/* The service of this pair, whether somebody's route has it already or not. Borrowed until providers_close. */
struct service *providers_service(struct providers *providers, const char *url, const char *model);

/* Borrowed until providers_close. Agents without settings of their own share one route. */
struct route *providers_route(struct providers *providers, const char *agent);
