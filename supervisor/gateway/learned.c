#include "supervisor/gateway/learned.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "supervisor/gateway/request.h"

bool learned_form(const struct provider *provider, const struct refused *refused, unsigned sent,
                  unsigned *changed)
{
    struct service *service = provider->service;
    unsigned used = FORM_COMPLETION_TOKENS | FORM_NO_SYSTEM | FORM_STREAM;
    used |=
        (provider->temperature ? FORM_NO_TEMPERATURE : 0) | (provider->response_format ? FORM_NO_FORMAT : 0);
    unsigned change = ((refused->plain & ~sent) | (refused->learned & sent)) & used & ~*changed;
    for (unsigned form = 1; form <= change; form <<= 1)
        if (change & form && (sent & form) == (service->form & form))
            log_info("gateway", NULL, "%s (%s) refuses a parameter: from now on %s%s", provider->name,
                     provider->model, sent & form ? "no longer so that " : "", form_name((enum form)form));
    service->form = (service->form & ~change) | (~sent & change);
    *changed |= change;
    return change != 0;
}

void learned_length(const struct provider *provider, const struct length_refusal *said, size_t bytes)
{
    struct context *context = &provider->service->context;
    context_refused(context, &provider->limits, said, bytes);
    log_warn("gateway", NULL,
             "%s (%s) refuses a prompt of %zu bytes as too long: from now on prompts have at most %zu%s",
             provider->name, provider->model, bytes, context_room(context, &provider->limits),
             provider->limits.set ? "" : " (LLM_CONTEXT_TOKENS says how many tokens the model holds)");
}

void learned_report(const struct provider *provider, const struct usage *usage, size_t bytes)
{
    struct context *context = &provider->service->context;
    uint64_t before = context->tokens;
    const uint64_t tokens[CEILINGS] = {usage->in, usage->summed};
    enum context_news news = usage->known ? context_reported(context, tokens, bytes) : CONTEXT_NOTHING;
    if (news == CONTEXT_CUTS)
        log_warn("gateway", NULL,
                 "%s (%s) cuts prompts without a word: prompts of different lengths report %" PRIu64
                 " tokens. From now on prompts have at most %zu bytes",
                 provider->name, provider->model, context->tokens, context_room(context, &provider->limits));
    else if (news == CONTEXT_FORGOTTEN)
        log_info("gateway", NULL, "%s (%s) holds more than %" PRIu64 " tokens after all: prompts grow again",
                 provider->name, provider->model, before);
}

char *learned_request(const struct provider *provider, const char *system, const char *task)
{
    const struct service *service = provider->service;
    return request_body(
        &(struct request){.model = provider->model,
                          .system = system,
                          .task = task,
                          .max_tokens = (int64_t)context_reply(&service->context, &provider->limits),
                          .form = service->form,
                          .temperature = provider->temperature,
                          .response_format = provider->response_format});
}

size_t learned_room(const struct provider *provider, uint64_t *tokens)
{
    const struct context *context = &provider->service->context;
    uint64_t counts = context_tokens(context, &provider->limits);
    *tokens = context->source != CONTEXT_UNKNOWN && counts != provider->limits.set ? counts : 0;
    return context_room(context, &provider->limits);
}

bool learned_fits(const struct provider *provider, size_t bytes, bool least)
{
    const struct context *context = &provider->service->context;
    return least ? context_may_hold(context, &provider->limits, bytes)
                 : bytes <= context_room(context, &provider->limits);
}

char *learned_too_long(const struct provider *provider, size_t bytes)
{
    uint64_t tokens = context_tokens(&provider->service->context, &provider->limits);
    return memory_print("was not asked: a prompt of %zu bytes is too long for %s, which holds %" PRIu64
                        " tokens, reply included",
                        bytes, provider->model, tokens ? tokens : (uint64_t)CONTEXT_ASSUMED);
}

char *learned_news(struct service *service)
{
    OWNED_BUFFER struct buffer text = {0};
    buffer_print(&text, "%u %" PRId64 " ", service->form, service->answered_ms);
    context_print(&service->context, &text);
    if (service->told && strcmp(service->told, text.data) == 0)
        return NULL;
    memory_set(&service->told, text.data);
    return buffer_take(&text);
}

void learned_recall(struct service *service, const char *text)
{
    unsigned form;
    int64_t answered_ms;
    int end = 0;
    if (sscanf(text, "%u %" SCNd64 " %n", &form, &answered_ms, &end) < 2 ||
        !context_read(&service->context, text + end))
        return;
    service->form = form;
    service->answered_ms = answered_ms;
    memory_set(&service->told, text);
}
