/* The packs in which the objects of the journal's records lie: since the last checkpoint each commit puts its pack there,
 * and what was joined lies in its heir. While they are all there, nothing that a record says is missing, and a checkpoint
 * needs no look into the records themselves. Somebody's `git gc` takes them away; then each object is looked for. */
#include "worker/history/part.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"

enum {
    HELD_MAX = 4096 /* names; more commits than that between two checkpoints are looked for one by one */
};

void held_add(struct history *history, const char name[COMMIT_TEXT])
{
    struct held_packs *held = &history->held;
    if (held->count == HELD_MAX) {
        held->unsure = true;
        return;
    }
    held->names = memory_grow(held->names, held->count + 1, sizeof *held->names);
    memcpy(held->names[held->count++], name, COMMIT_TEXT);
}

void held_elsewhere(struct history *history)
{
    history->held.unsure = true;
}

static bool is_among(char (*names)[COMMIT_TEXT], size_t count, const char name[COMMIT_TEXT])
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(names[i], name, COMMIT_TEXT) == 0)
            return true;
    return false;
}

void held_joined(struct history *history, char (*names)[COMMIT_TEXT], size_t count,
                 const char heir[COMMIT_TEXT])
{
    struct held_packs *held = &history->held;
    size_t kept = 0;
    for (size_t i = 0; i < held->count; i++)
        if (!is_among(names, count, held->names[i]))
            memmove(held->names[kept++], held->names[i], COMMIT_TEXT);
    bool some = kept < held->count;
    held->count = kept;
    if (some)
        held_add(history, heir);
}

bool held_all(struct history *history)
{
    const struct held_packs *held = &history->held;
    bool there = !held->unsure;
    for (size_t i = 0; there && i < held->count; i++) {
        char pack[80], index[80];
        snprintf(pack, sizeof pack, "objects/pack/pack-%s.pack", held->names[i]);
        snprintf(index, sizeof index, "objects/pack/pack-%s.idx", held->names[i]);
        there = faccessat(history->folders.git, pack, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
                faccessat(history->folders.git, index, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return there;
}

void held_forget(struct history *history)
{
    free(history->held.names);
    history->held = (struct held_packs){0};
}
