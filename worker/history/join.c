/* Several packs as one, by copying: nothing is decompressed and no delta is searched for, so that a busy agent can
 * do it between two cycles, in milliseconds for fifty commits.
 *
 * The packs' entries follow one another, the newest pack's first. A delta that names its base by distance gets the new
 * distance. An object that an earlier pack has already is left out, and a delta against it becomes a delta against that
 * earlier copy. A base always comes before its deltas: it did so within its pack, and the earlier copy stands further in
 * front.
 *
 * A commit's own pack (pack.c) has its objects whole, which would be ten times as much as what has changed.
 * Its trees tell which object belongs to which file, and the older text of a file becomes a delta against the newer one
 * in front of it. */
#include "worker/history/part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/memory.h"

enum {
    TYPE_OFS_DELTA = 6,
    TYPE_REF_DELTA = 7,
    INDEX_IDS = 8 + 256 * 4,
    INDEX_END = 2 * GIT_OID_RAWSZ,
    PACK_HEAD = 12,
    STORED_FRAME = 11, /* bytes of a stored zlib stream beside the text */
    STORED_HEAD = 7,
    CHAIN_MAX = 48, /* deltas from a whole text to the last one made of it */
    TREE_DEPTH_MAX = 16,
};

struct entry {
    git_oid id;
    const char *bytes; /* in the source's pack, with type and size in front */
    size_t from, length, head, base_from;
    unsigned type;
    struct text text; /* of an object that is stored whole; else length 0 */
    const struct entry *base, *same;
    uint64_t file, folder; /* which path it is, as far as its pack's trees tell; 0: unknown */
    unsigned chain;
    uint32_t offset; /* in the new pack */
};

struct source {
    const char *name;
    char *pack, *index;
    size_t pack_length, first, count;
    int64_t modified_ns;
};

/* The last text that was written of a file, or in a folder. */
struct last {
    uint64_t file;
    const struct entry *entry;
};

struct join {
    struct source *sources;
    size_t source_count;
    struct entry *entries; /* source after source */
    size_t count, total;
    struct entry **by_id; /* open addressing, as lasts */
    struct last *lasts;
    size_t slots;
};

static uint32_t big_endian(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* --- reading --- */

static bool read_source(struct history *history, struct source *source, struct fault *fault)
{
    const char *name = source->name;
    struct file_stamp stamp = {0};
    size_t length = 0;
    OWNED char *pack = memory_print("objects/pack/pack-%s.pack", name);
    OWNED char *index = memory_print("objects/pack/pack-%s.idx", name);
    if (files_read(history->folders.git, pack, PACK_BYTES_MAX, &source->pack, &source->pack_length, &stamp,
                   fault) != 1 ||
        files_read(history->folders.git, index, PACK_BYTES_MAX, &source->index, &length, NULL, fault) != 1)
        return fault->text[0] != '\0' ? false : fault_set(fault, "the pack %s is gone", name);
    source->modified_ns = stamp.modified_ns;
    if (length >= INDEX_IDS + INDEX_END && memcmp(source->index, "\377tOc\0\0\0\2", 8) == 0)
        source->count = big_endian(source->index + INDEX_IDS - 4);
    if (source->count == 0 || length != INDEX_IDS + source->count * 28 + INDEX_END ||
        source->pack_length < PACK_HEAD + GIT_OID_RAWSZ || memcmp(source->pack, "PACK\0\0\0\2", 8) != 0 ||
        big_endian(source->pack + 8) != source->count ||
        memcmp(source->pack + source->pack_length - GIT_OID_RAWSZ, source->index + length - INDEX_END,
               GIT_OID_RAWSZ) != 0)
        return fault_set(fault, "the pack %s and its index don't belong together", name);
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const struct source *one = a, *other = b;
    return (one->modified_ns < other->modified_ns) - (one->modified_ns > other->modified_ns);
}

static int by_place(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    return (one->from > other->from) - (one->from < other->from);
}

/* Type, sizes and the like in front of an entry's stream. */
static bool read_head(struct entry *entry)
{
    const unsigned char *bytes = (const unsigned char *)entry->bytes;
    size_t at = 1, size = bytes[0] & 15;
    entry->type = bytes[0] >> 4 & 7;
    for (unsigned shift = 4; bytes[at - 1] & 0x80; shift += 7) {
        if (at == entry->length || shift > 46)
            return false;
        size |= (size_t)(bytes[at++] & 0x7f) << shift;
    }
    entry->head = at;
    if (entry->type == TYPE_OFS_DELTA) {
        size_t back = 0;
        do {
            if (at == entry->length || back > PACK_BYTES_MAX)
                return false;
            back = (back + (at > entry->head)) << 7 | (bytes[at] & 0x7f);
        } while (bytes[at++] & 0x80);
        if (back == 0 || back > entry->from)
            return false;
        entry->base_from = entry->from - back;
        entry->head = at;
    } else if (entry->type != TYPE_REF_DELTA && entry->length == at + size + STORED_FRAME &&
               memcmp(entry->bytes + at, "\x78\x01\x01", 3) == 0) {
        entry->text = (struct text){.bytes = entry->bytes + at + STORED_HEAD, .length = size};
    }
    return entry->type != 0 && entry->type != 5;
}

static struct entry *at_place(struct entry *entries, size_t count, size_t from)
{
    struct entry wanted = {.from = from};
    return bsearch(&wanted, entries, count, sizeof *entries, by_place);
}

/* The entries of one pack in its order, each with its end, its sum checked and its base known. */
static bool read_entries(struct join *join, const struct source *source)
{
    struct entry *entries = &join->entries[source->first];
    const char *ids = source->index + INDEX_IDS, *sums = ids + source->count * GIT_OID_RAWSZ;
    const char *places = sums + source->count * 4;
    size_t end = source->pack_length - GIT_OID_RAWSZ;
    for (size_t i = 0; i < source->count; i++) {
        git_oid_fromraw(&entries[i].id, (const unsigned char *)ids + i * GIT_OID_RAWSZ);
        entries[i].from = big_endian(places + i * 4);
        entries[i].offset = big_endian(sums + i * 4);
    }
    qsort(entries, source->count, sizeof *entries, by_place);
    for (size_t i = 0; i < source->count; i++) {
        struct entry *entry = &entries[i];
        size_t next = i + 1 < source->count ? entries[i + 1].from : end;
        if (entry->from < PACK_HEAD || next <= entry->from || next > end)
            return false;
        entry->bytes = source->pack + entry->from;
        entry->length = next - entry->from;
        if (!read_head(entry) || crc32_z(0, (const Bytef *)entry->bytes, entry->length) != entry->offset)
            return false;
        if (entry->type == TYPE_OFS_DELTA &&
            !(entry->base = at_place(entries, source->count, entry->base_from)))
            return false;
    }
    return true;
}

static bool read_all(struct history *history, const char (*names)[COMMIT_TEXT], size_t count,
                     struct join *join, const char **bad, struct fault *fault)
{
    size_t bytes = 0;
    join->sources = memory_new(count, sizeof *join->sources);
    while (join->source_count < count) {
        struct source *source = &join->sources[join->source_count];
        *bad = source->name = names[join->source_count++];
        if (!read_source(history, source, fault))
            return false;
        bytes += source->pack_length;
        join->total += source->count;
        if (bytes > PACK_BYTES_MAX)
            return fault_set(fault, "the pack %s is too large", source->name);
    }
    qsort(join->sources, count, sizeof *join->sources, newest_first);
    join->entries = memory_new(join->total, sizeof *join->entries);
    for (size_t i = 0; i < count; i++) {
        struct source *source = &join->sources[i];
        source->first = join->count;
        join->count += source->count;
        *bad = source->name;
        if (!read_entries(join, source))
            return fault_set(fault, "the pack %s is damaged", source->name);
    }
    return true;
}

/* --- which object is which --- */

/* Where the object with this id stands in the table, or belongs. */
static struct entry **id_slot(const struct join *join, const git_oid *id)
{
    size_t at;
    memcpy(&at, id->id, sizeof at);
    for (at &= join->slots - 1; join->by_id[at] && !git_oid_equal(&join->by_id[at]->id, id);)
        at = (at + 1) & (join->slots - 1);
    return &join->by_id[at];
}

static struct last *last_of(const struct join *join, uint64_t file)
{
    size_t at = file & (join->slots - 1);
    while (join->lasts[at].entry && join->lasts[at].file != file)
        at = (at + 1) & (join->slots - 1);
    return &join->lasts[at];
}

static void make_tables(struct join *join)
{
    for (join->slots = 64;
         join->slots < join->total * 4;) /* an object is the last of its file and its folder */
        join->slots *= 2;
    join->by_id = memory_new(join->slots, sizeof *join->by_id);
    join->lasts = memory_new(join->slots, sizeof *join->lasts);
    for (size_t i = 0; i < join->count; i++) {
        struct entry **known = id_slot(join, &join->entries[i].id);
        if (*known)
            join->entries[i].same = *known;
        else
            *known = &join->entries[i];
    }
}

static uint64_t below(uint64_t folder, const char *name, size_t length)
{
    uint64_t hash = folder;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
    return (hash ^ hash >> 29) * 0x9e3779b97f4a7c15u | 1;
}

static void name_tree(const struct join *join, const struct entry *tree, int depth);

static void name_object(const struct join *join, const git_oid *id, uint64_t file, uint64_t folder, int depth)
{
    struct entry *entry = *id_slot(join, id);
    if (!entry || entry->file != 0 || entry->text.length == 0)
        return;
    entry->file = file;
    entry->folder = folder;
    if (entry->type == GIT_OBJECT_TREE && depth < TREE_DEPTH_MAX)
        name_tree(join, entry, depth + 1);
}

/* "MODE NAME\0" and twenty bytes of id, again and again. */
static void name_tree(const struct join *join, const struct entry *tree, int depth)
{
    const char *at = tree->text.bytes, *end = at + tree->text.length;
    while (at < end) {
        const char *name = memchr(at, ' ', (size_t)(end - at));
        const char *stop = name ? memchr(name, '\0', (size_t)(end - name)) : NULL;
        if (!stop || end - stop <= GIT_OID_RAWSZ)
            return;
        git_oid id;
        git_oid_fromraw(&id, (const unsigned char *)stop + 1);
        name_object(join, &id, below(tree->file, name, (size_t)(stop - name)), below(tree->file, "/", 1),
                    depth);
        at = stop + 1 + GIT_OID_RAWSZ;
    }
}

static void name_all(const struct join *join)
{
    for (size_t i = 0; i < join->count; i++) {
        struct entry *entry = &join->entries[i];
        git_oid root;
        if (entry->type != GIT_OBJECT_COMMIT || entry->text.length < 5 + GIT_OID_HEXSZ || entry->same ||
            memcmp(entry->text.bytes, "tree ", 5) != 0 ||
            git_oid_fromstrn(&root, entry->text.bytes + 5, GIT_OID_HEXSZ) != 0)
            continue;
        entry->file = below(0, "commit", 6);
        name_object(join, &root, below(0, "tree", 4), 0, 0);
    }
}

/* --- writing --- */

/* How far back a delta's base is: seven bits at a time, the highest first, one less for each that follows. */
static void add_distance(struct buffer *out, size_t distance)
{
    unsigned char bytes[10];
    size_t at = sizeof bytes;
    bytes[--at] = distance & 0x7f;
    while (distance >>= 7)
        bytes[--at] = (unsigned char)(0x80 | (--distance & 0x7f));
    buffer_add(out, bytes + at, sizeof bytes - at);
}

static const struct entry *base_of(const struct join *join, const struct entry *entry)
{
    const uint64_t places[] = {entry->file, entry->folder};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct entry *last = last_of(join, places[i])->entry;
        if (places[i] != 0 && last && last->type == entry->type && last->chain < CHAIN_MAX)
            return last;
    }
    return NULL;
}

static void note_last(const struct join *join, const struct entry *entry)
{
    const uint64_t places[] = {entry->file, entry->folder};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i] != 0)
            *last_of(join, places[i]) = (struct last){.file = places[i], .entry = entry};
}

/* As a delta against the newer text of the same file, or of another file in that folder. */
static bool write_delta(const struct join *join, struct entry *entry, struct buffer *out)
{
    const struct entry *base = base_of(join, entry);
    OWNED_BUFFER struct buffer delta = {0};
    if (!base || !delta_make(base->text, entry->text, entry->text.length / 2, &delta))
        return false;
    entry->chain = base->chain + 1;
    pack_entry_head(out, (git_object_t)TYPE_OFS_DELTA, delta.length);
    add_distance(out, entry->offset - base->offset);
    object_store(delta.data, delta.length, out);
    return true;
}

static void write_entry(const struct join *join, struct entry *entry, struct buffer *out)
{
    entry->offset = (uint32_t)out->length;
    if (entry->base) {
        const struct entry *base = entry->base->same ? entry->base->same : entry->base;
        size_t sizes = 1;
        while (entry->bytes[sizes - 1] & 0x80)
            sizes++;
        buffer_add(out, entry->bytes, sizes);
        add_distance(out, entry->offset - base->offset);
        buffer_add(out, entry->bytes + entry->head, entry->length - entry->head);
        return;
    }
    if (!write_delta(join, entry, out))
        buffer_add(out, entry->bytes, entry->length);
    note_last(join, entry);
}

static void write_all(struct join *join, struct pack_image *image)
{
    OWNED struct packed *packed = memory_new(join->count, sizeof *packed);
    size_t kept = 0, written = 0;
    for (size_t i = 0; i < join->count; i++)
        kept += !join->entries[i].same;
    pack_begin(&image->pack, kept);
    for (size_t i = 0; i < join->count; i++) {
        struct entry *entry = &join->entries[i];
        if (entry->same)
            continue;
        write_entry(join, entry, &image->pack);
        packed[written++] = (struct packed){
            .id = entry->id,
            .offset = entry->offset,
            .sum = (uint32_t)crc32_z(0, (const Bytef *)image->pack.data + entry->offset,
                                     image->pack.length - entry->offset),
        };
    }
    pack_end(image, packed, kept);
}

static void join_free(struct join *join)
{
    for (size_t i = 0; i < join->source_count; i++) {
        free(join->sources[i].pack);
        free(join->sources[i].index);
    }
    free(join->sources);
    free(join->entries);
    free(join->by_id);
    free(join->lasts);
}

bool pack_image_join(struct history *history, const char (*names)[COMMIT_TEXT], size_t count,
                     struct pack_image *image, const char **bad, struct fault *fault)
{
    struct join join = {0};
    *image = (struct pack_image){0};
    bool good = read_all(history, names, count, &join, bad, fault);
    if (good) {
        make_tables(&join);
        name_all(&join);
        write_all(&join, image);
    }
    join_free(&join);
    return good;
}
