/* The names that HEAD tracks in a folder. */
#include "worker/history/part.h"

#include <string.h>

bool history_names(struct history *history, const char *folder,
                   void (*visit)(void *context, const char *name), void *context, struct fault *fault)
{
    const struct buffer *raw;
    int found = tree_of_folder(history, folder, &raw, fault);
    if (found <= 0)
        return found == 0;
    const char *at = raw->data, *end = at + raw->length;
    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        const char *nul = blank ? memchr(blank, '\0', (size_t)(end - blank)) : NULL;
        if (!nul || end - nul < 1 + GIT_OID_RAWSZ)
            break;
        visit(context, blank + 1);
        at = nul + 1 + GIT_OID_RAWSZ;
    }
    return true;
}
