#include "supervisor/notify/outages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base_url.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/printable.h"
#include "supervisor/notify/alert.h"
#include "supervisor/process/state_file.h"

enum { KEY_DIGITS = 16 };

struct outage {
    uint64_t key;            /* hash of the URL, which may hold a secret, and the model */
    char *who;               /* for people: the host and the model */
    int64_t since_ms, since; /* the outage's first failure: monotonic, epoch s */
    bool told;
    LIST_ENTRY(outage) link;
};

struct outages {
    struct alerts *alerts;
    struct state_file state_file;
    LIST_HEAD(, outage) list;
};

static void add(struct outages *outages, const struct outage *outage)
{
    struct outage *added = memory_new(1, sizeof *added);
    *added = *outage;
    LIST_INSERT_HEAD(&outages->list, added, link);
}

static void end(struct outage *outage)
{
    LIST_REMOVE(outage, link);
    free(outage->who);
    free(outage);
}

/* --- the told outages, over a restart --- */

static bool read_line(void *context, const char *section, const char *key, const char *value)
{
    (void)section;
    char *rest = NULL;
    OWNED char *time = memory_slice(value, strcspn(value, " "));
    struct outage outage = {.key = strtoull(key, &rest, 16), .told = true};
    if (strlen(key) != KEY_DIGITS || *rest || !clock_parse(time, &outage.since))
        return false;
    outage.who = memory_text(value + strlen(time) + (value[strlen(time)] == ' '));
    add(context, &outage);
    return true;
}

/* A file that can't be written costs a restart's memory alone. */
static void save(struct outages *outages)
{
    char since[CLOCK_TEXT];
    struct fault fault;
    const struct outage *outage;
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text,
                "# Outages\n\nProviders that an alert has called down, and that have not answered since.\n"
                "AgentOS writes this file, and reads it when it starts.\n\n");
    LIST_FOREACH(outage, &outages->list, link)
    if (outage->told)
        buffer_print(&text, "- %016" PRIx64 ": %s %s\n", outage->key, clock_format(outage->since, since),
                     outage->who);
    if (!state_file_write(&outages->state_file, &text, false, &fault))
        log_warn("agentos", NULL, "Which providers are down is not remembered over a restart: %s",
                 fault.text);
}

struct outages *outages_new(struct alerts *alerts, int data)
{
    struct outages *outages = memory_new(1, sizeof *outages);
    outages->alerts = alerts;
    outages->state_file = (struct state_file){.data = data, .name = "outages.md"};
    LIST_INIT(&outages->list);
    state_file_read(&outages->state_file, NULL, read_line, outages);
    return outages;
}

void outages_free(struct outages *outages)
{
    while (outages && !LIST_EMPTY(&outages->list))
        end(LIST_FIRST(&outages->list));
    free(outages);
}

/* --- the gateway's news --- */

static struct outage *find(const struct outages *outages, uint64_t key)
{
    struct outage *outage;
    LIST_FOREACH(outage, &outages->list, link)
    if (outage->key == key)
        return outage;
    return NULL;
}

struct request_end {
    char *provider, *url, *model, *text;
    uint64_t key;
};

static void begin(struct outages *outages, const struct request_end *ended)
{
    OWNED char *host = base_url_host(ended->url);
    OWNED char *who = memory_print("%s %s", host ? host : "", ended->model);
    add(outages, &(struct outage){.key = ended->key,
                                  .who = printable_text(who, strlen(who), false),
                                  .since_ms = clock_monotonic_ms(),
                                  .since = clock_now()});
}

static void tell(const struct outages *outages, const struct outage *outage, const struct request_end *ended,
                 const char *state)
{
    char since[CLOCK_TEXT];
    OWNED char *host = base_url_host(ended->url);
    OWNED char *sentence = memory_print("%s %s", ended->provider, ended->text);
    alerts_raise(outages->alerts, ALERT_PROVIDER,
                 json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "state", state, "provider",
                           alert_text(ended->provider), "host", alert_text(host), "model",
                           alert_text(ended->model), "since", clock_format(outage->since, since), "sentence",
                           alert_text(sentence)));
}

static void is_answered(struct outages *outages, struct outage *outage, const struct request_end *ended)
{
    bool told = outage->told;
    if (told)
        tell(outages, outage, ended, "back");
    end(outage);
    if (told)
        save(outages);
}

/* The alert is in its file before the outage is: after a crash between the two an alert says twice that the provider
 * is down, and none is lost. */
static void has_failed(struct outages *outages, struct outage *outage, const struct request_end *ended)
{
    if (outage->told || clock_monotonic_ms() - outage->since_ms < OUTAGE_MS)
        return;
    outage->told = true;
    tell(outages, outage, ended, "down");
    save(outages);
}

bool outages_heard(struct outages *outages, struct reader *message)
{
    uint64_t answers;
    OWNED char *provider = NULL, *url = NULL, *model = NULL, *text = NULL;
    if (!message_read(message, MESSAGE_PROVIDER, &provider, &url, &model, &answers, &text))
        return false;
    OWNED char *both = memory_print("%s\n%s", url, model);
    const struct request_end ended = {provider, url, model, text, names_hash(both, strlen(both))};
    struct outage *outage = find(outages, ended.key);
    if (!answers && !outage)
        begin(outages, &ended);
    else if (outage && answers)
        is_answered(outages, outage, &ended);
    else if (outage)
        has_failed(outages, outage, &ended);
    return true;
}
