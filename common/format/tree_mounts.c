#include "common/format/tree_mounts.h"

#include <fcntl.h>
#include <stdint.h>
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

void tree_mounts_list(const char *data_dir, const char *agent, struct buffer *out)
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
