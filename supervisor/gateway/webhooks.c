#include "supervisor/gateway/webhooks.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/proxy.h"
#include "common/utf8.h"
#include "supervisor/gateway/retry.h"

struct post {
    struct webhooks *webhooks;
    uint64_t serial;
    struct webhook hook;
    struct proxy proxy;
    struct curl_slist *headers;
    struct transfer *transfer;
};

struct webhooks {
    struct webhooks_setup setup;
    unsigned count; /* posts under way */
};

struct webhooks *webhooks_open(const struct webhooks_setup *setup)
{
    struct webhooks *webhooks = memory_new(1, sizeof *webhooks);
    webhooks->setup = *setup;
    return webhooks;
}

void webhook_free(struct webhook *hook)
{
    free(hook->url);
    free(hook->id);
    free(hook->timestamp);
    free(hook->signature);
    free(hook->body);
}

static void free_post(struct post *post)
{
    post->webhooks->count--;
    curl_slist_free_all(post->headers);
    proxy_free(&post->proxy);
    webhook_free(&post->hook);
    free(post);
}

static void tell(const struct webhooks *webhooks, uint64_t serial, long status, int64_t wait, const char *why)
{
    OWNED char *clean = utf8_clean(why, strlen(why));
    OWNED char *safe = keys_mask(webhooks->setup.keys, memory_text(clean));
    report_send(webhooks->setup.report, MESSAGE_NOTIFIED, serial, (uint64_t)status,
                wait < 0 ? MESSAGE_NOWHERE : (uint64_t)wait, safe);
}

/* The status decides, whatever became of the body behind it. */
static void posted(void *context, const struct client_result *result)
{
    struct post *post = context;
    int64_t wait =
        retry_after(result->retry_after, result->retry_after_ms, clock_now(), WEBHOOK_PAUSE_MOST_MS);
    tell(post->webhooks, post->serial, result->status, wait, result->error ? result->error : "");
    free_post(post);
}

static void add_header(struct post *post, const char *name, const char *value)
{
    OWNED char *line = memory_print("%s: %s", name, value);
    client_header(&post->headers, line);
}

/* "Expect:" keeps libcurl from waiting for a 100-continue that many servers never send. */
static void make_headers(struct post *post)
{
    add_header(post, "Content-Type", "application/json");
    add_header(post, "webhook-id", post->hook.id);
    add_header(post, "webhook-timestamp", post->hook.timestamp);
    if (*post->hook.signature)
        add_header(post, "webhook-signature", post->hook.signature);
    client_header(&post->headers, "Expect:");
}

void webhooks_post(struct webhooks *webhooks, uint64_t serial, const struct webhook *hook)
{
    struct post *post = memory_new(1, sizeof *post);
    struct fault fault;
    *post = (struct post){.webhooks = webhooks, .serial = serial, .hook = *hook};
    proxy_find(keys_secrets(webhooks->setup.keys), hook->url, &post->proxy);
    make_headers(post);
    const struct client_request request = {.url = post->hook.url,
                                           .proxy = &post->proxy,
                                           .headers = post->headers,
                                           .body = post->hook.body,
                                           .length = strlen(post->hook.body),
                                           .timeout_ms = WEBHOOK_MS,
                                           .body_most = WEBHOOK_BODY_MOST,
                                           .done = posted};
    if (webhooks->count++ >= WEBHOOKS_MOST)
        fault_set(&fault, "was not asked: too many alerts are under way");
    else
        post->transfer = client_start(webhooks->setup.client, &request, post, &fault);
    if (post->transfer)
        return;
    tell(webhooks, serial, 0, -1, fault.text);
    free_post(post);
}
