#include "worker/audit/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/memory.h"
#include "common/sandbox/checker_access.h"
#include "common/sandbox/sandbox.h"

/* Where the child leaves the listener for us, below its limit of descriptors; and when we end by ourselves, should the
 * supervisor not end us. */
enum { LISTENER = AUDIT_FILES - 2, LAST_SECONDS = AUDIT_SECONDS + 2, KILLS_MAX = 100 };

static int complain(const struct fault *fault, int status)
{
    fprintf(stderr, "%s\n", fault->text);
    fflush(stderr);
    return status;
}

/* --- in the checker --- */

static void clean_environment(void)
{
    clearenv();
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    setenv("LANG", "C.UTF-8", 1);
    setenv("HOME", "/", 1);
}

_Noreturn static void become(const struct sandbox *sandbox, const struct checker_access *access,
                             char *const *command)
{
    struct fault fault;
    int listener = -1;
    const struct sandbox_room allowed = {
        .executable = access->executable, .memory_bytes = AUDIT_MEMORY, .open_files = AUDIT_FILES};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    clean_environment();
    if (chdir(access->folder) != 0 && chdir("/") != 0)
        _exit(EX_OSERR);
    if (!sandbox_enter_watched(sandbox, &allowed, &listener, &fault))
        _exit(complain(&fault, EX_CONFIG));
    if (listener >= 0 && (dup3(listener, LISTENER, O_CLOEXEC) < 0 || close(listener) != 0))
        _exit(EX_OSERR);
    execv(access->program, command);
    fault_errno(&fault, "cannot run %s", access->program);
    _exit(complain(&fault, EX_NOINPUT));
}

/* The child shares our table of descriptors until it executes, which is how we get the listener that is made in it; and
 * we stand still until then. It has memory of its own, and we have one thread, so it may do as it likes. */
static pid_t start(const struct sandbox *sandbox, const struct checker_access *access, char *const *command)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        become(sandbox, access, command);
    return child;
}

/* --- the watch --- */

/* Calls visit for each process that descends from this one; a few generations are enough for what may live at all. */
static size_t descendants(pid_t parent, unsigned generation, void (*visit)(pid_t))
{
    size_t count = 0;
    OWNED char *path = memory_print("/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *children = fopen(path, "re");
    int child;
    while (children && fscanf(children, "%d", &child) == 1) {
        count += 1 + (generation ? descendants(child, generation - 1, visit) : 0);
        if (visit)
            visit(child);
    }
    if (children)
        fclose(children);
    return count;
}

static bool may_fork(size_t forks)
{
    if (forks <= AUDIT_PROCESSES)
        return true;
    return forks <= AUDIT_FORKS && descendants(getpid(), AUDIT_PROCESSES, NULL) < AUDIT_PROCESSES;
}

/* One question of the kernel's. The one who asked may be dead by now; then there is nothing to answer. */
static void answer(struct seccomp_notif *question, struct seccomp_notif_resp *reply, size_t *forks)
{
    memset(question, 0, sizeof *question);
    memset(reply, 0, sizeof *reply);
    if (seccomp_notify_receive(LISTENER, question) != 0)
        return;
    bool allowed = may_fork(++*forks);
    reply->id = question->id;
    reply->flags = allowed ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    reply->error = allowed ? 0 : -EAGAIN;
    if (!allowed && *forks == AUDIT_FORKS + 1)
        fprintf(stderr, "it started more than %d processes\n", AUDIT_FORKS);
    seccomp_notify_respond(LISTENER, reply);
}

/* The checker's wait status. Orphans become ours, and are reaped on the way. */
static int watch(pid_t checker)
{
    struct seccomp_notif *question = NULL;
    struct seccomp_notif_resp *reply = NULL;
    int end = (int)syscall(SYS_pidfd_open, checker, 0), status = 0;
    bool asks = fcntl(LISTENER, F_GETFD) >= 0 && seccomp_notify_alloc(&question, &reply) == 0;
    struct pollfd ready[] = {{.fd = end, .events = POLLIN}, {.fd = asks ? LISTENER : -1, .events = POLLIN}};
    size_t forks = 0;
    pid_t gone = 0;
    while (end >= 0 && gone != checker) {
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            break;
        if (ready[1].revents & POLLIN)
            answer(question, reply, &forks);
        else if (ready[1].revents)
            ready[1].fd = -1;
        while ((gone = waitpid(-1, &status, WNOHANG)) > 0 && gone != checker)
            ;
    }
    while (gone != checker && (gone = waitpid(checker, &status, 0)) < 0 && errno == EINTR)
        ;
    close(LISTENER);
    seccomp_notify_free(question, reply);
    return gone == checker ? status : 0x100 * EX_OSERR;
}

static void kill_one(pid_t pid)
{
    kill(pid, SIGKILL);
}

/* Nobody answers any more, so none of them can fork. */
static void kill_the_rest(void)
{
    for (unsigned i = 0; i < KILLS_MAX && descendants(getpid(), AUDIT_PROCESSES, kill_one) > 0; i++) {
        while (waitpid(-1, NULL, 0) > 0)
            ;
    }
}

/* SIGTERM says that the supervisor has died, SIGALRM that it forgot us. The group is ours, and dies with us. */
static void kill_group(int signal)
{
    (void)signal;
    kill(0, SIGKILL);
}

static bool stand_guard(const struct sandbox *sandbox, struct fault *fault)
{
    if (getpgrp() != getpid() && setpgid(0, 0) != 0)
        return fault_errno(fault, "cannot lead a group of processes");
    signal(SIGTERM, kill_group);
    signal(SIGALRM, kill_group);
    alarm(LAST_SECONDS);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* should it have died before this, the alarm rings */
    return sandbox_shed(sandbox, fault);
}

static int run(const struct sandbox *sandbox, const struct checker_access *access, char *const *command)
{
    struct fault fault;
    pid_t checker = start(sandbox, access, command);
    if (checker < 0) {
        fault_errno(&fault, "cannot make a process for %s", access->program);
        return complain(&fault, EX_OSERR);
    }
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    int status = watch(checker);
    kill_the_rest();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int launch(const char *data_dir, char *const *command)
{
    struct fault fault;
    struct checker_access access = {0};
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_CHECKER, sandbox_mode(), &fault);
    bool ready =
        sandbox && stand_guard(sandbox, &fault) && checker_access_find(&access, data_dir, command, &fault);
    int status = ready ? run(sandbox, &access, command) : complain(&fault, EX_CONFIG);
    checker_access_free(&access);
    sandbox_free(sandbox);
    return status;
}
