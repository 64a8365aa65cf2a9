#include "supervisor/cli/terminal/confine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/guard/git_guard.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "supervisor/cli/terminal/output.h"

enum { GUARD_FILES_MOST = 1000 * 1000, MEMORY_BYTES = 512 * 1024 * 1024, OPEN_FILES = 256 };

static void child(const struct sandbox *sandbox, const char *folder, int (*work)(void *context),
                  void *context)
{
    struct fault fault;
    const char *const readable[] = {folder, NULL};
    const struct sandbox_room room = {
        .readable = readable, .memory_bytes = MEMORY_BYTES, .open_files = OPEN_FILES};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!sandbox_enter(sandbox, &room, &fault)) {
        output_complain("%s; nothing was read", fault.text);
        _exit(EX_CONFIG);
    }
    int status = output_end(work(context));
    fflush(NULL);
    _exit(status);
}

void confine_guard(const char *data_dir, const char *name)
{
    OWNED_BUFFER struct buffer said = {0};
    OWNED char *agents = memory_print("%s/agents", data_dir);
    OWNED char *tree = memory_print("%s/%s", agents, name);
    OWNED_FD int folder = files_open_path(tree, NULL);
    struct guard_look look = {.agents = agents, .take = true, .most = GUARD_FILES_MOST};
    if (folder >= 0 && guard_tree(folder, &look, &said) > 0) {
        OWNED char *clean = output_clean(said.data, 1);
        output_complain("%s's folder held files or settings that git would have obeyed:\n%s", name, clean);
    }
}

int confine(const char *folder, int (*work)(void *context), void *context)
{
    int status = 0;
    struct fault fault;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, sandbox_mode(), &fault);
    if (!sandbox)
        return output_fail(EX_CONFIG, "%s; nothing was read", fault.text);
    output_ask_terminal();
    fflush(NULL); /* else both processes would print its rest */
    pid_t pid = fork();
    if (pid == 0)
        child(sandbox, folder, work, context);
    sandbox_free(sandbox);
    if (pid < 0)
        return output_fail(EX_OSERR, "cannot start a process: %s", strerror(errno));
    (void)TEMP_FAILURE_RETRY(waitpid(pid, &status, 0));
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) == SIGPIPE) { /* nobody reads on: this process ends like every writer into a pipe */
        (void)signal(SIGPIPE, SIG_DFL);
        (void)raise(SIGPIPE);
    }
    return output_fail(EX_DATAERR,
                       "reading %s needs more than a repository does: the process that read it was ended by "
                       "signal %d",
                       folder, WTERMSIG(status));
}

void confine_environment(const char *const *names, size_t count)
{
    char **values = memory_new(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = memory_text(getenv(names[i]));
    clearenv();
    for (size_t i = 0; i < count; i++) {
        if (values[i])
            setenv(names[i], values[i], 1);
        free(values[i]);
    }
    free(values);
}
