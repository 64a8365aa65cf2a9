#include "supervisor/gateway/gateway.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "supervisor/gateway/client.h"
#include "supervisor/gateway/keys.h"
#include "supervisor/gateway/scheduler.h"
#include "supervisor/gateway/webhooks.h"
#include "supervisor/process/report.h"

enum { TURN_MS = 1000, STANDSTILL_MS = 200, DESCRIPTORS_WANTED = 65536, DESCRIPTORS_SPARE = 64 };

/* The files that resolve names. The sandbox allows these files as they were, not files that are renamed into their
 * places, as a network manager does it. */
static const char *const resolver_files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};

enum { RESOLVER_FILES = sizeof resolver_files / sizeof *resolver_files, RESOLVER_LOOK_MS = 1000 };

struct gateway {
    struct loop *loop;
    struct report *report;
    struct keys *keys;
    struct client *client;
    struct scheduler *scheduler;
    struct webhooks *webhooks;
    ino_t resolver[RESOLVER_FILES]; /* 0: there is no such file */
    int64_t resolver_look_at;
    bool outdated; /* a resolver file is another file now: no further request begins */
};

static bool read_ask(struct gateway *gateway, struct reader *reader)
{
    uint64_t serial, peers, segments, budget, room, least; /* peers to room: the texts are in the prompt */
    char *agent, *system, *task;
    if (!message_read(reader, MESSAGE_ASK, &serial, &agent, &system, &task, &peers, &segments, &budget, &room,
                      &least))
        return false;
    scheduler_ask(gateway->scheduler, serial, agent, system, task, least != 0);
    return true;
}

static bool read_forget(struct gateway *gateway, struct reader *reader)
{
    uint64_t serial;
    char *agent;
    if (!message_read(reader, MESSAGE_FORGET, &serial, &agent))
        return false;
    scheduler_forget(gateway->scheduler, serial, agent);
    free(agent);
    return true;
}

static bool read_retry(struct gateway *gateway, struct reader *reader)
{
    char *agent;
    if (!message_read(reader, MESSAGE_RETRY, &agent))
        return false;
    scheduler_retry(gateway->scheduler, agent);
    free(agent);
    return true;
}

static bool read_again(struct gateway *gateway, struct reader *reader)
{
    uint64_t serial;
    OWNED char *agent = NULL;
    if (!message_read(reader, MESSAGE_AGAIN, &serial, &agent))
        return false;
    scheduler_again(gateway->scheduler, serial, agent);
    return true;
}

static bool read_recall(struct gateway *gateway, struct reader *reader)
{
    OWNED char *url = NULL, *model = NULL, *text = NULL;
    if (!message_read(reader, MESSAGE_RECALL, &url, &model, &text))
        return false;
    scheduler_recall(gateway->scheduler, url, model, text);
    return true;
}

static bool read_notify(struct gateway *gateway, struct reader *reader)
{
    uint64_t serial;
    struct webhook hook = {0};
    if (!message_read(reader, MESSAGE_NOTIFY, &serial, &hook.url, &hook.id, &hook.timestamp, &hook.signature,
                      &hook.body))
        return false;
    if (gateway->outdated) /* the supervisor asks the next gateway */
        webhook_free(&hook);
    else
        webhooks_post(gateway->webhooks, serial, &hook);
    return true;
}

static const struct {
    enum message_type type;
    bool (*read)(struct gateway *gateway, struct reader *reader);
} handlers[] = {{MESSAGE_ASK, read_ask},     {MESSAGE_FORGET, read_forget}, {MESSAGE_RETRY, read_retry},
                {MESSAGE_AGAIN, read_again}, {MESSAGE_RECALL, read_recall}, {MESSAGE_NOTIFY, read_notify}};

static bool hear(void *context, unsigned type, struct reader *reader)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].type == type)
            return handlers[i].read(context, reader);
    return false;
}

/* A turn that took much longer than its timeout: this process did not run meanwhile (SIGSTOP, docker pause), or
 * hardly. Answers may have come, and lie in its sockets. */
static void notice_standstill(void *context)
{
    struct gateway *gateway = context;
    int64_t late = loop_stood_still_ms(gateway->loop);
    if (late > STANDSTILL_MS)
        client_stood_still(gateway->client, late);
}

static ino_t resolver_file(size_t which)
{
    struct stat status;
    return stat(resolver_files[which], &status) == 0 ? status.st_ino : 0;
}

static void know_resolver(struct gateway *gateway)
{
    for (size_t i = 0; i < RESOLVER_FILES; i++)
        gateway->resolver[i] = resolver_file(i);
}

/* The next gateway may read the new files. The supervisor asks it the questions that wait; requests under way end
 * first, as they are paid for: network managers write these files anew at each lease and after each sleep. */
static void check_resolver(struct gateway *gateway)
{
    int64_t now = clock_monotonic_ms();
    if (now < gateway->resolver_look_at || gateway->outdated || sandbox_mode() == SANDBOX_OFF)
        return;
    gateway->resolver_look_at = now + RESOLVER_LOOK_MS;
    for (size_t i = 0; i < RESOLVER_FILES && !gateway->outdated; i++)
        if (gateway->resolver[i] != resolver_file(i)) {
            log_info("gateway", NULL, "%s is another file now; the gateway is started anew to read it",
                     resolver_files[i]);
            scheduler_drain(gateway->scheduler);
            gateway->outdated = true;
        }
}

/* A request takes a descriptor: without a limit of the operator's, the kernel's is the limit, so that running out of
 * descriptors never looks like a fault of the provider's. */
static unsigned concurrency(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    int64_t most = (int64_t)limit.rlim_cur - DESCRIPTORS_SPARE;
    int64_t wanted = setting_integer(SET_LLM_MAX_CONCURRENCY, NULL);
    if (most < 1)
        most = 1;
    return (unsigned)(wanted > 0 && wanted < most ? wanted : most);
}

/* The keys and the proxies' passwords that are kept here are overwritten. libcurl's copies of them and those of posts
 * under way go with the process, as all other memory does. */
static void forget_keys(void *context)
{
    struct gateway *gateway = context;
    scheduler_close(gateway->scheduler);
    keys_free(gateway->keys);
}

static bool open_all(struct gateway *gateway, int channel, struct fault *fault)
{
    gateway->loop = loop_new();
    if (!gateway->loop)
        return fault_errno(fault, "the event loop can't be made");
    gateway->report =
        report_open(gateway->loop, channel, PARTY_GATEWAY,
                    &(struct report_owner){.hear = hear, .ends = forget_keys, .context = gateway});
    if (!gateway->report)
        return fault_errno(fault, "the supervisor can't be listened to");
    gateway->client = client_open(gateway->loop, fault);
    if (!gateway->client)
        return false;
    gateway->scheduler = scheduler_open(&(struct scheduler_setup){.keys = gateway->keys,
                                                                  .loop = gateway->loop,
                                                                  .client = gateway->client,
                                                                  .report = gateway->report,
                                                                  .concurrency = concurrency()});
    gateway->webhooks = webhooks_open(&(struct webhooks_setup){
        .client = gateway->client, .keys = gateway->keys, .report = gateway->report});
    loop_begin_turns_with(gateway->loop, notice_standstill, gateway);
    return true;
}

int gateway_run(int channel, struct keys *keys)
{
    struct gateway gateway = {.keys = keys};
    struct fault fault;
    know_resolver(&gateway);
    if (!open_all(&gateway, channel, &fault))
        return log_error("gateway", NULL, "%s", fault.text), EX_OSERR;
    /* The last answers are paid for: the next gateway would be asked for what this one takes along. */
    while (!gateway.outdated || client_busy(gateway.client) || report_pending(gateway.report)) {
        loop_turn(gateway.loop, client_busy(gateway.client) ? TURN_MS : -1);
        check_resolver(&gateway);
        if (gateway.outdated && !client_busy(gateway.client))
            scheduler_give_back(gateway.scheduler);
    }
    report_flush(gateway.report);
    forget_keys(&gateway);
    return EX_OK;
}
