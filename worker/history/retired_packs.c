/* Packs that were joined: their heir, the joined pack, has all their objects, and they are removed as soon as no git
 * reads them.
 *
 * git lists the packs once and opens them one after the other. A pack that is gone by then is a fault of the repository
 * to fsck, and so is each object that only the listed packs have. A git that reads keeps every index mapped that it has
 * opened, the youngest first, and so refuses us a write lease; a git that has only just listed the packs left the time
 * of that on the folder. So all the indexes leave first and together, and come back at once when somebody listed the
 * folder meanwhile. (Where the file system keeps no such times, more packs stay, and longer.)
 *
 * A pack is removed only while its heir is there; the heir retires later, if at all. Where somebody else has packed anew,
 * the pack stays and is joined like any other. Killed before the packs go: they are joined once more, and nothing new is
 * found in them. Killed while the indexes are aside: they come back before other indexes leave. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"

enum {
    STAY_MS = 5000, /* a retired pack stays so long, unless there are too many */
    MANY = 64,
    MANY_UNTIMED = 500, /* where the folder's times do not tell of a listing */
    AT_ONCE = 256,
    MOST = 3000, /* from so many packs on, or so many bytes, packs go though somebody reads them */
    MOST_BYTES = 64 << 20,
    LISTED_MS = 200, /* from listing the folder to having opened an index */
    PUT_OFF_MS = 20,
};

static const char folder[] = "objects/pack", aside[] = "retired";

static char *file_of(const char *name, const char *suffix)
{
    return memory_print("%s/pack-%s.%s", folder, name, suffix);
}

struct listing *packs_list(struct history *history)
{
    int fd =
        openat(history->folders.git, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME);
    return fd >= 0 ? listing_take(fd, folder, NULL) : listing_open(history->folders.git, folder, NULL);
}

bool pack_of_index(const char *file, char name[COMMIT_TEXT])
{
    size_t length = strlen(file);
    if (length != strlen("pack-.idx") + GIT_OID_HEXSZ || strncmp(file, "pack-", 5) != 0 ||
        strcmp(file + length - 4, ".idx") != 0)
        return false;
    snprintf(name, COMMIT_TEXT, "%.40s", file + 5);
    return true;
}

void retired_add(struct history *history, const char *name, const char *heir, size_t bytes)
{
    struct retired *retired = &history->retired;
    retired->packs = memory_grow(retired->packs, retired->count + 1, sizeof *retired->packs);
    struct retired_pack *pack = &retired->packs[retired->count++];
    *pack = (struct retired_pack){.bytes = bytes, .since_ms = clock_monotonic_ms()};
    memcpy(pack->name, name, COMMIT_TEXT);
    memcpy(pack->heir, heir, COMMIT_TEXT);
    retired->bytes += bytes;
}

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, COMMIT_TEXT);
}

char (*retired_names(const struct history *history))[COMMIT_TEXT]
{
    const struct retired *retired = &history->retired;
    char(*names)[COMMIT_TEXT] = memory_new(retired->count + 1, sizeof *names);
    for (size_t i = 0; i < retired->count; i++)
        memcpy(names[i], retired->packs[i].name, COMMIT_TEXT);
    qsort(names, retired->count, sizeof *names, by_name);
    return names;
}

bool retired_among(const struct history *history, char (*names)[COMMIT_TEXT], const char name[COMMIT_TEXT])
{
    return bsearch(name, names, history->retired.count, sizeof *names, by_name) != NULL;
}

/* When the folder was listed last, if the file system tells. */
static int64_t listed_ns(struct history *history)
{
    struct stat status;
    return fstatat(history->folders.git, folder, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? (int64_t)status.st_atim.tv_sec * 1000000000 + status.st_atim.tv_nsec
               : 0;
}

/* Our own libgit2's listing counts too: a person's git that lists right after it may leave no time of its own. */
static bool listed_lately(int64_t at_ns)
{
    int64_t ago = clock_kernel_ns() - at_ns;
    return ago >= 0 && ago < (int64_t)LISTED_MS * 1000000;
}

/* Does anybody have it open or mapped? The lease goes with the descriptor. */
static bool is_read(int packs, const char *index)
{
    OWNED_FD int fd = openat(packs, index, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) != 0 &&
           errno == EAGAIN;
}

static bool somebody_reads(struct history *history)
{
    struct listing *files = packs_list(history);
    char name[COMMIT_TEXT];
    bool reads = false;
    for (const char *file; files && !reads && (file = listing_next(files)) != NULL;)
        reads = pack_of_index(file, name) && is_read(listing_folder(files), file);
    return files && (listing_close(files, NULL), reads);
}

static bool times_are_kept(struct history *history)
{
    struct statvfs system;
    return fstatvfs(history->folders.git, &system) == 0 &&
           (system.f_flag & (ST_NOATIME | ST_NODIRATIME)) == 0;
}

static bool too_much(const struct retired *retired, size_t gone, size_t bytes)
{
    return retired->count - gone > MOST || retired->bytes - bytes > MOST_BYTES;
}

/* How many of the eldest packs are due. *pressing: so many of them go though somebody reads them. */
static size_t due(struct history *history, int64_t now, size_t *pressing)
{
    const struct retired *retired = &history->retired;
    size_t count = 0, bytes = 0, many = times_are_kept(history) ? MANY : MANY_UNTIMED;
    for (*pressing = 0; count < retired->count && count < AT_ONCE; bytes += retired->packs[count++].bytes)
        if (too_much(retired, count, bytes))
            ++*pressing;
        else if (retired->count - count <= many && now - retired->packs[count].since_ms < STAY_MS)
            break;
    return count;
}

static void put_back(struct history *history, const char *name)
{
    OWNED char *index = file_of(name, "idx");
    if (renameat2(history->retired.aside, name, history->folders.git, index, RENAME_NOREPLACE) != 0)
        unlinkat(history->retired.aside, name, 0);
}

/* The folder of indexes that are aside; an index that a former process left there comes back. */
static bool open_aside(struct history *history)
{
    struct retired *retired = &history->retired;
    if (retired->opened)
        return true;
    retired->aside = files_open_folder(history->folders.notes, aside, true, NULL);
    struct listing *names = retired->aside < 0 ? NULL : listing_open(retired->aside, ".", NULL);
    if (!names)
        return false;
    for (const char *name; (name = listing_next(names)) != NULL;)
        put_back(history, name);
    (void)listing_close(names, NULL); /* an index that was not met stays there until the next start */
    return retired->opened = true;
}

/* Puts the indexes of the first `count` packs aside, of those whose heir is there. */
static void put_aside(struct history *history, size_t count, bool *gone)
{
    for (size_t i = 0; i < count; i++) {
        const struct retired_pack *pack = &history->retired.packs[i];
        OWNED char *index = file_of(pack->name, "idx"), *heir = file_of(pack->heir, "idx");
        gone[i] =
            faccessat(history->folders.git, heir, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
            renameat2(history->folders.git, index, history->retired.aside, pack->name, RENAME_NOREPLACE) == 0;
    }
}

static void remove_parts(struct history *history, const char *name)
{
    static const char *const parts[] = {"rev", "bitmap"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        OWNED char *path = file_of(name, parts[i]);
        unlinkat(history->folders.git, path, 0);
    }
    OWNED char *pack = file_of(name, "pack");
    spare_give(history, history->folders.git, pack);
    spare_give(history, history->retired.aside, name);
}

static void forget_first(struct retired *retired, size_t count)
{
    for (size_t i = 0; i < count; i++)
        retired->bytes -= retired->packs[i].bytes;
    retired->count -= count;
    memmove(retired->packs, retired->packs + count, retired->count * sizeof *retired->packs);
    retired->packs = memory_grow(retired->packs, retired->count, sizeof *retired->packs);
}

/* False: somebody has listed the packs meanwhile, and their indexes are back. */
static bool remove_first(struct history *history, size_t count, size_t pressing, int64_t listed_before_ns)
{
    bool gone[AT_ONCE];
    put_aside(history, count, gone);
    bool keep = count > pressing && listed_ns(history) != listed_before_ns;
    for (size_t i = 0; i < count; i++)
        if (gone[i] && keep)
            put_back(history, history->retired.packs[i].name);
        else if (gone[i])
            remove_parts(history, history->retired.packs[i].name);
    if (!keep)
        forget_first(&history->retired, count);
    return !keep;
}

/* libgit2 lets go of them first: a file that is mapped is no spare, and looks as if somebody read it. */
static bool read_by_others(struct history *history)
{
    history_close_objects(history);
    return somebody_reads(history);
}

bool retired_remove(struct history *history)
{
    struct retired *retired = &history->retired;
    int64_t now = clock_monotonic_ms(), listed = listed_ns(history);
    size_t pressing, count = now < retired->not_before_ms ? 0 : due(history, now, &pressing);
    if (count == 0 || !open_aside(history))
        return false;
    if (listed_lately(listed) || read_by_others(history))
        count = pressing;
    if (count > 0 && remove_first(history, count, pressing, listed))
        return true;
    retired->not_before_ms = now + PUT_OFF_MS;
    return false;
}

int64_t retired_at(const struct history *history)
{
    const struct retired *retired = &history->retired;
    if (retired->count == 0)
        return 0;
    int64_t at = retired->packs[0].since_ms + STAY_MS;
    return at > retired->not_before_ms ? at : retired->not_before_ms;
}

void retired_close(struct history *history)
{
    if (history->retired.opened)
        close(history->retired.aside);
    free(history->retired.packs);
}
