/* Agents have nothing to do with each other, so their trees shall not share what a file system keeps together. ext4
 * puts every file below a folder into that folder's group of blocks, and making a file takes the longer there, the
 * more files were removed in the group lately: 7 us become 200. Below a folder with the mark "top" (chattr +T, meant
 * for /home) each subfolder gets a group of its own, which the subfolder's first name decides; so the folder is made
 * under a name that no other data directory has had, and renamed. Other file systems know no such mark, and nothing
 * is lost.
 *
 * A kill before the renaming leaves an empty folder, which goes at the next start. */
#include "supervisor/agent/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"

static const char all[] = "agents", unfinished[] = ".new-";

static void spread(int folder)
{
    int flags;
    if (ioctl(folder, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_TOPDIR_FL;
        (void)ioctl(folder, FS_IOC_SETFLAGS, &flags);
    }
}

/* DATA_DIR/agents. The supervisor marks the folder only when it makes it: later the folder is people's. */
static int open_all(int data, struct fault *fault)
{
    int folder = files_open(data, all, O_RDONLY | O_DIRECTORY, 0);
    if (folder < 0 && errno == ENOENT && mkdirat(data, all, 0755) == 0) {
        folder = files_open(data, all, O_RDONLY | O_DIRECTORY, 0);
        if (folder >= 0)
            spread(folder);
    }
    if (folder < 0)
        fault_errno(fault, "cannot open the folder %s", all);
    return folder;
}

static bool make(int folder, const char *name)
{
    OWNED char *id = names_new_id(), *passing = memory_print("%s%s", unfinished, id);
    if (mkdirat(folder, passing, 0755) != 0)
        return false;
    if (renameat2(folder, passing, folder, name, RENAME_NOREPLACE) == 0)
        return true;
    int error = errno;
    unlinkat(folder, passing, AT_REMOVEDIR);
    errno = error;
    return errno == EEXIST;
}

int trees_open(int data, const char *name, struct fault *fault)
{
    OWNED_FD int folder = open_all(data, fault);
    if (folder < 0)
        return -1;
    int tree = files_open(folder, name, O_RDONLY | O_DIRECTORY, 0);
    if (tree < 0 && errno == ENOENT && make(folder, name))
        tree = files_open(folder, name, O_RDONLY | O_DIRECTORY, 0);
    if (tree < 0)
        fault_errno(fault, "cannot open the folder %s/%s", all, name);
    return tree;
}

void trees_sweep(int data)
{
    OWNED_LISTING struct listing *names = listing_open(data, all, NULL);
    for (const char *name; names && (name = listing_next(names)) != NULL;)
        if (strncmp(name, unfinished, sizeof unfinished - 1) == 0)
            unlinkat(listing_folder(names), name,
                     AT_REMOVEDIR); /* a folder that isn't empty is somebody's, and stays */
}
