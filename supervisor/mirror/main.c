/* agentos-mirror CHANNEL_FD DATA_FD
 *
 * Pushes agents' branches to AGENTOS_GIT_REMOTE, fetches a branch for `move --from-remote`, and looks whether there is
 * one before an agent is begun anew (contract section 12). The supervisor alone starts the process, with a socket pair to
 * it (common/channel.h, common/message.h: PUSH, FETCH and LOOK_THERE in, PUSHED, FETCHED and LOOKED out). Each push is
 * a child in a sandbox of its own; this process makes them, reads nothing of an agent's, and has no network, no key of the
 * model and no privileges. The process ends when the supervisor does. */
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "common/started.h"
#include "supervisor/mirror/jobs.h"
#include "supervisor/process/report.h"

enum { PATH_LENGTH = 4096 };

struct mirror {
    struct report *report;
    struct jobs *jobs;
};

static void ended(void *context, const char *agent, enum job_run run, enum push_end end, const char *text)
{
    static const unsigned words[] = {
        [JOB_PUSH] = MESSAGE_PUSHED, [JOB_FETCH] = MESSAGE_FETCHED, [JOB_LOOK] = MESSAGE_LOOKED};
    const struct mirror *mirror = context;
    report_send(mirror->report, words[run], agent, (uint64_t)end, text);
}

static bool hear(void *context, unsigned type, struct reader *reader)
{
    const struct mirror *mirror = context;
    OWNED char *agent = NULL, *bundle = NULL;
    if (type == MESSAGE_PUSH && message_read(reader, MESSAGE_PUSH, &agent))
        jobs_add(mirror->jobs, agent);
    else if (type == MESSAGE_FETCH && message_read(reader, MESSAGE_FETCH, &agent, &bundle))
        jobs_fetch(mirror->jobs, agent, bundle);
    else if (type == MESSAGE_LOOK_THERE && message_read(reader, MESSAGE_LOOK_THERE, &agent))
        jobs_look(mirror->jobs, agent);
    else
        return false;
    return true;
}

/* Pushes under way end with this process: their parent's death is their signal. */
static int run(int channel, const char *data_dir, enum sandbox_mode mode)
{
    static struct mirror mirror;
    struct loop *loop = loop_new();
    if (!loop)
        return EX_OSERR;
    mirror.jobs = jobs_new(&(struct jobs_owner){.loop = loop,
                                                .data_dir = data_dir,
                                                .remote = setting_text(SET_AGENTOS_GIT_REMOTE, NULL),
                                                .mode = mode,
                                                .ended = ended,
                                                .context = &mirror});
    mirror.report =
        report_open(loop, channel, PARTY_MIRROR, &(struct report_owner){.hear = hear, .context = &mirror});
    if (!mirror.report)
        return EX_OSERR;
    loop_run(loop);
    return EX_OK;
}

int main(int count, char **arguments)
{
    static char data_dir[PATH_LENGTH];
    struct fault fault;
    int given[2];
    if (!started_by_supervisor(count, arguments, given, 2))
        return EX_USAGE;
    OWNED char *link = memory_print("/proc/self/fd/%d", given[1]);
    if (readlink(link, data_dir, sizeof data_dir - 1) <= 0)
        return EX_OSERR;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_MIRROR, sandbox_mode(), &fault);
    if (!sandbox || !sandbox_shed(sandbox, &fault))
        return log_error("mirror", NULL, "not in its sandbox, so it ends: %s", fault.text), EX_CONFIG;
    sandbox_free(sandbox);
    return run(given[0], data_dir, sandbox_mode());
}
