#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/gateway/ask.h"
#include "supervisor/gateway/learned.h"

char *tell_masked(const struct scheduler *scheduler, const char *text)
{
    return keys_mask(scheduler->setup.keys, memory_text(text));
}

void tell_spent(struct ask *ask, bool again)
{
    ask->needs_leave = ask->request.sent && again;
    if (!ask->request.sent)
        return; /* the request's reservation is there for the next one */
    ask->request.sent = false;
    report_send(ask->scheduler->setup.report, MESSAGE_SPENT, ask->serial, ask->agent->name,
                ask_provider_of(ask)->model, (uint64_t)ask->request.spent, ask->request.usage.in,
                ask->request.usage.out, ask->request.usage.cached, (uint64_t)again);
}

void tell_unsent(const struct ask *ask)
{
    report_send(ask->scheduler->setup.report, MESSAGE_SPENT, ask->serial, ask->agent->name,
                ask_provider_of(ask)->model, (uint64_t)SPENT_UNSENT, UINT64_C(0), UINT64_C(0), UINT64_C(0),
                UINT64_C(0));
}

/* Tells the size of the agent's next prompt, where that is news or the answer is about it. */
static void tell_room(struct ask *ask, const struct provider *provider, bool always)
{
    struct agent *agent = ask->agent;
    uint64_t tokens;
    size_t room = learned_room(provider, &tokens);
    if (room == agent->room && !always)
        return;
    agent->room = room;
    report_send(ask->scheduler->setup.report, MESSAGE_ROOM, ask->serial, agent->name, (uint64_t)room, tokens,
                UINT64_C(0));
}

void tell_answer(struct ask *ask, enum answer_kind kind, const char *text, const struct response *response,
                 const char *provider)
{
    const struct scheduler *scheduler = ask->scheduler;
    bool length = kind == ANSWER_LENGTH;
    tell_spent(ask, false);
    tell_room(ask, length ? ask_provider_of(ask) : ask->agent->route->providers, length);
    OWNED char *safe = tell_masked(scheduler, text);
    OWNED char *reason = tell_masked(scheduler, response ? response->finish_reason : "");
    OWNED char *model =
        tell_masked(scheduler, response && *response->model ? response->model : ask_provider_of(ask)->model);
    report_send(
        scheduler->setup.report, MESSAGE_ANSWER, ask->serial, ask->agent->name, (uint64_t)kind, safe, reason,
        model, (uint64_t)0, (uint64_t)0, provider, (uint64_t)(kind == ANSWER_OK ? 0 : ask->retry_after),
        (uint64_t)ask_provider_of(ask)->service->answered_ms, (uint64_t)0, (uint64_t)0, USAGE_NO_COST);
}

void tell_waiting(struct ask *ask, int64_t milliseconds, const char *sentence)
{
    const struct scheduler *scheduler = ask->scheduler;
    OWNED char *safe = tell_masked(scheduler, sentence);
    int64_t until = (clock_now_ms() + milliseconds + 999) / 1000;
    report_send(scheduler->setup.report, MESSAGE_WAITING, ask->serial, ask->agent->name, "provider",
                (uint64_t)until, safe);
    ask->request.waits = true;
}

void tell_asked(struct ask *ask)
{
    if (ask->request.waits)
        report_send(ask->scheduler->setup.report, MESSAGE_WAITING, ask->serial, ask->agent->name, "",
                    UINT64_C(0), "");
    ask->request.waits = false;
}

void tell_provider(const struct ask *ask, bool answers, const char *text)
{
    const struct provider *provider = ask_provider_of(ask);
    if (answers && provider->service->told_well)
        return;
    provider->service->told_well = answers;
    OWNED char *safe = tell_masked(ask->scheduler, text);
    report_send(ask->scheduler->setup.report, MESSAGE_PROVIDER, provider->name, provider->service->url,
                provider->model, (uint64_t)answers, safe);
}

void tell_learned(const struct scheduler *scheduler, struct service *service)
{
    OWNED char *news = learned_news(service);
    if (!news)
        return;
    report_send(scheduler->setup.report, MESSAGE_LEARNED, service->url, service->model, news);
}
