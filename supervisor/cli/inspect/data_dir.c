#include "supervisor/cli/inspect/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/did_you_mean.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"

static const char *name_at(const void *names, size_t i)
{
    return ((char *const *)names)[i];
}

char *data_dir_node(const struct invocation *invocation, const char *agent)
{
    json_auto_t *answer = client_consult(
        invocation, json_pack("{s:s, s:s, s:b}", "verb", "status", "agent", agent, "all_nodes", 1));
    const json_t *status = json_object_get(answer, "status");
    const json_t *told = json_array_get(json_object_get(status, "agents"), 0);
    const char *node = json_string_value(json_object_get(told, "node"));
    const char *here = json_string_value(json_object_get(json_object_get(status, "supervisor"), "node"));
    return node != NULL && here != NULL && strcmp(node, here) != 0 ? memory_text(node) : NULL;
}

/* Complains that the agent is not there, and names the nearest one that is. */
static void say_unknown(const struct invocation *invocation, int folder, const char *agent)
{
    char **names = NULL;
    size_t count = 0;
    OWNED_LISTING struct listing *listing = listing_open(folder, "agents", NULL);
    for (const char *name; listing != NULL && (name = listing_next(listing)) != NULL;) {
        if (names_agent(name))
            *MEMORY_ADD(names, count) = memory_text(name);
    }
    const char *near = did_you_mean(agent, name_at, names, count);
    OWNED char *node = data_dir_node(invocation, agent);
    if (node != NULL)
        output_complain("agent '%s' lives on node '%s', and its files are there", agent, node);
    else
        output_complain("there is no agent '%s' in %s/agents%s%s%s", agent, invocation->data_dir,
                        near != NULL ? "; did you mean '"
                        : count == 0 ? "; the first `agentos run` makes the agents of agents.yaml"
                                     : "",
                        near != NULL ? near : "", near != NULL ? "'?" : "");
    while (count > 0)
        free(names[--count]);
    free(names);
}

/* A data directory has agents, or an agents.yaml that nobody has run yet. -1: a complaint was printed, and *status
 * tells why. */
static int open_data_dir(const struct invocation *invocation, int *status)
{
    struct fault fault = {0};
    int folder = files_open_path(invocation->data_dir, &fault);
    if (folder >= 0 &&
        (faccessat(folder, "agents", F_OK, 0) == 0 || faccessat(folder, "agents.yaml", F_OK, 0) == 0))
        return folder;
    *status = invocation_exit_of(errno);
    if (*status == EX_NOPERM) {
        output_complain("this user may not read %s; ask as the user to whom the data directory belongs",
                        invocation->data_dir);
    } else {
        output_complain("%s holds no agents%s%s; --data DIR or DATA_DIR names another data directory",
                        invocation->data_dir, folder < 0 ? ": " : "", folder < 0 ? fault.text : "");
    }
    memory_close_at(&folder);
    return -1;
}

int data_dir_agent(const struct invocation *invocation, const char *agent, char **path, int *status)
{
    struct fault fault = {0};
    OWNED_FD int folder = open_data_dir(invocation, status);
    if (folder < 0)
        return -1;
    OWNED char *below = memory_print("agents/%s", agent);
    int tree = names_agent(agent) ? files_open_folder(folder, below, false, &fault) : -1;
    *status = names_agent(agent) ? invocation_exit_of(errno) : EX_NOINPUT;
    if (tree >= 0) {
        *status = EX_OK;
        *path = memory_print("%s/%s", invocation->data_dir, below);
    } else if (names_agent(agent) && errno != ENOENT) {
        output_complain("%s", fault.text);
    } else {
        say_unknown(invocation, folder, agent);
    }
    return tree;
}

bool data_dir_has(const struct invocation *invocation, const char *agent, int *status)
{
    OWNED char *path = NULL;
    OWNED_FD int folder =
        agent != NULL ? data_dir_agent(invocation, agent, &path, status) : open_data_dir(invocation, status);
    if (folder >= 0)
        *status = EX_OK;
    return folder >= 0;
}
