/* `agentos exec AGENT -- COMMAND...`: what could the agent see? Needs no supervisor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/format/roster.h"
#include "common/memory.h"
#include "common/sandbox/sandbox.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

enum { KEPT_DESCRIPTORS = 3 };

/* What the agent's room is; false: it has been said, *status is set. */
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
    *status = agent ? EX_OK : roster ? EX_NOINPUT : EX_CONFIG;
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

static int run(const struct sandbox *sandbox, const struct sandbox_room *room, char **command)
{
    struct fault fault;
    if (chdir(room->tree) != 0) {
        output_complain("cannot go to %s: %s; has the agent been started yet?", room->tree, strerror(errno));
        return EX_NOINPUT;
    }
    clean_environment(room->tree);
    close_range(KEPT_DESCRIPTORS, ~0U, 0);
    if (!sandbox_enter(sandbox, room, &fault)) {
        output_complain("%s; the command was not run", fault.text);
        return EX_CONFIG;
    }
    execvp(command[0], command);
    int error = errno;
    output_complain("cannot run %s in the sandbox: %s", command[0], strerror(error));
    _exit(error == ENOENT ? EX_NOINPUT
                          : EX_NOPERM); /* in the sandbox, where an ordinary exit may be refused something */
}

int verb_exec(struct invocation *invocation)
{
    struct fault fault;
    struct sandbox_room room;
    int status;
    enum sandbox_mode mode = sandbox_mode();
    if (mode == SANDBOX_OFF) {
        output_complain("AGENTOS_SANDBOX is 'off': there is no sandbox to run the command in");
        return EX_CONFIG;
    }
    if (!find_room(invocation, &room, &status))
        return status;
    OWNED char *tree = memory_print("%s/agents/%s", invocation->data_dir, invocation->words[0]);
    room.tree = tree;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_COMMAND, mode, &fault);
    if (!sandbox) {
        output_complain("%s; the command was not run", fault.text);
        return EX_CONFIG;
    }
    status = run(sandbox, &room, invocation->command);
    sandbox_free(sandbox);
    return status;
}
