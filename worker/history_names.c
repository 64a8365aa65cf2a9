/* The names that HEAD tracks in a folder. */
#include "worker/history_part.h"

#include <string.h>

bool history_names(struct history *history, const char *folder,
                   void (*visit)(void *context, const char *name), void *context, struct fault *fault)
{
    git_oid root, id;
    uint32_t mode;
    git_odb_object *object;
    if (!tree_of_commit(history, &history->head, &root, fault))
        return false;
    int found = tree_find(history, &root, folder, &id, &mode, fault);
    if (found <= 0 || mode != FOLDER_MODE)
        return found >= 0;
    if (!object_read(history, &id, GIT_OBJECT_TREE, &object, fault))
        return false;
    const char *at = git_odb_object_data(object), *end = at + git_odb_object_size(object);
    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        const char *nul = blank ? memchr(blank, '\0', (size_t)(end - blank)) : NULL;
        if (!nul || end - nul < 1 + GIT_OID_RAWSZ)
            break;
        visit(context, blank + 1);
        at = nul + 1 + GIT_OID_RAWSZ;
    }
    git_odb_object_free(object);
    return true;
}
