/* Housekeeping: one short step at a time, for when the agent has nothing else to do.
 *
 * Packing: the pack and its index are durable before the first loose file goes, and only those go that are in it, so
 * no object is ever lost by us, whether a stash, a reflog or nothing refers to it; killed in between, objects are there
 * twice. Joining: the same, with small packs instead of loose files; the joined packs retire (retired_packs.c). */
#include "worker/history/part.h"

#include <ctype.h>
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
    LOOSE_URGENT = 6000,
    PACK_AT = 1500,  /* loose objects */
    PACK_STEP = 500, /* objects that become a pack in one step: some 50 ms */
    YOUNG = 64,      /* objects at most in a pack that counts as one commit's */
    YOUNG_MAX = 16,  /* such packs; from there on they are joined in idle moments */
    /* From there on at once: every git that starts looks into each. */
    YOUNG_URGENT = 48,
    JOINED_MAX = 32,        /* packs that become one at a time: some 3 ms */
    MIDDLE = 4000,          /* objects at most in a pack that was joined once */
    LATER_MAX = 20,         /* packs of that size, and larger ones, before some of them are joined again */
    LATER_BYTES = 16 << 20, /* at most so many at a time */
    PACKS_LOOKED = 1024,    /* so many are listed at a time */
};

struct id_list {
    git_oid *items;
    size_t count;
};

static void add_id(struct id_list *list, const git_oid *id)
{
    MEMORY_MORE(list->items, list->count);
    list->items[list->count++] = *id;
}

/* Loose objects: counted, and the first `limit` of them listed. A folder that can't be listed now is tidied later. */
static size_t list_loose(struct history *history, struct id_list *list, size_t limit)
{
    size_t total = 0;
    OWNED_LISTING struct listing *folders = listing_open(history->folders.git, "objects", NULL);
    for (const char *first; folders && (first = listing_next(folders));) {
        char name[32], text[COMMIT_TEXT];
        git_oid id;
        if (strlen(first) != 2 || strspn(first, "0123456789abcdef") != 2)
            continue;
        snprintf(name, sizeof name, "objects/%s", first);
        OWNED_LISTING struct listing *names = listing_open(history->folders.git, name, NULL);
        for (const char *rest; names && (rest = listing_next(names)) != NULL;) {
            if (strlen(rest) != GIT_OID_HEXSZ - 2)
                continue;
            snprintf(text, sizeof text, "%s%.38s", first, rest);
            if (git_oid_fromstr(&id, text) != 0)
                continue;
            total++;
            if (list->count < limit)
                add_id(list, &id);
        }
    }
    return total;
}

static char *pack_path(const char *name, const char *suffix)
{
    return memory_print("objects/pack/pack-%s.%s", name, suffix);
}

static bool flush(struct history *history, const char *path)
{
    OWNED_FD int fd = openat(history->folders.git, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
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
        commits_fault(fault, "the objects can't be packed, they stay as they are");
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
    history->objects.loose = total;
    bool good = write_pack(history, &list, name, &why);
    for (size_t i = 0; good && i < list.count; i++) {
        char text[COMMIT_TEXT], path[64];
        git_oid_tostr(text, sizeof text, &list.items[i]);
        snprintf(path, sizeof path, "objects/%.2s/%s", text, text + 2);
        history->objects.loose -= unlinkat(history->folders.git, path, 0) == 0;
    }
    if (!good) {
        log_warn("agent", history->agent, "%s", why.text);
        history->objects.loose = 0; /* not again before as many new ones have come */
    }
    free(list.items);
    return good;
}

struct pack {
    char name[COMMIT_TEXT];
    uint32_t objects;
    size_t bytes;
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

/* May the pack be joined? Not with a .keep or .promisor beside it, nor when it could not be read at the last try. */
static bool describe(struct history *history, const char *name, struct pack *pack)
{
    snprintf(pack->name, sizeof pack->name, "%s", name);
    OWNED char *path = pack_path(name, "pack");
    struct file_stamp stamp = files_stamp_at(history->folders.git, path);
    if (stamp.inode == 0 || is_unjoined(history, name))
        return false;
    pack->bytes = stamp.size;
    pack->modified_ns = stamp.modified_ns;
    pack->objects = pack_objects(history, name);
    return pack->objects > 0 && !has_file(history, name, "keep") && !has_file(history, name, "promisor");
}

static size_t list_packs(struct history *history, struct pack *packs, size_t most)
{
    size_t count = 0;
    struct listing *files = packs_list(history);
    if (!files)
        return 0;
    char name[COMMIT_TEXT] = "";
    OWNED char(*retired)[COMMIT_TEXT] = retired_names(history);
    for (const char *file; count < most && (file = listing_next(files)) != NULL;)
        if (pack_of_index(file, name) && !retired_among(history, retired, name))
            count += describe(history, name, &packs[count]);
    (void)listing_close(files, NULL); /* packs that weren't met are joined another time */
    return count;
}

/* A file below .git, durable before it has its name. */
static bool put_durable(struct history *history, const struct buffer *content, const char *path)
{
    static const char temporary[] =
        "objects/pack/tmp_pack_agentos"; /* git's own prefix for what gc may remove */
    unlinkat(history->folders.git, temporary, 0);
    OWNED_FD int fd =
        openat(history->folders.git, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
    return fd >= 0 && files_write_all(fd, content->data, content->length) && fsync(fd) == 0 &&
           renameat(history->folders.git, temporary, history->folders.git, path) == 0;
}

/* The first packs of the list become one. */
static bool join_first(struct history *history, const struct pack *packs, size_t count)
{
    struct fault why = {0};
    struct pack_image image;
    const char *bad = NULL;
    OWNED char(*names)[COMMIT_TEXT] = memory_new(count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        memcpy(names[i], packs[i].name, COMMIT_TEXT);
    if (!pack_image_join(history, (const char(*)[COMMIT_TEXT])names, count, &image, &bad, &why)) {
        log_warn("agent", history->agent, "Packs can't be joined: %s. It stays as it is.", why.text);
        buffer_add(&history->unjoined, bad, COMMIT_TEXT);
        return false;
    }
    OWNED char *pack = pack_path(image.name, "pack"), *index = pack_path(image.name, "idx");
    bool good = put_durable(history, &image.pack, pack) && put_durable(history, &image.index, index) &&
                flush(history, "objects/pack");
    if (!good)
        log_warn("agent", history->agent, "Packs can't be joined, they stay as they are: %s",
                 strerror(errno));
    if (good)
        held_joined(history, names, count, image.name);
    for (size_t i = 0; good && i < count; i++)
        if (strcmp(names[i], image.name) != 0)
            retired_add(history, names[i], image.name, packs[i].bytes);
    pack_image_free(&image);
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
    size_t fit = 0, bytes = 0;
    while (fit < count && fit < JOINED_MAX && (bytes += packs[fit].bytes) <= LATER_BYTES)
        fit++;
    return fit;
}

static bool join_packs(struct history *history, bool urgent)
{
    OWNED struct pack *packs = memory_new(PACKS_LOOKED, sizeof *packs);
    size_t count = list_packs(history, packs, PACKS_LOOKED), young = 0, middle = 0;
    qsort(packs, count, sizeof *packs, small_and_old_first);
    while (young < count && packs[young].objects <= YOUNG)
        young++;
    while (young + middle < count && packs[young + middle].objects <= MIDDLE)
        middle++;
    history->objects.packs = young;
    size_t first = 0, some = young;
    if (young <= (urgent ? YOUNG_URGENT : YOUNG_MAX)) {
        first = young;
        some = middle;
        if (middle <= LATER_MAX && !urgent) {
            first += middle;
            some = count - first;
        }
        some = some > LATER_MAX ? some : 0;
    }
    size_t fit = that_fit(packs + first, some);
    if (fit < 2 || !join_first(history, packs + first, fit)) {
        history->objects.packs =
            0; /* where joining fails it is not tried again before as many new ones have come */
        return false;
    }
    history->objects.packs -= first == 0 ? fit : 0;
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
    if ((held_all(history) || journal_each(history->journal, keep_objects, history, &why)) &&
        journal_checkpoint(history->journal, &why)) {
        held_forget(history);
        return true;
    }
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
    if (!history->objects.counted && !urgent) {
        struct id_list none = {0};
        history->objects.loose = list_loose(history, &none, 0);
        history->objects.counted = true;
    }
    if (history->objects.loose >= (urgent ? LOOSE_URGENT : PACK_AT))
        return pack_loose(history);
    if (urgent)
        return (history->objects.packs > YOUNG_URGENT && join_packs(history, true)) ||
               retired_remove(history);
    if (retired_remove(history))
        return true;
    if (quiet) {
        history_close_objects(history); /* what libgit2 has mapped is memory of an agent that does nothing */
        spares_let_go(history);
    }
    /* Not between two cycles of a busy agent. */
    return clock_monotonic_ms() - history->committed_ms >= PAUSE_MS && join_packs(history, false);
}

int64_t history_tidy_at(const struct history *history)
{
    int64_t soon = clock_monotonic_ms() + PAUSE_MS, at = 0;
    if (history->objects.packs > YOUNG_MAX)
        return soon;
    if (history->odb)
        at = history->committed_ms + QUIET_MS;
    int64_t retire_at = retired_at(history);
    if (retire_at != 0 && (at == 0 || retire_at < at))
        at = retire_at;
    return at != 0 && at < soon ? soon : at;
}
