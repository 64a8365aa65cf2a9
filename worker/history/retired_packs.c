/* Packs that were joined: their heir, the joined pack, has all their objects.
 *
 * git lists the packs once and opens them one after the other; a listed pack that is gone by then is a fault of the
 * repository to fsck. So a joined pack stays for five minutes, as a note in .agentos/retired says: by then every git
 * that listed the pack is done. (A git that takes longer and looks for an object lists the packs anew, and finds the
 * heir.)
 *
 * A pack is removed only while its heir is there. Where another process has packed anew, the note goes, and the pack is
 * joined like any other. Killed before the note is written: the pack is joined once more, and has no new object. Killed
 * between the index and the pack: a pack without an index, which no reader sees; the note takes it away later.
 *
 * An index over many packs (git multi-pack-index, which git maintenance makes) goes before the first pack, as it does
 * where git itself removes a pack that it names: git finds everything by the packs' own indexes, and the next maintenance
 * makes it anew. */
#include "worker/history/part.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"

enum {
    STAY_SECONDS = 300,
    STAY_OF_MANY = 5,
    MANY = 500, /* packs; from there on they stay for a shorter time */
};

static const char notes[] = "retired";

bool retired_has(const struct history *history, const char *name)
{
    OWNED char *note = memory_print("%s/%s", notes, name);
    return faccessat(history->folders.notes, note, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void retired_add(struct history *history, const char *name, const char *heir)
{
    OWNED_FD int folder = files_open_folder(history->folders.notes, notes, true, NULL);
    if (folder < 0 || !files_write(folder, name, heir, strlen(heir), false, NULL))
        return;
    history->retired.count++;
    int64_t at = history->retired.count > MANY ? 0 : clock_now() + STAY_SECONDS;
    history->retired.look_at = at < history->retired.look_at ? at : history->retired.look_at;
}

static bool is_there(const struct history *history, const char *path)
{
    return faccessat(history->folders.git, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_index(const struct history *history, const char *name)
{
    OWNED char *path = memory_print("objects/pack/pack-%s.idx", name);
    return is_there(history, path);
}

/* Newer gits keep the index as a chain in a folder, whose list alone makes it count. What belongs to an index (its
 * bitmap) has the index's name in front. */
static void remove_index_of_many(struct history *history)
{
    static const char folder[] = "objects/pack", name[] = "multi-pack-index",
                      chain[] = "objects/pack/multi-pack-index.d/multi-pack-index-chain";
    unlinkat(history->folders.git, chain, 0);
    if (!is_there(history, "objects/pack/multi-pack-index"))
        return;
    /* A file that was not met goes with the next pack, or counts for nothing. */
    OWNED_LISTING struct listing *files = listing_open(history->folders.git, folder, NULL);
    for (const char *file; files && (file = listing_next(files));)
        if (strncmp(file, name, strlen(name)) == 0)
            unlinkat(listing_folder(files), file, 0);
}

static void remove_pack(struct history *history, int folder, const char *name)
{
    static const char *const parts[] = {"idx", "rev", "bitmap", "mtimes", "pack"};
    OWNED char *heir = NULL;
    size_t length;
    int read = files_read(folder, name, COMMIT_TEXT, &heir, &length, NULL, NULL);
    bool goes = read == 1 && has_index(history, heir);
    if (goes)
        remove_index_of_many(history);
    for (size_t i = 0; goes && i < sizeof parts / sizeof *parts; i++) {
        OWNED char *path = memory_print("objects/pack/pack-%s.%s", name, parts[i]);
        if (is_there(history, path))
            spare_give(history, history->folders.git, path);
    }
    unlinkat(folder, name, 0);
}

bool retired_remove(struct history *history)
{
    struct retired *retired = &history->retired;
    int64_t now = clock_now(), stay = retired->count > MANY ? STAY_OF_MANY : STAY_SECONDS;
    if (now < retired->look_at)
        return false;
    /* A note that was not met is met by the next look. */
    OWNED_LISTING struct listing *names = listing_open(history->folders.notes, notes, NULL);
    bool some = false;
    retired->look_at = INT64_MAX;
    retired->count = 0;
    for (const char *name; names && (name = listing_next(names));) {
        OWNED char *unfinished = files_unfinished(name);
        if (unfinished) {
            unlinkat(listing_folder(names), name, 0);
            continue;
        }
        int64_t since = files_stamp_at(listing_folder(names), name).modified_ns / 1000000000;
        if (now < since || now - since >= stay) {
            history_close_objects(history); /* a file that libgit2 has mapped is no spare */
            remove_pack(history, listing_folder(names), name);
            some = true;
            continue;
        }
        retired->count++;
        retired->look_at = since + stay < retired->look_at ? since + stay : retired->look_at;
    }
    return some;
}

int64_t retired_at(const struct history *history)
{
    int64_t at = history->retired.look_at, now = clock_now();
    return at == INT64_MAX ? 0 : clock_monotonic_ms() + (at > now ? (at - now) * 1000 : 0);
}
