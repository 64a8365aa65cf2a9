/* `agentos init`: a newcomer's data directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/printable.h"
#include "supervisor/cli/first_agents.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

#define AGENTS "agents.yaml"

/* Makes DIR and the missing folders above it. Only the owner and the group get at agents' files. */
static bool make_folders(const char *path, struct fault *fault)
{
    OWNED char *part = memory_text(path);
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(part, 0750) != 0 && errno != EEXIST)
            return fault_errno(fault, "%s cannot be made", part);
        if (slash == NULL)
            return true;
        *slash = '/';
    }
}

/* Never in place of another file. A file that could not be written whole is taken away again. */
static bool write_first(const char *path, struct fault *fault)
{
    OWNED_FD int folder = files_open_path(path, fault);
    if (folder < 0)
        return false;
    OWNED_FD int file = files_open(folder, AGENTS, O_WRONLY | O_CREAT | O_EXCL, 0640);
    if (file < 0) {
        return errno == EEXIST ? fault_set(fault, "%s/" AGENTS " is there already; nothing was changed", path)
                               : fault_errno(fault, "%s/" AGENTS " cannot be made", path);
    }
    if (!files_write_all(file, FIRST_AGENTS_YAML, strlen(FIRST_AGENTS_YAML)) || fsync(file) != 0 ||
        fsync(folder) != 0) {
        fault_errno(fault, "%s/" AGENTS " cannot be written", path);
        (void)unlinkat(folder, AGENTS, 0);
        return false;
    }
    return true;
}

/* DIR comes before --data and DATA_DIR. */
static bool locate(struct invocation *invocation, struct fault *fault)
{
    if (invocation->words[0] == NULL)
        return true;
    free(invocation->data_dir);
    free(invocation->run_dir);
    invocation->data_dir = invocation->run_dir = NULL;
    invocation->options[OPTION_DATA] = invocation->words[0];
    return invocation_locate(invocation, fault);
}

int verb_init(struct invocation *invocation)
{
    struct fault fault = {0};
    if (invocation->words[0] != NULL && invocation->words[0][0] == '\0')
        return output_fail(EX_USAGE,
                           "init needs a directory's name, not ''; without one it takes --data or DATA_DIR");
    if (!locate(invocation, &fault) || !make_folders(invocation->data_dir, &fault) ||
        !write_first(invocation->data_dir, &fault))
        return output_fail(EX_CANTCREAT, "%s", fault.text);
    const char *path = invocation->data_dir;
    OWNED char *word = printable_word(path);
    printf(
        "%s/" AGENTS " describes the agent orion; edit it as you like.\n\n"
        "What to type next:\n"
        "  export DATA_DIR=%s\n"
        "  export LLM_API_KEY=...        # or LLM_BASE_URL=offline for the built-in model without network\n"
        "  agentos check                 # says every fault of agents.yaml and of the environment\n"
        "  agentos run                   # in the foreground; then, in another terminal:\n"
        "  agentos task orion \"List your active constraints and explain how the reward system works.\" "
        "--wait\n"
        "  agentos status\n",
        path, word);
    return output_end(EX_OK);
}
