/* The objects that a commit adds, as one pack with its index (version 2): two files instead of one for each object. No
 * object is compressed or made a delta here, since the pack lives only until the packs are joined. The pack is made of
 * spares while the journal's record of the same objects is flushed; when the record is durable, the pack gets its place
 * under .git/objects/pack, the pack before the index, since git looks for indexes.
 *
 * Killed before, or no room for the pack: the record has every object that is missing. Killed between the two: a pack
 * without an index, which no reader sees. Power cut: name and content may not belong together; the name is the hash of
 * the content, so pack_mend takes away a pack that doesn't fit its name, and the record's objects are written again. */
#include "worker/history/part.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/memory.h"

enum { NAME_MAX_LENGTH = 80 };

struct pack_image {
    struct buffer pack, index;
    char name[COMMIT_TEXT];
};

/* An object in a pack: where its entry begins, and the CRC-32 of the entry. */
struct packed {
    git_oid id;
    uint32_t offset, sum;
};

static void add_digest(struct buffer *out)
{
    unsigned char digest[SHA1_DIGEST_LENGTH];
    SHA1_CTX context;
    SHA1Init(&context);
    SHA1Update(&context, (const unsigned char *)out->data, out->length);
    SHA1Final(digest, &context);
    buffer_add(out, digest, sizeof digest);
}

/* Three bits of type and the size, four bits and then seven at a time. */
static void entry_head(struct buffer *out, git_object_t type, size_t size)
{
    unsigned char byte = (unsigned char)((unsigned)type << 4 | (size & 0xf));
    for (size >>= 4; size > 0; size >>= 7) {
        buffer_add(out, &(unsigned char){byte | 0x80}, 1);
        byte = size & 0x7f;
    }
    buffer_add(out, &byte, 1);
}

static void write_index(const struct packed *packed, size_t count, const struct buffer *pack,
                        struct buffer *out)
{
    uint32_t fan_out[256];
    size_t at = 0;
    buffer_room(out, 2048 + count * 28);
    buffer_add(out, "\377tOc\0\0\0\2", 8);
    for (unsigned first = 0; first < 256; first++) {
        while (at < count && packed[at].id.id[0] <= first)
            at++;
        fan_out[first] = htobe32((uint32_t)at);
    }
    buffer_add(out, fan_out, sizeof fan_out);
    for (size_t i = 0; i < count; i++)
        buffer_add(out, packed[i].id.id, GIT_OID_RAWSZ);
    for (size_t i = 0; i < count; i++)
        object_word(out, packed[i].sum);
    for (size_t i = 0; i < count; i++)
        object_word(out, packed[i].offset);
    buffer_add(out, pack->data + pack->length - SHA1_DIGEST_LENGTH, SHA1_DIGEST_LENGTH);
    add_digest(out);
}

/* The pack's end, its index and name. */
static void end_image(struct pack_image *image, const struct packed *packed, size_t count)
{
    git_oid digest;
    add_digest(&image->pack);
    write_index(packed, count, &image->pack, &image->index);
    git_oid_fromraw(&digest, (const unsigned char *)image->pack.data + image->pack.length - GIT_OID_RAWSZ);
    git_oid_tostr(image->name, sizeof image->name, &digest);
}

static int object_by_id(const void *a, const void *b)
{
    const struct object *const *one = a, *const *other = b;
    return git_oid_cmp(&(*one)->id, &(*other)->id);
}

/* Sorted, each object once: two files may have the same text. */
static size_t sort(const struct object_list *objects, const struct object **sorted)
{
    size_t count = 0;
    for (size_t i = 0; i < objects->count; i++)
        sorted[i] = &objects->items[i];
    qsort(sorted, objects->count, sizeof(struct object *), object_by_id);
    for (size_t i = 0; i < objects->count; i++)
        if (count == 0 || !git_oid_equal(&sorted[i]->id, &sorted[count - 1]->id))
            sorted[count++] = sorted[i];
    return count;
}

static void pack_image_free(struct pack_image *image)
{
    buffer_free(&image->pack);
    buffer_free(&image->index);
}

/* The most bytes that a pack of these objects may take. */
static size_t room_for(const struct object_list *objects)
{
    size_t room = 64;
    for (size_t i = 0; i < objects->count; i++)
        room += objects->items[i].length + 64 + objects->items[i].length / 8192;
    return room;
}

/* The same bytes whenever it is made of the same objects. False: no objects, or too large for a pack. */
static bool pack_image_make(const struct object_list *objects, struct pack_image *image)
{
    *image = (struct pack_image){0};
    size_t room = room_for(objects);
    if (room > PACK_BYTES_MAX || objects->count == 0)
        return false;
    OWNED const struct object **sorted = memory_new(objects->count, sizeof *sorted);
    OWNED struct packed *packed = memory_new(objects->count, sizeof *packed);
    size_t count = sort(objects, sorted);
    struct buffer *out = &image->pack;
    buffer_room(out, room);
    buffer_add(out, "PACK\0\0\0\2", 8);
    object_word(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        packed[i] = (struct packed){.id = sorted[i]->id, .offset = (uint32_t)out->length};
        entry_head(out, sorted[i]->type, sorted[i]->length);
        object_store(sorted[i]->data, sorted[i]->length, out);
        packed[i].sum =
            (uint32_t)crc32_z(0, (const Bytef *)out->data + packed[i].offset, out->length - packed[i].offset);
    }
    end_image(image, packed, count);
    return true;
}

static void path_of(const char *name, const char *suffix, char path[NAME_MAX_LENGTH])
{
    snprintf(path, NAME_MAX_LENGTH, "objects/pack/pack-%s.%s", name, suffix);
}

bool pack_needless(struct history *history, const struct work *work, struct fault *fault)
{
    for (size_t i = 0; room_for(&work->objects) > PACK_BYTES_MAX && i < work->objects.count; i++)
        if (!object_write_loose(history, &work->objects.items[i], fault))
            return false;
    return true;
}

static bool put(struct history *history, enum role role, const char *name, const char *suffix)
{
    char path[NAME_MAX_LENGTH];
    path_of(name, suffix, path);
    if (spare_place(history, role, history->folders.git, path) ||
        errno == EEXIST) /* the same objects: the pack is there already */
        return true;
    return errno == ENOENT && mkdirat(history->folders.git, "objects/pack", 0755) == 0 &&
           spare_place(history, role, history->folders.git, path);
}

bool pack_make(struct history *history, struct work *work, struct fault *fault)
{
    struct pack_image image;
    if (!pack_image_make(&work->objects, &image))
        return true;
    bool good = spare_fill(history, ROLE_PACK, image.pack.data, image.pack.length) &&
                spare_fill(history, ROLE_PACK_INDEX, image.index.data, image.index.length);
    if (!good)
        fault_errno(fault, "cannot write the commit's pack, the commit was not made");
    memcpy(work->pack, image.name, sizeof work->pack);
    pack_image_free(&image);
    return good;
}

bool pack_place(struct history *history, const struct work *work, struct fault *fault)
{
    if (work->pack[0] == '\0')
        return true;
    if (!put(history, ROLE_PACK, work->pack, "pack") || !put(history, ROLE_PACK_INDEX, work->pack, "idx"))
        return fault_errno(fault, "cannot put a pack into .git/objects/pack");
    history->young_packs++;
    return true;
}

/* 1 it is there as it should be, 0 not there, -1 it is something else */
static int is_as(struct history *history, const char *path, const struct buffer *content)
{
    struct stat status;
    OWNED_FD int fd = openat(history->folders.git, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size != (off_t)content->length)
        return -1;
    OWNED char *bytes = memory_new(content->length, 1);
    return pread(fd, bytes, content->length, 0) == (ssize_t)content->length &&
                   memcmp(bytes, content->data, content->length) == 0
               ? 1
               : -1;
}

bool pack_mend(struct history *history, const struct work *work)
{
    struct pack_image image;
    char pack[NAME_MAX_LENGTH], index[NAME_MAX_LENGTH];
    if (!pack_image_make(&work->objects, &image))
        return false;
    path_of(image.name, "pack", pack);
    path_of(image.name, "idx", index);
    int pack_is = is_as(history, pack, &image.pack), index_is = is_as(history, index, &image.index);
    pack_image_free(&image);
    if (pack_is == index_is && pack_is >= 0)
        return false;
    unlinkat(history->folders.git, index, 0);
    unlinkat(history->folders.git, pack, 0);
    return true;
}

bool pack_present(struct history *history, const struct work *work)
{
    struct pack_image image;
    char pack[NAME_MAX_LENGTH], index[NAME_MAX_LENGTH];
    if (!pack_image_make(&work->objects, &image))
        return false;
    path_of(image.name, "pack", pack);
    path_of(image.name, "idx", index);
    pack_image_free(&image);
    return faccessat(history->folders.git, pack, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
           faccessat(history->folders.git, index, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
