#include "supervisor/cli/demo_instance.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"

enum { STOP_PATIENCE_MS = 20 * 1000, STEP_NS = 20 * 1000 * 1000 };

extern char **environ;

/* The demonstration must not depend on this shell's settings: variables with the names of our settings are left out. */
static char **plain_environment(void)
{
    static const char *const OURS[] = {"LLM_", "AGENTOS_", "DATA_DIR", "POLL_INTERVAL", "STOP_GRACE", "LOG_"};
    static const char *const GIVEN[] = {"LLM_BASE_URL=offline", "AGENTOS_LISTEN="};
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    char **plain = memory_new(count + 4, sizeof(*plain));
    size_t to = 0;
    for (size_t i = 0; i < count; i++) {
        bool ours = false;
        for (size_t k = 0; k < sizeof(OURS) / sizeof(OURS[0]); k++)
            ours = ours || strncmp(environ[i], OURS[k], strlen(OURS[k])) == 0;
        if (!ours)
            plain[to++] = environ[i];
    }
    const char *sandbox = getenv("AGENTOS_SANDBOX"); /* the kernel's abilities are no matter of taste */
    if (sandbox != NULL)
        plain[to++] = memory_print("AGENTOS_SANDBOX=%s", sandbox);
    plain[to++] = (char *)GIVEN[0];
    plain[to] = (char *)GIVEN[1];
    return plain;
}

/* After the fork only calls that a signal handler could make too. */
static _Noreturn void become_supervisor(int log, char **arguments, char **environment, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)
        execve("/proc/self/exe", arguments, environment);
    _exit(127);
}

static bool start_supervisor(struct demo_instance *instance, struct fault *fault)
{
    OWNED char *log_path = memory_print("%s/log", instance->path);
    OWNED_FD int log = open(log_path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0)
        return fault_errno(fault, "%s cannot be made", log_path);
    char *arguments[] = {"agentos", "run", "--data", instance->path, NULL};
    char **environment = plain_environment();
    pid_t parent = getpid();
    instance->supervisor = fork();
    if (instance->supervisor == 0)
        become_supervisor(log, arguments, environment, parent);
    free(environment);
    return instance->supervisor > 0 || fault_errno(fault, "the supervisor cannot be started");
}

bool demo_instance_start(struct demo_instance *instance, const char *agents_yaml, struct fault *fault)
{
    const char *above = getenv("TMPDIR");
    *instance = (struct demo_instance){.supervisor = -1};
    instance->path =
        memory_print("%s/agentos-demo-XXXXXX", above != NULL && above[0] == '/' ? above : "/tmp");
    if (mkdtemp(instance->path) == NULL) {
        fault_errno(fault, "no scratch directory can be made at %s", instance->path);
        memory_set(&instance->path, NULL);
        return false;
    }
    OWNED_FD int folder = files_open_path(instance->path, fault);
    return folder >= 0 &&
           files_write(folder, "agents.yaml", agents_yaml, strlen(agents_yaml), false, fault) &&
           start_supervisor(instance, fault);
}

bool demo_instance_ended(struct demo_instance *instance, struct fault *fault)
{
    int status = 0;
    if (instance->supervisor > 0 && waitpid(instance->supervisor, &status, WNOHANG) == 0)
        return false;
    instance->supervisor = -1;
    fault_set(fault, "the supervisor ended by itself with %s %d; its log says why",
              WIFSIGNALED(status) ? "signal" : "exit code",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return true;
}

bool demo_instance_stop(struct demo_instance *instance)
{
    if (instance->supervisor <= 0)
        return false;
    int status = 0;
    int64_t until = clock_monotonic_ms() + STOP_PATIENCE_MS;
    (void)kill(instance->supervisor, SIGTERM);
    while (waitpid(instance->supervisor, &status, WNOHANG) == 0) {
        if (clock_monotonic_ms() > until)
            (void)kill(instance->supervisor, SIGKILL);
        (void)nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
    instance->supervisor = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

void demo_instance_remove(struct demo_instance *instance)
{
    if (instance->path != NULL)
        (void)nftw(instance->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    memory_set(&instance->path, NULL);
}
