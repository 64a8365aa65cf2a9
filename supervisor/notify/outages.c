#include "supervisor/notify/outages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base_url.h"
#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/notify/alert.h"

struct outage {
    char *url, *model;
    int64_t since_ms, since; /* its first failure: monotonic, epoch s */
    bool told;
    LIST_ENTRY(outage) link;
};

struct outages {
    struct alerts *alerts;
    LIST_HEAD(, outage) list;
};

struct outages *outages_new(struct alerts *alerts)
{
    struct outages *outages = memory_new(1, sizeof *outages);
    outages->alerts = alerts;
    LIST_INIT(&outages->list);
    return outages;
}

static void end(struct outage *outage)
{
    LIST_REMOVE(outage, link);
    free(outage->url);
    free(outage->model);
    free(outage);
}

void outages_free(struct outages *outages)
{
    while (outages && !LIST_EMPTY(&outages->list))
        end(LIST_FIRST(&outages->list));
    free(outages);
}

static struct outage *find(const struct outages *outages, const char *url, const char *model)
{
    struct outage *outage;
    LIST_FOREACH(outage, &outages->list, link)
    if (strcmp(outage->url, url) == 0 && strcmp(outage->model, model) == 0)
        return outage;
    return NULL;
}

static struct outage *begin(struct outages *outages, const char *url, const char *model)
{
    struct outage *outage = memory_new(1, sizeof *outage);
    *outage = (struct outage){.url = memory_text(url),
                              .model = memory_text(model),
                              .since_ms = clock_monotonic_ms(),
                              .since = clock_now()};
    LIST_INSERT_HEAD(&outages->list, outage, link);
    return outage;
}

static void tell(const struct outages *outages, const struct outage *outage, const char *provider,
                 const char *state, const char *text)
{
    char since[CLOCK_TEXT];
    OWNED char *host = base_url_host(outage->url), *sentence = memory_print("%s %s", provider, text);
    alerts_raise(outages->alerts, ALERT_PROVIDER,
                 json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "state", state, "provider", alert_text(provider),
                           "host", alert_text(host), "model", alert_text(outage->model), "since",
                           clock_format(outage->since, since), "sentence", alert_text(sentence)));
}

bool outages_heard(struct outages *outages, struct reader *message)
{
    uint64_t answers;
    OWNED char *provider = NULL, *url = NULL, *model = NULL, *text = NULL;
    if (!message_read(message, MESSAGE_PROVIDER, &provider, &url, &model, &answers, &text))
        return false;
    struct outage *outage = find(outages, url, model);
    if (answers) {
        if (outage && outage->told)
            tell(outages, outage, provider, "back", text);
        if (outage)
            end(outage);
        return true;
    }
    outage = outage ? outage : begin(outages, url, model);
    if (!outage->told && clock_monotonic_ms() - outage->since_ms >= OUTAGE_MS) {
        outage->told = true;
        tell(outages, outage, provider, "down", text);
    }
    return true;
}
