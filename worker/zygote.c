#include "worker/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/format/memory_group.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"

#include "common/repository/library.h"
#include "worker/cycle/start.h"

/* A worker that stands at its gate until the supervisor says GO. */
struct gate {
    pid_t pid;
    int open; /* a byte lets it go; closing it sends it away */
    struct gate *next;
};

struct zygote {
    struct channel channel;
    int logs; /* socket pair: the reading end of each worker's standard error goes to the supervisor */
    struct gate *gates;
    struct sandbox *sandbox;
};

/* --- in the worker --- */

enum { GATE = STDERR_FILENO + 1 };

/* The zygote's gifts to a new worker: the gate, its standard error, and the folder of its control group (-1: none). */
struct ends {
    int gate, log, group;
};

/* The worker inherits no other descriptor: not the zygote's channel, not the others' gates. Both descriptors stand
 * above the places that they go to, for the zygote has those places taken. */
static void keep_only(const struct ends *ends)
{
    int nothing = open("/dev/null", O_RDWR);
    if (nothing > STDIN_FILENO)
        dup2(nothing, STDIN_FILENO);
    dup2(STDIN_FILENO, STDOUT_FILENO);
    dup2(ends->log, STDERR_FILENO);
    if (ends->gate != GATE)
        dup2(ends->gate, GATE);
    close_range(GATE + 1, ~0U, 0);
}

/* When the supervisor ends, so does its worker: by signal, and if it has ended before the signal was asked for, by
 * the comparison. A process between, if there was one, has been reaped by now: the parent is the supervisor for
 * good. */
static bool belongs_to(pid_t supervisor)
{
    char go;
    ssize_t n;
    do
        n = read(GATE, &go, 1);
    while (n < 0 && errno == EINTR);
    close(GATE);
    return n == 1 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == supervisor;
}

/* Two processes must never write one tree. A worker that is being killed may still be finishing a write; the next
 * worker waits here until the kernel has let go of it. The descriptor stays open for life. */
static void own_tree(const struct worker_start *start)
{
    OWNED char *path = memory_print("%s/agents/%s", start->data_dir, start->agent->name);
    int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree < 0)
        return;
    while (flock(tree, LOCK_EX) != 0 && errno == EINTR)
        ;
}

/* From here on the worker has its tree, one connection to make, and no more. */
static bool confine(struct worker_start *start)
{
    struct fault fault;
    OWNED char *tree = memory_print("%s/agents/%s", start->data_dir, start->agent->name);
    struct sandbox_room room = {.tree = tree,
                                .memory_bytes = start->agent->limits.memory_mb * 1024 * 1024,
                                .open_files = start->agent->limits.open_files};
    threads_look(&start->threads);
    if (sandbox_enter(start->sandbox, &room, &fault))
        return true;
    log_error("agent", start->agent->name, "Not in its sandbox, so this worker ends: %s", fault.text);
    return false;
}

_Noreturn static void live(struct worker_start *start, const struct ends *ends)
{
    memory_group_enter(ends->group); /* at the gate, where there is time */
    keep_only(ends);
    setsid();
    prctl(PR_SET_NAME, "agentos-worker");
    setproctitle("-agentos-worker %s", start->agent->name);
    if (!belongs_to(start->supervisor))
        _exit(EX_UNAVAILABLE);
    own_tree(start);
    _exit(confine(start) ? worker_live(start) : EX_CONFIG);
}

/* --- in the zygote --- */

/* One fork, whose child is the supervisor's from its first moment. glibc's fork can't do that, so its other steps are
 * done here: this process has one thread, so no lock is held and no handler is due; the place where glibc keeps its
 * thread's id the kernel tells, and writes the new one there. The last two arguments of clone change places between
 * architectures; the argument that no flag asks for is ignored. The worker is made in its group where the kernel does
 * that (version 2), else the worker moves itself. */
static pid_t fork_for_supervisor(struct worker_start *start, const struct ends *ends)
{
    int *thread_id = NULL;
    const unsigned flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    if (prctl(PR_GET_TID_ADDRESS, &thread_id) != 0 || !thread_id)
        return -1;
    struct clone_args into = {.flags = flags | CLONE_INTO_CGROUP,
                              .child_tid = (uintptr_t)thread_id,
                              .cgroup = (unsigned)ends->group};
    static bool
        refused; /* for good: a kernel copies the whole process before it refuses a group of version 1 */
    pid_t worker = ends->group < 0 || refused ? -1 : (pid_t)syscall(SYS_clone3, &into, sizeof into);
    if (worker == 0)
        live(start, &(struct ends){ends->gate, ends->log, -1});
    refused = refused || (ends->group >= 0 && worker < 0 && (errno == EBADF || errno == ENOSYS));
    if (worker < 0)
        worker = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, thread_id, thread_id);
    if (worker == 0)
        live(start, ends);
    return worker;
}

/* Where a kernel or a container refuses that: the process between ends at once, so that the supervisor, as subreaper,
 * becomes the worker's parent. Returns the worker's pid, -1 and errno. */
static pid_t fork_twice(struct worker_start *start, const struct ends *ends)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        return -1;
    pid_t between = fork();
    if (between == 0) {
        pid_t worker = fork();
        if (worker == 0)
            live(start, ends);
        int answer = worker > 0 ? (int)worker : -errno;
        ssize_t written = write(report[1], &answer, sizeof answer);
        _exit(written == sizeof answer ? 0 : EX_OSERR);
    }
    int answer = -errno;
    close(report[1]);
    if (between > 0) {
        if (read(report[0], &answer, sizeof answer) != sizeof answer)
            answer = -EIO;
        (void)TEMP_FAILURE_RETRY(waitpid(between, NULL, 0));
    }
    close(report[0]);
    errno = answer < 0 ? -answer : 0;
    return answer < 0 ? -1 : answer;
}

static pid_t fork_worker(struct worker_start *start, const struct ends *ends)
{
    pid_t worker = fork_for_supervisor(start, ends);
    return worker > 0 ? worker : fork_twice(start, ends);
}

static void tell_spawned(struct zygote *zygote, const char *agent, uint64_t generation, pid_t pid,
                         const char *why)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_SPAWNED, agent, generation, (uint64_t)pid, why);
    channel_send(&zygote->channel, &message);
}

/* The kernel takes only so many descriptors that are under way; meanwhile the supervisor must hear the news that it
 * waits for, so that it reads on. Without its reader the worker's standard error would end the worker: such a worker is
 * not let go at all. */
static bool hand_over(struct zygote *zygote, int log, pid_t pid)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {
        .head = {.cmsg_len = CMSG_LEN(sizeof log), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec content = {.iov_base = &pid, .iov_len = sizeof pid};
    struct msghdr message = {
        .msg_iov = &content, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.head), &log, sizeof log);
    while (sendmsg(zygote->logs, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS && errno != ENOBUFS)
            return false;
        if (!channel_flush(&zygote->channel))
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

static void spawn(struct zygote *zygote, struct worker_start *start, const char *group_path)
{
    const char *name = start->agent->name;
    int gate[2] = {-1, -1}, log[2] = {-1, -1};
    bool ready = pipe2(gate, O_CLOEXEC) == 0 && pipe2(log, O_CLOEXEC) == 0;
    OWNED_FD int group = *group_path ? open(group_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    pid_t pid = ready ? fork_worker(start, &(struct ends){gate[0], log[1], group}) : -1;
    bool spawned = pid > 0 && hand_over(zygote, log[0], pid);
    int error = errno;
    memory_close_at(&gate[0]);
    memory_close_at(&log[0]);
    memory_close_at(&log[1]);
    if (!spawned) {
        memory_close_at(&gate[1]); /* which sends a worker away that stands there */
        OWNED char *why = memory_print("cannot make a process for it: %s", strerror(error));
        tell_spawned(zygote, name, start->generation, 0, why);
        return;
    }
    struct gate *new = memory_new(1, sizeof *new);
    *new = (struct gate){.pid = pid, .open = gate[1], .next = zygote->gates};
    zygote->gates = new;
    tell_spawned(zygote, name, start->generation, pid, "");
}

static bool on_spawn(struct zygote *zygote, struct reader *reader)
{
    struct worker_start start = {0};
    OWNED char *definition = NULL, *group = NULL;
    uint64_t poll_seconds, supervisor, paused, try_threads;
    bool understood =
        message_read(reader, MESSAGE_SPAWN, &definition, &start.generation, &start.url, &start.data_dir,
                     &poll_seconds, &supervisor, &paused, &group, &start.epoch, &try_threads);
    if (understood) {
        start.poll_seconds = (int64_t)poll_seconds;
        start.paused = paused != 0;
        start.try_threads = try_threads != 0;
        start.supervisor = (pid_t)supervisor;
        start.sandbox = zygote->sandbox;
        start.agent = roster_decode(definition, strlen(definition));
        understood = start.agent != NULL;
    }
    if (understood)
        spawn(zygote, &start, group);
    if (start.agent)
        roster_agent_free(start.agent);
    free(start.url);
    free(start.data_dir);
    return understood;
}

static bool on_go(struct zygote *zygote, struct reader *reader)
{
    uint64_t pid;
    if (!message_read(reader, MESSAGE_GO, &pid))
        return false;
    for (struct gate **at = &zygote->gates; *at; at = &(*at)->next)
        if ((uint64_t)(*at)->pid == pid) {
            struct gate *gate = *at;
            *at = gate->next;
            ssize_t ignored = write(gate->open, "", 1); /* the worker may have been killed at the gate */
            (void)ignored;
            close(gate->open);
            free(gate);
            break;
        }
    return true;
}

static bool handle(struct zygote *zygote, const void *bytes, size_t length)
{
    struct reader reader;
    unsigned type = 0;
    if (!message_receive(&reader, bytes, length, PARTY_SUPERVISOR, PARTY_ZYGOTE, &type))
        return false;
    return type == MESSAGE_SPAWN ? on_spawn(zygote, &reader)
           : type == MESSAGE_GO  ? on_go(zygote, &reader)
                                 : false;
}

/* False: the supervisor has closed the channel, or sent an impossible message. */
static bool serve(struct zygote *zygote)
{
    struct pollfd ready = {.fd = zygote->channel.fd, .events = POLLIN};
    if (channel_pending(&zygote->channel))
        ready.events |= POLLOUT;
    if (poll(&ready, 1, -1) < 0)
        return errno == EINTR;
    if ((ready.revents & POLLOUT) && !channel_flush(&zygote->channel))
        return false;
    if (!(ready.revents & (POLLIN | POLLHUP | POLLERR)))
        return true;
    bool open = channel_fill(&zygote->channel);
    const void *bytes;
    size_t length;
    while (channel_next(&zygote->channel, &bytes, &length))
        if (!handle(zygote, bytes, length))
            return false;
    return open;
}

int zygote_run(int fd, int logs)
{
    struct zygote zygote = {.logs = logs};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "agentos-zygote");
    setproctitle("-agentos-zygote");
    signal(SIGPIPE, SIG_IGN);
    struct fault fault;
    mallopt(M_ARENA_MAX,
            1); /* an arena more asks for mprotect, which a worker has not, and for address space */
    if (!repository_library_start(&fault)) {
        log_error("agentos", NULL, "The zygote cannot start: %s", fault.text);
        return EX_SOFTWARE;
    }
    tzset(); /* a worker can't read the time zone's file any more */
    zygote.sandbox = sandbox_prepare(SANDBOX_WORKER, sandbox_mode(), &fault); /* compiled once for all */
    if (!zygote.sandbox || !sandbox_shed(zygote.sandbox, &fault)) {
        log_error("agentos", NULL, "The zygote cannot start: %s", fault.text);
        return EX_CONFIG;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(logs, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    channel_open(&zygote.channel, fd);
    while (serve(&zygote))
        ;
    return EX_OK;
}
