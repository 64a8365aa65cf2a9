#include "common/note_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/tree.h"

bool notefile_open(int tree, const char *path, int *fd)
{
    struct stat status;
    if (*fd >= 0 && fstat(*fd, &status) == 0 && status.st_nlink > 0)
        return true;
    if (*fd >= 0)
        close(*fd);
    *fd = files_open(tree, path, O_WRONLY | O_CREAT, 0644);
    if (*fd < 0 && errno == ENOENT) {
        OWNED_FD int notes = files_open_folder(tree, TREE_NOTES, true, NULL);
        *fd = notes < 0 ? -1 : files_open(tree, path, O_WRONLY | O_CREAT, 0644);
    }
    return *fd >= 0;
}
