#include "supervisor/nodes/tree_epoch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/agent/folders.h"

#define BEGINS " begins"

enum { EPOCH_MAX = 32 /* bytes of the file */ };

bool tree_epoch_has_tree(int data, const char *agent)
{
    struct stat status;
    OWNED char *path = memory_print("agents/%s/.git", agent);
    return fstatat(data, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Caller frees; NULL: there is none. */
static char *read_note(int data, const char *agent)
{
    OWNED char *path = memory_print("agents/%s/" TREE_EPOCH, agent);
    char *text = NULL;
    size_t length;
    (void)files_read(data, path, EPOCH_MAX, &text, &length, NULL, NULL);
    return text;
}

uint64_t tree_epoch_read(int data, const char *agent)
{
    OWNED char *text = read_note(data, agent);
    return text ? strtoull(text, NULL, 10) & INT64_MAX : 0;
}

bool tree_epoch_begins(int data, const char *agent)
{
    OWNED char *text = read_note(data, agent);
    return text && strstr(text, BEGINS) && !tree_epoch_has_tree(data, agent);
}

void tree_epoch_write(int data, const char *agent, uint64_t epoch, bool begins)
{
    struct fault fault;
    OWNED char *text = memory_print("%" PRIu64 "%s\n", epoch, begins ? BEGINS : "");
    OWNED_FD int tree = trees_open(data, agent, &fault);
    OWNED_FD int notes = tree < 0 ? -1 : files_open_folder(tree, TREE_NOTES, true, &fault);
    if (notes < 0 || !files_write(tree, TREE_EPOCH, text, strlen(text), false, &fault))
        log_warn("agentos", agent, "The epoch of the agent's lease can't be noted: %s", fault.text);
}

void tree_epoch_forget(int data, const char *agent)
{
    OWNED_FD int agents = files_open_folder(data, "agents", false, NULL);
    OWNED_FD int tree = agents < 0 ? -1 : files_open_folder(agents, agent, false, NULL);
    OWNED_FD int notes = tree < 0 ? -1 : files_open_folder(tree, TREE_NOTES, false, NULL);
    if (notes < 0)
        return;
    (void)unlinkat(notes, strrchr(TREE_EPOCH, '/') + 1, 0);
    (void)unlinkat(tree, TREE_NOTES, AT_REMOVEDIR);
    (void)unlinkat(agents, agent, AT_REMOVEDIR);
}
