#include "supervisor/zygote_link.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/message.h"
#include "supervisor/process/log_pipe.h"
#include "supervisor/supervisor.h"

enum {
    /* setproctitle writes over the environment: a worker's whole name needs this much room in it. */
    TITLE_ROOM = 160,
};

/* False: the child has ended and was reaped before the zygote told of it. Its pid may be another process's by now. */
static bool is_our_child(pid_t pid)
{
    siginfo_t ended;
    return waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

static bool zygote_says(void *context, const void *bytes, size_t length)
{
    struct supervisor *supervisor = context;
    struct reader reader;
    unsigned type = 0;
    OWNED char *name = NULL, *why = NULL;
    uint64_t generation, pid;
    if (!message_receive(&reader, bytes, length, PARTY_ZYGOTE, PARTY_SUPERVISOR, &type) ||
        type != MESSAGE_SPAWNED || !message_read(&reader, MESSAGE_SPAWNED, &name, &generation, &pid, &why))
        return false;
    struct agent *agent = agents_find(&supervisor->agents, name);
    int log = pid > 1 ? log_pipe_receive(supervisor->programs.zygote_logs[0], (pid_t)pid) : -1;
    bool expected = agent && agent->worker.spawning && agent->worker.generation == generation;
    bool gone = pid > 1 && !is_our_child((pid_t)pid);
    if (expected && !gone) {
        agent_spawned(agent, (pid_t)pid, log, why);
        return true;
    }
    memory_close_at(&log);
    if (pid > 1 && !gone)
        kill((pid_t)pid, SIGKILL); /* nobody waits for the process any more */
    /* The zygote forgets a worker's gate, which lets the worker go if it still stands there. */
    if (pid > 1)
        child_say(&supervisor->programs.zygote, MESSAGE_GO, pid);
    if (expected)
        agent_spawned(agent, 0, -1, "its worker has ended before its work could begin");
    return true;
}

static void zygote_started(void *context)
{
    struct supervisor *supervisor = context;
    for (size_t i = 0; i < supervisor->agents.count; i++)
        agent_spawn_again(supervisor->agents.list[i]);
}

/* The zygote binds all functions of its libraries at once: else each worker looks up nng's functions again, and
 * copies the pages where their places are noted. */
static char **zygote_environment(char *room)
{
    static char bind_now[] = "LD_BIND_NOW=1";
    size_t count = 0;
    while (environ[count])
        count++;
    char **environment = memory_new(count + 3, sizeof *environment);
    memcpy(environment, environ, count * sizeof *environment);
    environment[count++] = bind_now;
    environment[count] = room;
    return environment;
}

bool zygote_link_open(struct supervisor *supervisor)
{
    static char *arguments[] = {"agentos-zygote", "--zygote", "3", "4", NULL};
    static char room[sizeof "AGENTOS_TITLE_ROOM=" + TITLE_ROOM] = "AGENTOS_TITLE_ROOM=";
    memset(room + strlen("AGENTOS_TITLE_ROOM="), ' ', TITLE_ROOM);
    supervisor->programs.zygote_environment = zygote_environment(room);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, supervisor->programs.zygote_logs) != 0)
        return false;
    return child_begin(&supervisor->programs.zygote, supervisor->loop,
                       &(struct child_plan){
                           .name = "zygote",
                           .component = "agentos",
                           .folder = supervisor->options->programs,
                           .file = "agentos-worker",
                           .arguments = arguments,
                           .environment = supervisor->programs.zygote_environment,
                           .extras = {supervisor->programs.zygote_logs[1], -1},
                           .message = zygote_says,
                           .started = zygote_started,
                           .context = supervisor,
                       });
}
