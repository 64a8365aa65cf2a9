/* `agentos exec AGENT -- COMMAND...`: a command in the agent's sandbox. The verb needs no supervisor. */
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/format/roster.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

enum { KEPT_DESCRIPTORS = 3, BY_SIGNAL = 128 };

/* Finds the agent's room; false: a complaint was printed, *status is set. */
static bool find_room(const struct invocation *invocation, struct sandbox_room *room, int *status)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct fault fault;
    const char *name = invocation->words[0];
    struct roster *roster = roster_load(invocation->data_dir, &faults);
    const struct roster_agent *agent = roster ? roster_find(roster, name) : NULL;
    if (agent)
        *room = (struct sandbox_room){.memory_bytes = agent->limits.memory_mb * 1024 * 1024,
                                      .open_files = agent->limits.open_files};
    else if (roster && !roster_no_agent(roster, name, &fault))
        output_complain("%s", fault.text);
    else
        output_complain("without agents.yaml the agent's limits are not known, so nothing was run:\n%s",
                        faults.data);
    *status = agent ? EX_OK : roster ? EX_NOINPUT : invocation_without_roster(invocation);
    roster_free(roster);
    return agent != NULL;
}

/* The command begins with an environment that any agent may know. */
static void clean_environment(const char *tree)
{
    static const char *const kept[] = {"TERM", "LANG", "LC_ALL", "COLUMNS", "LINES"};
    confine_environment(kept, sizeof kept / sizeof *kept);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    setenv("HOME", tree, 1);
    setenv("PWD", tree, 1);
    setenv("TMPDIR", tree, 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1); /* git gives up at a file in /etc that it may not read */
}

struct command {
    const struct sandbox *sandbox;
    const struct sandbox_room *room;
    char **words;
    bool watched;
};

/* Ends this process, unless it becomes the command. */
static void become(void *context)
{
    const struct command *command = context;
    struct fault fault;
    close_range(KEPT_DESCRIPTORS, ~0U, command->watched ? CLOSE_RANGE_CLOEXEC : 0);
    if (command->watched)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!sandbox_enter_watched(command->sandbox, command->room, &fault)) {
        output_complain("%s; the command was not run", fault.text);
        _exit(EX_CONFIG);
    }
    execvp(command->words[0], command->words);
    int error = errno;
    output_complain("cannot run %s in the sandbox: %s", command->words[0], strerror(error));
    _exit(error == ENOENT ? EX_NOINPUT
                          : EX_NOPERM); /* in the sandbox, which may refuse calls of an ordinary exit */
}

/* This process stays outside, to send the signals that Landlock can't keep within the sandbox. Keys typed at the terminal
 * go to the command too, which decides what they mean. */
static int watch(struct command *command)
{
    struct fault fault;
    if (!sandbox_shed(command->sandbox, &fault))
        return output_fail(EX_CONFIG, "%s; the command was not run", fault.text);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = sandbox_start_watched(become, command);
    if (child < 0)
        return output_fail(EX_OSERR, "cannot make a process for the command: %s", strerror(errno));
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    int status = sandbox_watch(child, sandbox_answer_signal, NULL);
    return WIFSIGNALED(status) ? BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(const struct sandbox *sandbox, const struct sandbox_room *room, char **words)
{
    struct command command = {sandbox, room, words, sandbox_asks(sandbox)};
    if (chdir(room->tree) != 0) {
        int status = invocation_exit_of(errno);
        return output_fail(status, "cannot go to %s: %s%s", room->tree, strerror(errno),
                           status == EX_NOPERM ? "" : "; has the agent been started yet?");
    }
    clean_environment(room->tree);
    if (!command.watched)
        become(&command);
    return watch(&command);
}

int verb_exec(struct invocation *invocation)
{
    struct fault fault;
    struct sandbox_room room;
    int status;
    enum sandbox_mode mode = sandbox_mode();
    if (mode == SANDBOX_OFF)
        return output_fail(EX_CONFIG, "AGENTOS_SANDBOX is 'off': there is no sandbox to run the command in");
    if (!find_room(invocation, &room, &status))
        return status;
    OWNED char *tree = memory_print("%s/agents/%s", invocation->data_dir, invocation->words[0]);
    room.tree = tree;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_EXEC, mode, &fault);
    if (!sandbox)
        return output_fail(EX_CONFIG, "%s; the command was not run", fault.text);
    status = run(sandbox, &room, invocation->command);
    sandbox_free(sandbox);
    return status;
}
