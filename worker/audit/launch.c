#include "worker/audit/launch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/memory.h"
#include "common/sandbox/checker_access.h"
#include "common/sandbox/sandbox.h"

/* When we end by ourselves, should the supervisor not end us. */
enum { LAST_SECONDS = AUDIT_SECONDS + 2, KILLS_MAX = 100 };

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

struct checker {
    const struct sandbox *sandbox;
    const struct checker_access *access;
    char *const *command;
};

static void become(void *context)
{
    const struct checker *checker = context;
    struct fault fault;
    const struct sandbox_room allowed = {
        .executable = checker->access->executable, .memory_bytes = AUDIT_MEMORY, .open_files = AUDIT_FILES};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    clean_environment();
    if (chdir(checker->access->folder) != 0 && chdir("/") != 0)
        _exit(EX_OSERR);
    if (!sandbox_enter_watched(checker->sandbox, &allowed, &fault))
        _exit(complain(&fault, EX_CONFIG));
    execv(checker->access->program, checker->command);
    fault_errno(&fault, "cannot run %s", checker->access->program);
    _exit(complain(&fault, EX_NOINPUT));
}

/* --- the watch --- */

/* Calls visit for each process that descends from this one; a few generations are enough for the processes that may
 * live at all. */
static size_t descendants(pid_t parent, unsigned generation, void (*visit)(pid_t))
{
    size_t count = 0;
    OWNED char *path = memory_print("/proc/%d/task/%d/children", (int)parent, (int)parent);
    OWNED_FILE FILE *children = fopen(path, "re");
    int child;
    while (children && fscanf(children, "%d", &child) == 1) {
        count += 1 + (generation ? descendants(child, generation - 1, visit) : 0);
        if (visit)
            visit(child);
    }
    return count;
}

static bool may_fork(size_t forks)
{
    if (forks <= AUDIT_PROCESSES)
        return true;
    return forks <= AUDIT_FORKS && descendants(getpid(), AUDIT_PROCESSES, NULL) < AUDIT_PROCESSES;
}

static int answer(void *context, const struct sandbox_question *question)
{
    size_t *forks = context;
    if (question->call == SYS_kill || question->call == SYS_tgkill)
        return sandbox_answer_signal(NULL, question);
    if (may_fork(++*forks))
        return 0;
    if (*forks == AUDIT_FORKS + 1)
        fprintf(stderr, "it started more than %d processes\n", AUDIT_FORKS);
    return EAGAIN;
}

static void kill_one(pid_t pid)
{
    kill(pid, SIGKILL);
}

/* No question is answered any more, so none of the processes can fork. */
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
    size_t forks = 0;
    pid_t checker = sandbox_start_watched(become, &(struct checker){sandbox, access, command});
    if (checker < 0) {
        fault_errno(&fault, "cannot make a process for %s", access->program);
        return complain(&fault, EX_OSERR);
    }
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    int status = sandbox_watch(checker, answer, &forks);
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
