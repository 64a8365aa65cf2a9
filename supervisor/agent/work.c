#include "supervisor/agent/work.h"

#include <string.h>

#include "common/listing.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/agent/agent.h"

enum { QUEUE_READ_MAX = 16 * 1024 /* a larger queue.md has a block */ };

static bool holds_files(int tree, const char *path)
{
    struct listing *names = listing_open(tree, path, NULL);
    bool found = names && listing_next(names);
    if (names)
        (void)listing_close(names, NULL);
    return found;
}

static bool has_mail(struct agent *agent)
{
    int tree = agent_tree(agent);
    return tree >= 0 && (holds_files(tree, TREE_INBOX) || holds_files(tree, TREE_HANDOFFS));
}

static bool has_block(struct agent *agent)
{
    OWNED char *text = NULL;
    size_t length;
    int tree = agent_tree(agent);
    int found = tree < 0 ? 0 : files_read(tree, TREE_QUEUE, QUEUE_READ_MAX, &text, &length, NULL, NULL);
    return found < 0 || (found == 1 && (strncmp(text, "## ", 3) == 0 || strstr(text, "\n## ")));
}

bool work_found(struct agent *agent)
{
    return has_block(agent) || has_mail(agent);
}

bool work_lacks(struct agent *agent)
{
    const struct agents *agents = agent->agents;
    return agent->notice.slept && !agent->life.paused && agents->count > agents->warm.limit &&
           !look_queue_has_changed(agent) && !has_mail(agent);
}
