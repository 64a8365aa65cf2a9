#include "common/format/tree_mounts.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/memory.h"
#include "common/tree.h"

/* 0: the path isn't there, or the kernel (before 5.8) doesn't tell. */
static uint64_t mount_of(const char *path)
{
    struct statx status;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &status) == 0 &&
                   (status.stx_mask & STATX_MNT_ID)
               ? status.stx_mnt_id
               : 0;
}

static void list_of(const char *data_dir, const char *agent, struct buffer *out)
{
    static const char *const folders[] = {".git",       TREE_NOTES,       TREE_OUTPUTS,  TREE_SKILL_FOLDER,
                                          "iac",        TREE_INBOX,       TREE_HANDOFFS, TREE_OUTBOX,
                                          TREE_ARCHIVE, TREE_DEAD_LETTERS};
    OWNED char *tree = memory_print("%s/agents/%s", data_dir, agent);
    uint64_t own = mount_of(tree), told = 0;
    for (size_t i = 0; own && i < sizeof folders / sizeof *folders; i++) {
        OWNED char *path = memory_print("%s/%s", tree, folders[i]);
        uint64_t mount = mount_of(path);
        if (!mount || mount == own || mount == told) /* told: a folder within it */
            continue;
        told = mount;
        buffer_print(out,
                     "%s is a mount of its own: files can't be renamed into it from the rest of the tree "
                     "(EXDEV), so "
                     "agent '%s' can't work; mount its whole folder, or the data directory, instead\n",
                     path, agent);
    }
}

/* False: the kernel's list of this process's mounts has none below the folder. The list writes some characters of a
 * path by their numbers, so that a folder with such a character can't be found in it. */
static bool may_have_mounts(const char *folder)
{
    OWNED char *path = realpath(folder, NULL), *line = NULL;
    OWNED_FILE FILE *mounts = fopen("/proc/self/mountinfo", "re");
    size_t length = path ? strlen(path) : 0, room = 0;
    bool found = !path || !mounts || strpbrk(path, " \t\n\\#");
    while (!found && getline(&line, &room, mounts) > 0) {
        int at = 0;
        if (sscanf(line, "%*s %*s %*s %*s %n", &at) != 0 || !at)
            return true;
        found = strncmp(line + at, path, length) == 0 && line[at + (int)length] == '/';
    }
    return found || ferror(mounts);
}

void tree_mounts_list(const char *data_dir, const struct roster *roster, struct buffer *out)
{
    OWNED char *agents = memory_print("%s/agents", data_dir);
    for (size_t i = 0; i < roster->agent_count && (i > 0 || may_have_mounts(agents)); i++)
        list_of(data_dir, roster->agents[i].name, out);
}
