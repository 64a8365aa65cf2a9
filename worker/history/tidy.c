/* Housekeeping: one short step at a time, for idle moments of the agent.
 *
 * Joining: the new pack is durable before the packs that it is made of retire (retired_packs.c), and it has every
 * object of theirs, so no object is ever lost by us, whether a stash, a reflog or no name refers to it; after a kill in
 * between, objects are there twice. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"

enum {
    JOURNAL_URGENT = 8 * 1024 * 1024,
    JOURNAL_MUCH = 512 * 1024, /* checkpoint at the next idle moment; less than that waits for a longer one */
    QUIET_MS = 2000,
    PAUSE_MS = 200,
    YOUNG = 64,            /* objects at most in a pack that counts as one commit's */
    YOUNG_MAX = 16,        /* such packs; from this number on packs are joined in idle moments */
    YOUNG_URGENT = 250,    /* from there on at once: every git that starts looks into each */
    JOINED_MAX = 32,       /* packs that become one at a time */
    JOINED_OBJECTS = 8000, /* and their objects */
    JOINED_BYTES =
        /* of packs that become one at a time, and of an object in them: a larger object, as people may commit, might
         * fill the worker's memory */
    16 * 1024 * 1024,
    MIDDLE = 2000,       /* objects at most in a pack that was joined once */
    LATER_MAX = 20,      /* such packs, before some of them are joined again */
    PACKS_LOOKED = 1024, /* so many are listed at a time */
};

struct id_list {
    git_oid *items;
    size_t count;
};

static void add_id(struct id_list *list, const git_oid *id)
{
    *MEMORY_ADD(list->items, list->count) = *id;
}

static char *pack_path(const char *name, const char *suffix)
{
    return memory_print("objects/pack/pack-%s.%s", name, suffix);
}

/* The pack before its index, since git looks for indexes. Files that a kill leaves in .agentos/new go at the next
 * start. */
static bool place_pack(struct history *history, const char *name)
{
    static const char *const suffixes[] = {"pack", "idx"};
    bool good = mkdirat(history->folders.git, "objects/pack", 0755) == 0 || errno == EEXIST;
    for (size_t i = 0; good && i < sizeof suffixes / sizeof *suffixes; i++) {
        OWNED char *path = pack_path(name, suffixes[i]);
        good = renameat(history->folders.fresh, strrchr(path, '/') + 1, history->folders.git, path) == 0;
    }
    OWNED_FD int folder = openat(history->folders.git, "objects/pack", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return good && folder >= 0 && fsync(folder) == 0;
}

/* A new pack of these objects, durable before it has its name (library.c). name: its 40 digits. */
static bool write_pack(struct history *history, const struct id_list *list, char name[COMMIT_TEXT],
                       struct fault *fault)
{
    git_repository *repository = history_repository(history, fault);
    git_packbuilder *builder = NULL;
    OWNED char *fresh = memory_print("%s/.agentos/new", history->path);
    if (!repository)
        return false;
    bool good = git_packbuilder_new(&builder, repository) == 0;
    if (good)
        git_packbuilder_set_threads(builder, 1);
    for (size_t i = 0; good && i < list->count; i++)
        good = git_packbuilder_insert(builder, &list->items[i], NULL) == 0;
    good = good && git_packbuilder_write(builder, fresh, 0444, NULL, NULL) == 0;
    if (good)
        snprintf(name, COMMIT_TEXT, "%s", git_packbuilder_name(builder));
    else
        commits_fault(fault, "the objects can't be packed, they stay as they are");
    git_packbuilder_free(builder);
    return good && (place_pack(history, name) ||
                    fault_errno(fault, "a new pack can't be placed, its objects stay where they were"));
}

/* A pack of .git/objects/pack that may be joined. */
struct pack {
    char name[COMMIT_TEXT];
    uint32_t objects;
    uint64_t bytes;
    int64_t modified_ns;
};

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* How many objects a pack holds by its index (version 2); 0: no such index. */
static uint32_t pack_objects(struct history *history, const char *name)
{
    OWNED char *path = pack_path(name, "idx");
    OWNED_FD int fd = openat(history->folders.git, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    unsigned char magic[8], count[4];
    if (fd < 0 || pread(fd, magic, sizeof magic, 0) != sizeof magic ||
        memcmp(magic, "\377tOc\0\0\0\2", sizeof magic) != 0 ||
        pread(fd, count, sizeof count, 8 + 255 * 4) != sizeof count)
        return 0;
    return big_endian(count);
}

static bool has_file(struct history *history, const char *name, const char *suffix)
{
    OWNED char *path = pack_path(name, suffix);
    return faccessat(history->folders.git, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_unjoined(const struct history *history, const char *name)
{
    const struct buffer *names = &history->unjoined;
    return names->length > 0 && memmem(names->data, names->length, name, COMMIT_TEXT);
}

/* May the pack be joined? Not a large one, nor with a .keep or .promisor beside it, nor when it could not be read at the
 * last try. */
static bool describe(struct history *history, const char *name, struct pack *pack)
{
    snprintf(pack->name, sizeof pack->name, "%s", name);
    OWNED char *path = pack_path(name, "pack");
    struct file_stamp stamp = files_stamp_at(history->folders.git, path);
    if (stamp.inode == 0 || stamp.size > JOINED_BYTES || is_unjoined(history, name))
        return false;
    pack->bytes = stamp.size;
    pack->modified_ns = stamp.modified_ns;
    pack->objects = pack_objects(history, name);
    return pack->objects > 0 && !has_file(history, name, "keep") && !has_file(history, name, "promisor");
}

/* Is it an index? Then which pack's. */
static bool pack_of_index(const char *file, char name[COMMIT_TEXT])
{
    size_t length = strlen(file);
    if (length != strlen("pack-.idx") + GIT_OID_HEXSZ || strncmp(file, "pack-", 5) != 0 ||
        strcmp(file + length - 4, ".idx") != 0)
        return false;
    snprintf(name, COMMIT_TEXT, "%.40s", file + 5);
    return true;
}

static size_t list_packs(struct history *history, struct pack *packs, size_t most)
{
    size_t count = 0;
    /* Packs that were not met are joined another time. */
    OWNED_LISTING struct listing *files = listing_open(history->folders.git, "objects/pack", NULL);
    char name[COMMIT_TEXT] = "";
    for (const char *file; files && count < most && (file = listing_next(files)) != NULL;)
        if (pack_of_index(file, name) && !retired_has(history, name))
            count += describe(history, name, &packs[count]);
    return count;
}

struct reading {
    git_odb *pack;
    struct id_list *list;
    bool large; /* an object is too large to be read */
};

/* libgit2 compares each object with its hash. */
static int add_sound(const git_oid *id, void *context)
{
    struct reading *reading = context;
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    git_object_t type;
    size_t length;
    if (git_odb_read_header(&length, &type, reading->pack, id) != 0)
        return GIT_ERROR;
    reading->large = length > JOINED_BYTES;
    if (reading->large || git_odb_read(&object, reading->pack, id) != 0)
        return GIT_ERROR;
    add_id(reading->list, id);
    return 0;
}

/* The objects of a pack, read from the pack itself. False: the pack is damaged, which is told, or has a large object;
 * no object was added. */
static bool add_pack(struct history *history, const char *name, struct id_list *list)
{
    struct reading reading = {.list = list};
    git_odb_backend *backend = NULL;
    size_t before = list->count;
    OWNED char *path = pack_path(name, "idx"), *index = memory_print("%s/.git/%s", history->path, path);
    bool good = git_odb_new(&reading.pack) == 0 && git_odb_backend_one_pack(&backend, index) == 0 &&
                git_odb_add_backend(reading.pack, backend, 1) == 0 &&
                git_odb_foreach(reading.pack, add_sound, &reading) == 0;
    git_odb_free(reading.pack);
    if (good)
        return true;
    list->count = before;
    if (!reading.large)
        log_warn("agent", history->agent, "The pack %s is damaged and stays as it is.", name);
    return false;
}

/* The first packs of the list become one, but for packs that can't be read. */
static bool join_first(struct history *history, struct pack *packs, size_t count)
{
    struct id_list list = {0};
    struct fault why = {0};
    char heir[COMMIT_TEXT];
    size_t sound = 0;
    for (size_t i = 0; i < count; i++)
        if (add_pack(history, packs[i].name, &list)) {
            packs[sound++] = packs[i];
        } else {
            buffer_add(&history->unjoined, packs[i].name, COMMIT_TEXT);
        }
    bool good = sound > 1 && write_pack(history, &list, heir, &why);
    free(list.items);
    for (size_t i = 0; good && i < sound; i++)
        if (strcmp(packs[i].name, heir) != 0)
            retired_add(history, packs[i].name, heir);
    if (!good && why.text[0])
        log_warn("agent", history->agent, "Packs can't be joined: %s", why.text);
    return good;
}

/* Small ones in front, and the eldest of them. */
static int small_and_old_first(const void *a, const void *b)
{
    const struct pack *one = a, *other = b;
    bool one_young = one->objects <= YOUNG, other_young = other->objects <= YOUNG;
    if (one_young != other_young)
        return one_young ? -1 : 1;
    if (!one_young && one->objects != other->objects)
        return one->objects < other->objects ? -1 : 1;
    return (one->modified_ns > other->modified_ns) - (one->modified_ns < other->modified_ns);
}

static size_t that_fit(const struct pack *packs, size_t count)
{
    size_t fit = 0, objects = 0;
    uint64_t bytes = 0;
    while (fit < count && fit < JOINED_MAX && (objects += packs[fit].objects) <= JOINED_OBJECTS &&
           (bytes += packs[fit].bytes) <= JOINED_BYTES)
        fit++;
    return fit;
}

/* Many young packs become one; many packs that were joined once are joined once more, and stay then. */
static bool join_packs(struct history *history, bool urgent)
{
    OWNED struct pack *packs = memory_new(PACKS_LOOKED, sizeof *packs);
    size_t count = list_packs(history, packs, PACKS_LOOKED), young = 0, middle = 0;
    qsort(packs, count, sizeof *packs, small_and_old_first);
    while (young < count && packs[young].objects <= YOUNG)
        young++;
    while (young + middle < count && packs[young + middle].objects <= MIDDLE)
        middle++;
    history->young_packs = young;
    bool many_young = young > (urgent ? YOUNG_URGENT : YOUNG_MAX),
         many_middle = middle > LATER_MAX && !urgent;
    size_t fit = many_young ? that_fit(packs, young) : many_middle ? that_fit(packs + young, middle) : 0;
    if (fit < 2 || !join_first(history, many_young ? packs : packs + young, fit)) {
        history->young_packs =
            0; /* where joining fails it is not tried again before as many new ones have come */
        return false;
    }
    history->young_packs -= many_young ? fit : 0;
    return true;
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
    int64_t rest = clock_monotonic_ms() - history->committed_ms;
    if (history->pending || !history->journal)
        return false;
    if (!urgent && rest < PAUSE_MS) /* not between two cycles of a busy agent */
        return false;
    size_t journal = journal_size(history->journal);
    bool quiet = rest >= QUIET_MS;
    if (journal > (urgent ? JOURNAL_URGENT : quiet ? 0 : JOURNAL_MUCH))
        return checkpoint(history);
    if (urgent)
        return (history->young_packs > YOUNG_URGENT && join_packs(history, true)) || retired_remove(history);
    if (retired_remove(history))
        return true;
    if (quiet) {
        history_close_objects(history); /* packs that libgit2 has mapped would be memory of an idle agent */
        spares_let_go(history);
    }
    return join_packs(history, false);
}

int64_t history_tidy_at(const struct history *history)
{
    int64_t now = clock_monotonic_ms(), soon = now + PAUSE_MS, at = 0;
    if (history->young_packs > YOUNG_MAX || now - history->committed_ms < PAUSE_MS)
        return soon;
    if (history->odb)
        at = history->committed_ms + QUIET_MS;
    int64_t retire_at = retired_at(history);
    if (retire_at != 0 && (at == 0 || retire_at < at))
        at = retire_at;
    return at != 0 && at < soon ? soon : at;
}
