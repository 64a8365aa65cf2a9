#include "supervisor/gateway/gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "supervisor/gateway/client.h"
#include "supervisor/gateway/keys.h"
#include "supervisor/gateway/scheduler.h"
#include "supervisor/gateway/webhooks.h"

enum {
    TURN_MS = 1000,
    STANDSTILL_MS = 200,
    EVENTS = 64,
    DESCRIPTORS_WANTED = 65536,
    DESCRIPTORS_SPARE = 64,
    AGENT_NAME_MAX = 256
};

/* What names are resolved with. The sandbox allows the files that were there, not what is put in their places by
 * renaming, as a network manager does it. */
static const char *const resolver_files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};

enum { RESOLVER_FILES = sizeof resolver_files / sizeof *resolver_files, RESOLVER_LOOK_MS = 1000 };

struct gateway {
    int epoll;
    struct channel channel;
    bool open;    /* the supervisor is there */
    bool writing; /* epoll watches for room in the channel */
    struct keys *keys;
    struct client *client;
    struct scheduler *scheduler;
    struct webhooks *webhooks;
    ino_t resolver[RESOLVER_FILES]; /* 0: there is no such file */
    int64_t resolver_look_at;
    bool outdated;     /* one of them is another file now: no further request begins */
    int64_t turned_at; /* when the last wait ended; ms of the kernel's clock */
};

/* Watch for room only while something waits to be written, or epoll would never sleep. */
static void watch_channel(struct gateway *gateway, bool known)
{
    bool pending = channel_pending(&gateway->channel);
    if (known && pending == gateway->writing)
        return;
    struct epoll_event event = {.events = EPOLLIN | (pending ? (uint32_t)EPOLLOUT : 0),
                                .data.fd = gateway->channel.fd};
    if (epoll_ctl(gateway->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, gateway->channel.fd, &event) != 0)
        gateway->open = false;
    gateway->writing = pending;
}

static void send_message(void *context, const struct buffer *message)
{
    struct gateway *gateway = context;
    if (!channel_send(&gateway->channel, message))
        gateway->open = false;
}

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
    if (gateway->outdated) /* the next gateway is asked again */
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

static bool handle(struct gateway *gateway, const void *bytes, size_t length)
{
    struct reader reader;
    unsigned type = 0;
    if (message_receive(&reader, bytes, length, PARTY_SUPERVISOR, PARTY_GATEWAY, &type))
        for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
            if (handlers[i].type == type && handlers[i].read(gateway, &reader))
                return true;
    log_error("gateway", NULL, "the supervisor sent a message that isn't understood (%s); the gateway ends",
              message_name(type));
    return false;
}

/* A message that fails ends the connection, and without it there is nobody to work for. */
static void serve_channel(struct gateway *gateway, uint32_t events)
{
    bool there = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        there = channel_fill(&gateway->channel);
    const void *bytes;
    size_t length;
    while (gateway->open && channel_next(&gateway->channel, &bytes, &length))
        if (!handle(gateway, bytes, length))
            gateway->open = false;
    if (!there || !channel_flush(&gateway->channel))
        gateway->open = false;
}

/* Milliseconds until the next thing is due, at most a turn's length while requests are under way; -1: nothing is. */
static int sleep_time(const struct gateway *gateway)
{
    int64_t scheduler = scheduler_deadline(gateway->scheduler), client = client_deadline(gateway->client);
    int64_t due = scheduler < 0 || (client >= 0 && client < scheduler) ? client : scheduler;
    if (due < 0)
        return -1;
    int64_t left = due - clock_monotonic_ms(), most = client_busy(gateway->client) ? TURN_MS : 3600 * 1000;
    return left < 0 ? 0 : left > most ? (int)most : (int)left;
}

/* A turn that took much longer than it was meant to wait: this process did not run meanwhile (SIGSTOP, docker pause), or
 * hardly. Answers may have come, and lie in its sockets. */
static void notice_standstill(struct gateway *gateway, int waited_ms)
{
    int64_t now = clock_kernel_monotonic_us() / 1000, took = now - gateway->turned_at;
    if (gateway->turned_at && waited_ms >= 0 && took > waited_ms + STANDSTILL_MS)
        client_stood_still(gateway->client, took);
    gateway->turned_at = now;
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

/* The next gateway may read the new ones. What waits is asked again by the supervisor; what is under way ends first, as it
 * is paid for: network managers write these files anew at each lease and after each sleep. */
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

static void expire(struct gateway *gateway)
{
    int64_t now = clock_monotonic_ms();
    if (client_deadline(gateway->client) >= 0 && client_deadline(gateway->client) <= now)
        client_expire(gateway->client);
    if (scheduler_deadline(gateway->scheduler) >= 0 && scheduler_deadline(gateway->scheduler) <= now)
        scheduler_expire(gateway->scheduler, now);
}

static void loop(struct gateway *gateway)
{
    struct epoll_event events[EVENTS];
    while (gateway->open) {
        int wait_ms = clock_wait_ms(sleep_time(gateway));
        int count = epoll_wait(gateway->epoll, events, EVENTS, wait_ms);
        if (count < 0 && errno != EINTR) {
            log_error("gateway", NULL, "epoll_wait failed (%d); the gateway ends and is started again",
                      errno);
            return;
        }
        notice_standstill(gateway, wait_ms);
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == gateway->channel.fd)
                serve_channel(gateway, events[i].events);
            else
                client_event(gateway->client, events[i].data.fd, events[i].events);
        check_resolver(gateway);
        expire(gateway);
        if (gateway->outdated && !client_busy(gateway->client))
            gateway->open = false;
        if (gateway->open)
            watch_channel(gateway, true);
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

int gateway_run(int channel, struct keys *keys)
{
    struct gateway gateway = {.open = true, .keys = keys, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct fault fault;
    int status = EX_OK;
    channel_open(&gateway.channel, channel);
    know_resolver(&gateway);
    gateway.scheduler = scheduler_open(&(struct scheduler_setup){
        .keys = gateway.keys, .concurrency = concurrency(), .send = send_message, .context = &gateway});
    gateway.client = client_open(gateway.epoll, &fault);
    if (gateway.client && gateway.epoll >= 0) {
        scheduler_attach(gateway.scheduler, gateway.client);
        gateway.webhooks = webhooks_open(&(struct webhooks_setup){
            .client = gateway.client, .keys = gateway.keys, .send = send_message, .context = &gateway});
        watch_channel(&gateway, false);
        loop(&gateway);
    } else {
        log_error("gateway", NULL, "%s", gateway.client ? "no epoll descriptor could be opened" : fault.text);
        status = EX_OSERR;
    }
    scheduler_close(gateway.scheduler);
    webhooks_close(gateway.webhooks);
    client_close(gateway.client);
    keys_free(gateway.keys);
    channel_close(&gateway.channel);
    close(gateway.epoll);
    return status;
}
