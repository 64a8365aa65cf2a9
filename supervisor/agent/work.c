#include "supervisor/agent/work.h"

#include <fcntl.h>
#include <string.h>

#include "common/listing.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/agent/agent.h"

enum { QUEUE_READ_MAX = 16 * 1024 /* a larger queue.md has a block */ };

/* -1: the tree isn't there, or can't be opened. The descriptor is the caller's and not the agent's (agent_tree): an
 * agent that waits for its start holds none. */
static int open_tree(const struct agent *agent)
{
    OWNED char *below = memory_print("agents/%s", agent->name);
    return files_open(agent->agents->data, below, O_RDONLY | O_DIRECTORY, 0);
}

/* A folder that can't be listed may hold files. */
static bool holds_files(int tree, const char *path)
{
    struct listing *names = listing_open(tree, path, NULL);
    bool found = !names || listing_next(names);
    return (names && !listing_close(names, NULL)) || found;
}

static bool has_mail(int tree)
{
    return tree >= 0 && (holds_files(tree, TREE_INBOX) || holds_files(tree, TREE_HANDOFFS));
}

static bool has_block(int tree)
{
    OWNED char *text = NULL;
    size_t length;
    int found = tree < 0 ? 0 : files_read(tree, TREE_QUEUE, QUEUE_READ_MAX, &text, &length, NULL, NULL);
    return found < 0 || (found == 1 && (strncmp(text, "## ", 3) == 0 || strstr(text, "\n## ")));
}

bool work_found(const struct agent *agent)
{
    OWNED_FD int tree = open_tree(agent);
    return has_block(tree) || has_mail(tree);
}

bool work_lacks(const struct agent *agent)
{
    const struct agents *agents = agent->agents;
    if (!agent->notice.slept || agent->life.paused || agents->count <= agents->warm.limit ||
        look_queue_has_changed(agent))
        return false;
    OWNED_FD int tree = open_tree(agent);
    return tree >= 0 && !has_mail(tree);
}
