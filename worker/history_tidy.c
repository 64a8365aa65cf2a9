/* Housekeeping: one short step at a time, for when the agent has nothing else to do.
 *
 * Packing: the pack and its index are durable before the first loose file goes, and only those go that are in it, so
 * nothing that a stash, a reflog or nobody refers to is ever lost by us; killed in between there are objects twice.
 * Joining: the same, with small packs instead of loose files. */
#include "worker/history_part.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

enum {
    JOURNAL_URGENT = 8 * 1024 * 1024,
    JOURNAL_MUCH = 512 * 1024, /* checkpoint at the next idle moment; less than that waits for a longer one */
    QUIET_MS = 2000,
    PAUSE_MS = 200,
    LOOSE_URGENT = 6000,
    PACK_AT = 1500,  /* loose objects */
    PACK_STEP = 500, /* objects that become a pack in one step: some 50 ms */
    YOUNG = 64,      /* objects at most in a pack that counts as one commit's */
    YOUNG_MAX = 32,  /* such packs; from there on they are joined in idle moments */
    /* From there on at once: every git that starts looks into each, and libgit2 keeps the descriptors of all that it
     * looked into (its own limit doesn't count those that it only asked), of which a worker has few. */
    YOUNG_URGENT = 64,
    JOINED_MAX = 48,   /* packs that become one at a time */
    JOIN_YOUNG = 1000, /* objects of one such join: some 0.1 s */
    PACKS_MAX = 20,    /* larger packs; from there on the smallest of them are joined */
    PACKS_MANY = 60,   /* from there on larger ones too, which takes longer */
    JOIN_STEP = 4000,  /* objects of one join: some 0.4 s, once in hundreds of cycles */
    JOIN_LARGE = 20000,
    PACKS_LOOKED = 1024, /* so many are listed at a time */
};

struct id_list {
    git_oid *items;
    size_t count, capacity;
};

static void add_id(struct id_list *list, const git_oid *id)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 256;
        list->items = memory_grow(list->items, list->capacity, sizeof *list->items);
    }
    list->items[list->count++] = *id;
}

static DIR *open_folder(struct history *history, const char *name)
{
    int fd = openat(history->git, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder && fd >= 0)
        close(fd);
    return folder;
}

/* Loose objects: counted, and the first `limit` of them listed. */
static size_t list_loose(struct history *history, struct id_list *list, size_t limit)
{
    size_t total = 0;
    for (unsigned first = 0; first < 256; first++) {
        char name[32], text[COMMIT_TEXT];
        git_oid id;
        snprintf(name, sizeof name, "objects/%02x", first);
        DIR *folder = open_folder(history, name);
        if (!folder)
            continue;
        for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            if (strlen(entry->d_name) != GIT_OID_HEXSZ - 2)
                continue;
            snprintf(text, sizeof text, "%02x%.38s", first, entry->d_name);
            if (git_oid_fromstr(&id, text) != 0)
                continue;
            total++;
            if (list->count < limit)
                add_id(list, &id);
        }
        closedir(folder);
    }
    return total;
}

static char *pack_path(const char *name, const char *suffix)
{
    return memory_print("objects/pack/pack-%s.%s", name, suffix);
}

static bool flush(struct history *history, const char *path)
{
    OWNED_FD int fd = openat(history->git, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && fsync(fd) == 0;
}

/* A new pack of these objects, durable. name: its 40 digits. An object that can't be read is left out and stays
 * where it is: *list gets shorter. */
static bool write_pack(struct history *history, struct id_list *list, char name[COMMIT_TEXT],
                       struct fault *fault)
{
    git_repository *repository = history_repository(history, fault);
    git_packbuilder *builder = NULL;
    if (!repository)
        return false;
    bool good = git_packbuilder_new(&builder, repository) == 0;
    if (good)
        git_packbuilder_set_threads(builder, 1);
    size_t kept = 0;
    for (size_t i = 0; good && i < list->count; i++)
        if (git_packbuilder_insert(builder, &list->items[i], NULL) == 0)
            list->items[kept++] = list->items[i];
    list->count = good ? kept : 0;
    good = good && kept > 0 && git_packbuilder_write(builder, NULL, 0444, NULL, NULL) == 0;
    if (good)
        snprintf(name, COMMIT_TEXT, "%s", git_packbuilder_name(builder));
    else
        git_fault(fault, "the objects can't be packed, they stay as they are");
    git_packbuilder_free(builder);
    if (!good)
        return false;
    OWNED char *pack = pack_path(name, "pack"), *index = pack_path(name, "idx");
    return (flush(history, pack) && flush(history, index) && flush(history, "objects/pack")) ||
           fault_errno(fault, "a pack can't be made durable, what is in it stays where it was");
}

static bool pack_loose(struct history *history)
{
    struct id_list list = {0};
    struct fault why = {0};
    char name[COMMIT_TEXT];
    size_t total = list_loose(history, &list, PACK_STEP);
    history->loose = total;
    bool good = write_pack(history, &list, name, &why);
    for (size_t i = 0; good && i < list.count; i++) {
        char text[COMMIT_TEXT], path[64];
        git_oid_tostr(text, sizeof text, &list.items[i]);
        snprintf(path, sizeof path, "objects/%.2s/%s", text, text + 2);
        history->loose -= unlinkat(history->git, path, 0) == 0;
    }
    if (!good) {
        log_warn("agent", history->agent, "%s", why.text);
        history->loose = 0; /* not again before as many new ones have come */
    }
    free(list.items);
    return good;
}

struct pack {
    char name[COMMIT_TEXT];
    uint32_t objects;
};

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

enum { IDX_FANOUT = 8, IDX_IDS = IDX_FANOUT + 256 * 4 };

/* How many objects a pack holds by its index (version 2); 0: no such index. */
static uint32_t pack_objects(struct history *history, const char *name, struct id_list *list)
{
    OWNED char *path = pack_path(name, "idx");
    OWNED_FD int fd = openat(history->git, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    unsigned char head[IDX_IDS];
    if (fd < 0 || pread(fd, head, sizeof head, 0) != sizeof head ||
        memcmp(head, "\377tOc\0\0\0\2", IDX_FANOUT) != 0)
        return 0;
    uint32_t count = big_endian(head + IDX_IDS - 4);
    if (!list)
        return count;
    OWNED unsigned char *ids = memory_new((size_t)count + 1, GIT_OID_RAWSZ);
    ssize_t length = (ssize_t)count * GIT_OID_RAWSZ;
    if (pread(fd, ids, (size_t)length, IDX_IDS) != length)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        git_oid id;
        git_oid_fromraw(&id, ids + (size_t)i * GIT_OID_RAWSZ);
        add_id(list, &id);
    }
    return count;
}

static bool has_file(struct history *history, const char *name, const char *suffix)
{
    OWNED char *path = pack_path(name, suffix);
    return faccessat(history->git, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Packs that nobody asked to keep. */
static size_t list_packs(struct history *history, struct pack *packs, size_t most)
{
    size_t count = 0;
    DIR *folder = open_folder(history, "objects/pack");
    if (!folder)
        return 0;
    for (const struct dirent *entry; count < most && (entry = readdir(folder)) != NULL;) {
        struct pack *pack = &packs[count];
        size_t length = strlen(entry->d_name);
        if (length != strlen("pack-.idx") + GIT_OID_HEXSZ || strncmp(entry->d_name, "pack-", 5) != 0 ||
            strcmp(entry->d_name + length - 4, ".idx") != 0)
            continue;
        snprintf(pack->name, sizeof pack->name, "%.40s", entry->d_name + 5);
        pack->objects = pack_objects(history, pack->name, NULL);
        count += pack->objects > 0 && !has_file(history, pack->name, "keep") &&
                 !has_file(history, pack->name, "promisor");
    }
    closedir(folder);
    return count;
}

static void remove_pack(struct history *history, const char *name)
{
    /* The index first: without it nobody looks for the pack. */
    static const char *const parts[] = {"idx", "rev", "bitmap", "pack"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        OWNED char *path = pack_path(name, parts[i]);
        spare_give(history, history->git, path);
    }
}

static int fewest_first(const void *a, const void *b)
{
    const struct pack *one = a, *other = b;
    return (one->objects > other->objects) - (one->objects < other->objects);
}

/* The first packs of the list become one, as many as have `most` objects together. */
static bool join_first(struct history *history, const struct pack *packs, size_t count, size_t most)
{
    struct id_list list = {0};
    size_t joined = 0;
    while (joined < count && joined < JOINED_MAX && list.count + packs[joined].objects <= most &&
           pack_objects(history, packs[joined].name, &list) == packs[joined].objects)
        joined++;
    size_t wanted = list.count;
    struct fault why = {0};
    char name[COMMIT_TEXT] = "";
    bool good = joined > 1 && write_pack(history, &list, name, &why) && list.count == wanted;
    if (!good && joined > 1)
        log_warn("agent", history->agent, "Packs can't be joined, they stay as they are: %s", why.text);
    free(list.items);
    if (!good)
        return false;
    /* libgit2 lets go of the old ones first: a file that somebody has mapped is no spare. */
    git_odb_free(history->odb);
    history->odb = NULL;
    git_repository_free(history->repository);
    history->repository = NULL;
    for (size_t i = 0; i < joined; i++)
        if (strcmp(packs[i].name, name) != 0)
            remove_pack(history, packs[i].name);
    if (!history_reopen_objects(history, &why))
        log_error("agent", history->agent, "%s", why.text);
    return true;
}

static bool join_packs(struct history *history, bool urgent)
{
    OWNED struct pack *packs = memory_new(PACKS_LOOKED, sizeof *packs);
    size_t count = list_packs(history, packs, PACKS_LOOKED), young = 0;
    qsort(packs, count, sizeof *packs, fewest_first);
    while (young < count && packs[young].objects <= YOUNG)
        young++;
    history->packs = young;
    if (young > (urgent ? YOUNG_URGENT : YOUNG_MAX)) {
        bool joined = join_first(history, packs, young, JOIN_YOUNG);
        /* Where joining fails it is not tried again before as many new ones have come. */
        history->packs = joined && young > JOINED_MAX ? young - JOINED_MAX : 0;
        return joined;
    }
    if (urgent || count - young <= PACKS_MAX)
        return false;
    return join_first(history, packs + young, count - young,
                      count - young > PACKS_MANY ? JOIN_LARGE : JOIN_STEP);
}

/* A `git gc --prune=now` of somebody's may have dropped objects between their writing and the ref's move. */
static bool keep_objects(void *context, const void *record, size_t length)
{
    struct history *history = context;
    struct work work;
    struct fault why = {0};
    bool good = record_decode(record, length, &work);
    bool there = good && pack_present(history, &work);
    for (size_t i = 0; good && !there && i < work.objects.count; i++)
        if (!object_present(history, &work.objects.items[i].id))
            good = object_write_loose(history, &work.objects.items[i], &why);
    work_free(&work);
    return good;
}

static bool checkpoint(struct history *history)
{
    struct fault why = {0};
    if (journal_each(history->journal, keep_objects, history, &why) &&
        journal_checkpoint(history->journal, &why))
        return true;
    log_warn("agent", history->agent, "The journal is kept: %s",
             why.text[0] ? why.text : "an object is missing");
    return false;
}

bool history_tidy(struct history *history, bool urgent)
{
    size_t journal = journal_size(history->journal);
    if (history->pending)
        return false;
    bool quiet = clock_monotonic_ms() - history->committed_ms >= QUIET_MS;
    if (journal > (urgent ? JOURNAL_URGENT : quiet ? 0 : JOURNAL_MUCH))
        return checkpoint(history);
    if (!history->counted && !urgent) {
        struct id_list none = {0};
        history->loose = list_loose(history, &none, 0);
        history->counted = true;
    }
    if (history->loose >= (urgent ? LOOSE_URGENT : PACK_AT))
        return pack_loose(history);
    if (urgent)
        return history->packs > YOUNG_URGENT && join_packs(history, true);
    /* Joining takes a tenth of a second: not between two cycles of a busy agent. Again in a moment. */
    if (history->committed_ms != 0 && clock_monotonic_ms() - history->committed_ms < PAUSE_MS)
        return history->packs > YOUNG_MAX;
    return join_packs(history, false);
}
