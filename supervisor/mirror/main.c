/* agentos-mirror CHANNEL_FD DATA_FD
 *
 * Pushes agents' branches to AGENTOS_GIT_REMOTE (contract section 12). Started by the supervisor only, with a socket pair
 * to it (common/channel.h, common/message.h: PUSH in, PUSHED out). Each push is a child in a sandbox of its own; this
 * process makes them, reads nothing of an agent's, and has no network, no key of the model and no privileges. It ends when
 * the supervisor does. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "common/started.h"
#include "supervisor/mirror/jobs.h"

enum { ARGUMENTS = 3, PATH_LENGTH = 4096 };

struct mirror {
    struct loop *loop;
    struct channel channel;
    struct loop_watch *watch;
    struct jobs *jobs;
};

static void update_interest(struct mirror *mirror)
{
    loop_change(mirror->loop, mirror->watch, EPOLLIN | (channel_pending(&mirror->channel) ? EPOLLOUT : 0u));
}

static void pushed(void *context, const char *agent, enum push_end end, const char *text)
{
    struct mirror *mirror = context;
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_PUSHED, agent, (uint64_t)end, text);
    channel_send(&mirror->channel, &message);
    update_interest(mirror);
}

static bool hear(struct mirror *mirror)
{
    const void *bytes;
    size_t length;
    while (channel_next(&mirror->channel, &bytes, &length)) {
        struct reader reader;
        unsigned type = 0;
        OWNED char *agent = NULL;
        if (!message_receive(&reader, bytes, length, PARTY_SUPERVISOR, PARTY_MIRROR, &type) ||
            !message_read(&reader, MESSAGE_PUSH, &agent))
            return false;
        jobs_add(mirror->jobs, agent);
    }
    return true;
}

/* Pushes that are under way end with this process: their parent's death is their signal. */
static void on_channel(void *context, uint32_t events)
{
    struct mirror *mirror = context;
    if (events & EPOLLOUT)
        channel_flush(&mirror->channel);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && (!channel_fill(&mirror->channel) || !hear(mirror)))
        _exit(EX_OK);
    update_interest(mirror);
}

static int run(int channel, const char *data_dir, enum sandbox_mode mode)
{
    static struct mirror mirror;
    mirror.loop = loop_new();
    if (!mirror.loop)
        return EX_OSERR;
    channel_open(&mirror.channel, channel);
    mirror.jobs = jobs_new(&(struct jobs_owner){.loop = mirror.loop,
                                                .data_dir = data_dir,
                                                .remote = setting_text(SET_AGENTOS_GIT_REMOTE, NULL),
                                                .mode = mode,
                                                .ended = pushed,
                                                .context = &mirror});
    mirror.watch = loop_watch(mirror.loop, channel, EPOLLIN, on_channel, &mirror);
    if (!mirror.watch)
        return EX_OSERR;
    loop_run(mirror.loop);
    return EX_OK;
}

int main(int count, char **arguments)
{
    static char data_dir[PATH_LENGTH];
    struct fault fault;
    started_standard();
    started_harden();
    log_start(setting_text(SET_LOG_LEVEL, NULL), setting_text(SET_LOG_FORMAT, NULL));
    log_to_supervisor();
    int channel = count == ARGUMENTS ? started_descriptor(arguments[1]) : -1;
    int data = count == ARGUMENTS ? started_descriptor(arguments[2]) : -1;
    OWNED char *link = memory_print("/proc/self/fd/%d", data);
    if (channel < 0 || data < 0 || readlink(link, data_dir, sizeof data_dir - 1) <= 0) {
        fprintf(stderr, "agentos-mirror is started by `agentos run`, with two descriptors\n");
        return EX_USAGE;
    }
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_MIRROR, sandbox_mode(), &fault);
    if (!sandbox || !sandbox_shed(sandbox, &fault)) {
        log_error("mirror", NULL, "not in its sandbox, so it ends: %s", fault.text);
        return EX_CONFIG;
    }
    sandbox_free(sandbox);
    return run(channel, data_dir, sandbox_mode());
}
