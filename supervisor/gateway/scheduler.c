
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/base_url.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/gateway/ask.h"
#include "supervisor/gateway/learned.h"
#include "supervisor/gateway/offline.h"
#include "supervisor/gateway/problem.h"
#include "supervisor/gateway/rate_limit.h"
#include "supervisor/gateway/retry.h"

/* ---- how an attempt ends ---- */

struct verdict {
    enum answer_kind kind;
    bool retry, limited;
    bool slow;           /* the request took as long as it could */
    long status;         /* of HTTP; 0: there was no answer */
    const char *text;    /* stands behind the provider's name */
    int64_t retry_after; /* ms that the provider asked for; -1: none */
};

/* The provider is given up for this question. A provider that may recover makes the whole question worth asking
 * again, so PASSING wins over the other providers' kinds. */
static void note_fault(struct ask *ask, const struct verdict *verdict)
{
    const struct provider *provider = ask_provider_of(ask);
    bool first = ask->faults.length == 0;
    OWNED char *name = tell_masked(ask->scheduler, provider->name);
    buffer_print(&ask->faults, "%s%s %s", first ? "" : "; ", name, verdict->text);
    if (ask->failures > 1 && verdict->kind == ANSWER_PASSING)
        buffer_print(&ask->faults, " (tried %u times)", ask->failures);
    if (verdict->kind == ANSWER_AUTH && !provider->endpoint->key && !provider->fault)
        buffer_text(&ask->faults, " (no key is set for this address)");
    if (verdict->status == 404 && base_url_lacks_version(provider->endpoint->url))
        buffer_text(&ask->faults, " (is LLM_BASE_URL right? The URL often ends in /v1)");
    if (first || verdict->kind == ANSWER_PASSING)
        ask->kind = verdict->kind;
    if (verdict->retry_after > 0 && (!ask->retry_after || verdict->retry_after < ask->retry_after))
        ask->retry_after = verdict->retry_after;
}

/* The provider failed for good; ask is ASK_WAITING. */
static void give_up(struct ask *ask, const struct verdict *verdict)
{
    note_fault(ask, verdict);
    OWNED char *safe = tell_masked(ask->scheduler, ask->faults.data);
    bool smaller = verdict->kind == ANSWER_LENGTH && !ask->least;
    if (verdict->kind != ANSWER_REQUEST && !smaller && ask->provider + 1 < ask->agent->route->count) {
        tell_spent(ask, true);
        ask->provider++;
        ask->failures = 0;
        ask->asked_ms = clock_monotonic_ms();
        ask->changed = 0;
        log_warn("gateway", ask->agent->name, "%s; %s is asked now", safe, ask_provider_of(ask)->name);
        ask_wait(ask, 0);
        return;
    }
    if (smaller) /* whatever another provider said: a smaller prompt may be answered */
        ask->kind = ANSWER_LENGTH;
    else if (verdict->kind != ANSWER_LENGTH)
        log_event(verdict->kind == ANSWER_PASSING ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "gateway",
                  ask->agent->name, "%s; the task stays where it is", safe);
    tell_answer(ask, ask->kind, ask->faults.data, NULL, ask_provider_of(ask)->name);
    ask_free(ask);
}

/* A wait that the provider asked for, or a backoff; a rate limit holds for everybody. */
static int64_t wait_of(struct ask *ask, const struct verdict *verdict, int64_t now)
{
    int64_t wait =
        verdict->retry_after >= 0 ? verdict->retry_after : retry_backoff(ask->failures - 1, arc4random());
    if (verdict->limited)
        rate_limit_close(ask_provider_of(ask)->endpoint, now + wait);
    return wait;
}

/* A prompt on which the provider hangs while it answers others is the task's own trouble: another try at once would
 * hold its agent for as long as all tries together take. */
static bool is_own_trouble(const struct ask *ask, const struct verdict *verdict)
{
    return verdict->slow && ask_provider_of(ask)->service->answered_ms > ask->asked_ms;
}

static void failed(struct ask *ask, struct verdict *verdict)
{
    const struct provider *provider = ask_provider_of(ask);
    ask->failures++;
    int64_t now = clock_monotonic_ms(), wait = 0;
    if (!is_own_trouble(ask, verdict) && (verdict->kind != ANSWER_REQUEST || verdict->status == 404))
        tell_provider(ask, false, verdict->text);
    if (verdict->retry)
        wait = wait_of(ask, verdict, now);
    if (!verdict->retry || is_own_trouble(ask, verdict) || ask->failures > provider->max_retries) {
        if (verdict->limited && verdict->retry_after < 0)
            verdict->retry_after = wait;
        give_up(ask, verdict);
        return;
    }
    OWNED char *name = tell_masked(ask->scheduler, provider->name);
    OWNED char *said = tell_masked(ask->scheduler, verdict->text);
    OWNED char *sentence = memory_print("%s %s; asked again in %.1f s (retry %u of %u)", name, said,
                                        (double)wait / 1000, ask->failures, provider->max_retries);
    log_warn("gateway", ask->agent->name, "%s", sentence);
    tell_waiting(ask, wait, sentence);
    tell_spent(ask, true);
    ask_wait(ask, now + wait);
}

/* The question is asked again at once, since the request's fault is known now. */
static void ask_at_once(struct ask *ask)
{
    tell_spent(ask, true);
    ask_wait(ask, 0);
}

static char *mask(const void *keys, char *text)
{
    return keys_mask(keys, text);
}

/* ask is ASK_WAITING when this is called. */
static void judge(struct ask *ask, struct exchange *exchange, int64_t wait)
{
    struct scheduler *scheduler = ask->scheduler;
    struct service *service = ask_provider_of(ask)->service;
    struct response response;
    exchange->mask = mask;
    exchange->secrets = scheduler->setup.keys;
    response_read(&response, exchange);
    ask->request.usage = response.usage;
    ask->request.spent = response.usage.known                ? SPENT_KNOWN
                         : problem_is_free(exchange->status) ? SPENT_FREE
                                                             : SPENT_UNKNOWN;
    struct verdict verdict = {.kind = response.kind,
                              .retry = response.retry,
                              .limited = response.limited,
                              .slow = exchange->status == 408 || exchange->status == 504 ||
                                      exchange->status == 524,
                              .status = exchange->status,
                              .text = response.text,
                              .retry_after = wait};
    if (response.kind == ANSWER_OK) {
        service->answered_ms = clock_monotonic_ms();
        tell_provider(ask, true, "answers");
        learned_report(ask_provider_of(ask), &response.usage, ask->bytes);
        tell_answer(ask, ANSWER_OK, response.text, &response, ask_provider_of(ask)->name);
        ask_free(ask);
    } else if (response.kind == ANSWER_LENGTH) {
        learned_length(ask_provider_of(ask), &response.length, ask->bytes);
        give_up(ask, &verdict);
    } else if (learned_form(ask_provider_of(ask), &response.refused, ask->form, &ask->changed)) {
        ask_at_once(ask);
    } else {
        failed(ask, &verdict);
    }
    response_free(&response);
    tell_learned(scheduler, service);
}

/* ---- asking ---- */

static void ask_offline(struct ask *ask)
{
    OWNED char *body = offline_completion(ask->system, ask->task);
    ask->request.sent = true;
    judge(ask, &(struct exchange){.status = 200, .body = body, .length = strlen(body)}, -1);
}

static client_done answered;

static void ask_provider(struct ask *ask)
{
    struct provider *provider = ask_provider_of(ask);
    ask->form = provider->service->form;
    free(ask->body);
    ask->body = learned_request(provider, ask->system, ask->task);
    struct client_request sent = {.url = provider->endpoint->url,
                                  .proxy = &provider->endpoint->proxy,
                                  .headers = provider->endpoint->headers,
                                  .body = ask->body,
                                  .length = strlen(ask->body),
                                  .timeout_ms = provider->timeout_ms,
                                  .done = answered};
    struct fault fault;
    ask->transfer = client_start(ask->scheduler->setup.client, &sent, ask, &fault);
    if (!ask->transfer) {
        failed(ask, &(struct verdict){
                        .kind = ANSWER_PASSING, .retry = true, .text = fault.text, .retry_after = -1});
        return;
    }
    ask->state = ASK_UNDER_WAY;
    ask->scheduler->under_way++;
    tell_asked(ask);
    log_debug("gateway", ask->agent->name, "%s (%s) is asked", provider->name, provider->model);
}

/* ask was just taken out of its queue. */
static void begin(struct ask *ask)
{
    const struct provider *provider = ask_provider_of(ask);
    int64_t now = clock_monotonic_ms(), limited = rate_limit_left(provider->endpoint, now);
    if (provider->fault) {
        OWNED char *text = memory_print("was not asked: %s", provider->fault);
        tell_provider(ask, false, text);
        give_up(ask, &(struct verdict){.kind = ANSWER_AUTH, .text = text, .retry_after = -1});
    } else if (limited) {
        OWNED char *sentence = memory_print("%s limits its rate; every agent that uses it waits %.1f s",
                                            provider->name, (double)limited / 1000);
        tell_waiting(ask, limited, sentence);
        ask_wait(ask, now + limited);
    } else if (provider_is_offline(provider)) {
        ask_offline(ask);
    } else if (!learned_fits(provider, ask->bytes, ask->least)) {
        OWNED char *text = learned_too_long(provider, ask->bytes);
        give_up(ask, &(struct verdict){.kind = ANSWER_LENGTH, .text = text, .retry_after = -1});
    } else {
        ask_provider(ask);
    }
}

/* Starts as many questions as there is room for; one of each agent in turn. */
static void pump(struct scheduler *scheduler)
{
    while (scheduler->under_way < scheduler->setup.concurrency && !TAILQ_EMPTY(&scheduler->turns)) {
        struct agent *agent = TAILQ_FIRST(&scheduler->turns);
        struct ask *ask = TAILQ_FIRST(&agent->queue);
        ask_leave(ask);
        if (!TAILQ_EMPTY(&agent->queue)) {
            TAILQ_REMOVE(&scheduler->turns, agent, turn);
            TAILQ_INSERT_TAIL(&scheduler->turns, agent, turn);
        }
        begin(ask);
    }
}

/* ---- the doors ---- */

struct scheduler *scheduler_open(const struct scheduler_setup *setup)
{
    struct scheduler *scheduler = memory_new(1, sizeof *scheduler);
    scheduler->setup = *setup;
    scheduler->providers = providers_open(setup->keys);
    TAILQ_INIT(&scheduler->turns);
    return scheduler;
}

void scheduler_close(struct scheduler *scheduler)
{
    providers_close(scheduler->providers);
}

static void wake(void *context)
{
    struct ask *ask = context;
    ask_leave(ask);
    ask_queue_up(ask, true);
    pump(ask->scheduler);
}

/* A second question with the same serial comes from a new worker of the agent: nobody waits for the first. */
void scheduler_ask(struct scheduler *scheduler, uint64_t serial, char *name, char *system, char *task,
                   bool least)
{
    struct agent *agent = ask_agent(scheduler, name);
    struct ask *known = ask_find(agent, serial);
    if (known)
        ask_free(known);
    struct ask *ask = memory_new(1, sizeof *ask);
    *ask = (struct ask){.scheduler = scheduler,
                        .agent = agent,
                        .serial = serial,
                        .system = system,
                        .task = task,
                        .timer = {.ring = wake, .context = ask}};
    ask->bytes = strlen(system) + strlen(task);
    ask->least = least;
    ask->asked_ms = clock_monotonic_ms();
    LIST_INSERT_HEAD(&agent->asks, ask, sibling);
    ask_queue_up(ask, false);
    if (++agent->count > DESK_PER_AGENT_MAX) {
        OWNED char *text =
            memory_print("%u questions of this agent are under way already; this question was not asked",
                         DESK_PER_AGENT_MAX);
        log_warn("gateway", agent->name, "%s", text);
        ask->retry_after = 1000;
        tell_answer(ask, ANSWER_PASSING, text, NULL, ask_provider_of(ask)->name);
        ask_free(ask);
    }
    pump(scheduler);
}

void scheduler_again(struct scheduler *scheduler, uint64_t serial, const char *name)
{
    struct ask *ask = ask_find(ask_agent(scheduler, memory_text(name)), serial);
    if (!ask || !ask->needs_leave)
        return;
    ask->needs_leave = false;
    ask_wait(ask, ask->until);
}

void scheduler_forget(struct scheduler *scheduler, uint64_t serial, const char *name)
{
    struct agent *agent = ask_agent(scheduler, memory_text(name));
    struct ask *ask = ask_find(agent, serial);
    if (ask)
        ask_free(ask);
    pump(scheduler);
}

void scheduler_retry(struct scheduler *scheduler, const char *name)
{
    struct ask *ask;
    struct agent *agent = ask_agent(scheduler, memory_text(name));
    for (size_t i = 0; i < agent->route->count; i++)
        rate_limit_open(agent->route->providers[i].endpoint);
    LIST_FOREACH(ask, &agent->asks, sibling)
    if (ask->needs_leave) { /* nothing is reserved for its next request yet: AGAIN lets it go at once */
        ask->until = 0;
    } else if (ask->state == ASK_WAITING) {
        ask_leave(ask);
        ask_queue_up(ask, true);
    }
    pump(scheduler);
}

void scheduler_recall(struct scheduler *scheduler, const char *url, const char *model, const char *text)
{
    learned_recall(providers_service(scheduler->providers, url, model), text);
}

void scheduler_drain(struct scheduler *scheduler)
{
    scheduler->setup.concurrency = 0;
}

static void give_back_of(const void *node, VISIT visit, void *context)
{
    struct agent *agent = *(struct agent *const *)node;
    (void)context;
    if (visit != postorder && visit != leaf)
        return;
    for (struct ask *ask; (ask = LIST_FIRST(&agent->asks));) {
        tell_unsent(ask);
        ask_free(ask);
    }
}

void scheduler_give_back(struct scheduler *scheduler)
{
    twalk_r(scheduler->agents, give_back_of, NULL);
}

static void answered(void *context, const struct client_result *result)
{
    struct ask *ask = context;
    struct scheduler *scheduler = ask->scheduler;
    ask_leave(ask);
    ask->request.sent = result->sent;
    ask->request.spent = SPENT_UNKNOWN;
    ask->request.usage = (struct usage){0};
    int64_t wait = retry_after(result->retry_after, result->retry_after_ms, clock_now(), RETRY_MOST_MS);
    /* An error's status says enough, even when its body was cut short or endless. */
    if (!result->error || result->status >= 300) {
        judge(ask,
              &(struct exchange){.status = result->status,
                                 .content_type = result->content_type,
                                 .location = result->location,
                                 .proxy = result->proxy,
                                 .body = result->body->data,
                                 .length = result->body->length},
              wait);
    } else if (result->unheard &&
               !ask->unheard) { /* no failure of the provider's, but the request may have been paid */
        ask->unheard = true;
        ask_at_once(ask);
    } else {
        OWNED char *clean = utf8_clean(result->error, strlen(result->error));
        OWNED char *text =
            memory_print("gave no whole answer: %s%s%s%s", clean, result->proxy ? " (through the proxy " : "",
                         result->proxy ? result->proxy : "", result->proxy ? ")" : "");
        failed(ask, &(struct verdict){.kind = ANSWER_PASSING,
                                      .retry = result->passing,
                                      .slow = result->timed_out,
                                      .text = text,
                                      .retry_after = -1});
    }
    pump(scheduler);
}
