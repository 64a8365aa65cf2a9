/* A file of the work tree: its folder, opened beneath the tree, and its hash as a blob. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/tree.h"

bool place_open(struct history *history, const char *path, bool create, struct place *place,
                struct fault *fault)
{
    const char *slash = strrchr(path, '/');
    *place = (struct place){.folder = history->tree, .name = slash ? slash + 1 : path};
    if (!slash)
        return true;
    OWNED char *parent = memory_slice(path, (size_t)(slash - path));
    place->folder = files_open(history->tree, parent, O_RDONLY | O_DIRECTORY, 0);
    if (place->folder < 0 && create)
        place->folder = errno == ENOENT && !spare_folder(history, parent)
                            ? files_make_folder(history->tree, parent, fault)
                            : files_open_folder(history->tree, parent, true, fault);
    place->own = place->folder >= 0;
    return place->own;
}

void place_close(struct place *place)
{
    if (place->own)
        close(place->folder);
}

int hash_at(int folder, const char *name, git_oid *id, struct stat *status, char **text, size_t *length)
{
    OWNED char *bytes = NULL;
    struct file_stamp stamp;
    size_t size;
    int found = files_read(folder, name, TREE_FILE_MAX, &bytes, &size, &stamp, NULL);
    if (found <= 0)
        return found;
    struct file_stamp again;
    if (fstatat(folder, name, status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status->st_mode))
        return -1;
    again = files_stamp(status);
    if (!files_stamp_equal(&stamp, &again) || !object_hash(GIT_OBJECT_BLOB, bytes, size, id, NULL))
        return -1;
    if (text) {
        *text = bytes;
        *length = size;
        bytes = NULL;
    }
    return 1;
}

int worktree_hash(struct history *history, const char *path, git_oid *id, struct stat *status)
{
    struct place place;
    if (!place_open(history, path, false, &place, NULL))
        return errno == ENOENT ? 0 : -1;
    int found = hash_at(place.folder, place.name, id, status, NULL, NULL);
    place_close(&place);
    return found;
}
